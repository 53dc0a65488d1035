// SPDX-License-Identifier: Apache-2.0
//
// Where the server says what it has to say: a file that was asked for, else the system's log once
// it is in the background, else standard error. One line a call. A file that cannot be written to
// any more loses lines, never the server.
#ifndef XENSTORED_LOG_H
#define XENSTORED_LOG_H

/* Sends further lines to the file, which is appended to; 0 or an error number. */
int log_to_file(const char *path);

/* Sends further lines to the system's log, unless there is a file. */
void log_to_system(void);

void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif

// SPDX-License-Identifier: Apache-2.0
//
// What makes a program a daemon: the listening socket, the background, the pid file, and telling
// the service manager. Each step says on the log what went wrong and returns false or -1.
#ifndef XENSTORED_DAEMON_H
#define XENSTORED_DAEMON_H

#include <stdbool.h>

/*
 * A listening UNIX socket at PATH that does not block, for the owner only; the folder is made when
 * it is missing. -1 when that cannot be done or another server answers there.
 */
int daemon_listen(const char *path);

/*
 * Goes to the background; the caller's process stays until daemon_ready() is called there, and then
 * exits with 0, or with 1 when the background process has ended before.
 */
bool daemon_background(void);

/* Writes the process id to PATH (may be NULL), lets the foreground process exit, and tells the
 * service manager that clients are served. */
bool daemon_ready(const char *pid_file);

#endif

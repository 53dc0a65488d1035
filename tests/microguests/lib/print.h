// SPDX-License-Identifier: Apache-2.0
// Text for this domain's console or, without one, the hypervisor's.
#ifndef MICROGUEST_PRINT_H
#define MICROGUEST_PRINT_H

#include <stdbool.h>
#include <stddef.h>

// Writes a line, adding its end. Knows %s %c %d %u %x and %ld %lu %lx; cuts at 250 characters.
// Goes to the toolstack's ring, else out by the console_io hypercall, else by port 0xe9.
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Whether the colon-separated @list names @word.
bool list_contains(const char *list, const char *word);

// The value of the word NAME=value on the command line, in a static buffer; NULL without one.
const char *command_line_value(const char *name);

// The decimal number there; 0 without one.
unsigned long command_line_number(const char *name);

bool string_equal(const char *a, const char *b);

#endif

// SPDX-License-Identifier: Apache-2.0
// The console that the toolstack gives a domain: a ring in a shared page, read by a daemon in
// domain 0. A microguest that is itself domain 0 has none.
#ifndef MICROGUEST_CONSOLE_H
#define MICROGUEST_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

// Finds the ring; false when this domain has none. Needs hypercalls.
bool console_start(void);

// Writes text; what the reader leaves no room for within a bounded wait is dropped. False without
// a ring. One vcpu at a time writes.
bool console_write(const char *text, size_t length);

#endif

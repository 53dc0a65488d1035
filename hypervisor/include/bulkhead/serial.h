// SPDX-License-Identifier: Apache-2.0
// The serial port under the console. console.c serializes all calls by its lock.
#ifndef BULKHEAD_SERIAL_H
#define BULKHEAD_SERIAL_H

#include <bulkhead/types.h>

// Finds and sets up the port as the options com1= and console= say. False: there is none.
bool serial_init(void);
// Sends text; '\n' as it is. Each wait for the device is bounded: a dead port costs its bytes.
// With interrupts in use, the text is queued as far as there is room.
void serial_write(const char *text, size_t count);
// From now on output is queued and sent by interrupts, unless serial_make_synchronous was called.
// handler() is called, in interrupt context without the console's lock, when the device wants
// serial_service. False when the interrupt is not to be had: the caller polls for input then.
bool serial_use_interrupts(void (*handler)(void));
// Sends as much of the queue as the device takes; stops the interrupt when the queue is empty.
void serial_service(void);
// Sends what is queued, now, and from then on without interrupts (sync_console, a dying machine).
void serial_make_synchronous(void);
// Takes received bytes from the device; returns how many.
size_t serial_read(char *buffer, size_t size);

#endif

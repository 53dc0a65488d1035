// SPDX-License-Identifier: Apache-2.0
// QEMU's device "edu" (docs/specs/edu of QEMU): a buffer of 4 KiB, a DMA engine that goes wherever
// it is told and takes a tenth of a second for it, and an interrupt that can be asked for.
#ifndef MICROGUEST_EDU_H
#define MICROGUEST_EDU_H

#include "cpu.h"

#define EDU_MOST 4088u // bytes: a transfer that fills the buffer is taken for one that is too large

// Finds the device and makes it reachable; returns its number on the bus, 0 when there is none.
unsigned int edu_start(void);

// Orders a transfer between the buffer's beginning and @address, of at most EDU_MOST bytes.
void edu_order(uint64_t address, unsigned int count, bool to_memory);

// Waits for the transfer's end; false after some seconds.
bool edu_wait(void);

// Both.
bool edu_transfer(uint64_t address, unsigned int count, bool to_memory);

void edu_raise_interrupt(void);
void edu_end_interrupt(void);

#endif

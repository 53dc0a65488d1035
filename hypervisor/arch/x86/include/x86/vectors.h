// SPDX-License-Identifier: Apache-2.0
// Interrupt vectors.
#ifndef BULKHEAD_X86_VECTORS_H
#define BULKHEAD_X86_VECTORS_H

#define EXCEPTION_NMI 2
#define EXCEPTION_DOUBLE_FAULT 8
#define EXCEPTION_PROTECTION 13
#define EXCEPTION_PAGE_FAULT 14
#define EXCEPTION_MACHINE_CHECK 18
#define EXCEPTION_VECTORS 32

// For devices; given out by irq/.
#define VECTOR_DEVICE_FIRST 0x20
#define VECTOR_DEVICE_LAST 0xef

#define VECTOR_TIMER 0xfb
#define VECTOR_KICK 0xfc  // wakes from idle, forces a guest exit
#define VECTOR_CALL 0xfd  // arch_call_cpus
#define VECTOR_ERROR 0xfe // the local APIC's own
#define VECTOR_SPURIOUS 0xff

#endif

// SPDX-License-Identifier: Apache-2.0
// Constants that the assembly and the C code share: selectors, addresses, and the offsets of
// struct vcpu_data's fields (checked where it is defined).
#ifndef MICROGUEST_LAYOUT_H
#define MICROGUEST_LAYOUT_H

#define MAX_VCPUS 4
#define STACK_SIZE 16384

#define CODE64 0x08
#define DATA 0x10
#define CODE32 0x18

// Where real-mode code of starting vcpus runs: RAM on every PC, page aligned, below 1 MiB.
#define TRAMPOLINE 0x8000

#define VCPU_DATA_CATCH_STACK 8
#define VCPU_DATA_SIZE 64

#endif

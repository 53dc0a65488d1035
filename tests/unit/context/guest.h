// SPDX-License-Identifier: Apache-2.0
// Domains whose state can be saved and loaded: the real vcpus of SVM, virtual local APICs, I/O APIC
// and CPUID policies, on the machine of ../vlapic and the processor of ../cpuid.
#ifndef TESTS_UNIT_CONTEXT_GUEST_H
#define TESTS_UNIT_CONTEXT_GUEST_H

#include <bulkhead/domain.h>
#include <x86/hvm.h>
#include <xen/hvm/save.h>

#include "machine.h"

void guest_start(void); // once
// All vcpus are down, as after creation.
struct domain *guest_create(unsigned int vcpus, bool ioapic);
void guest_end(struct domain *d);
bool guest_is_up(const struct domain *d, unsigned int vcpu);

// Everything that a load may change, as bytes, to compare; the caller frees it.
unsigned char *guest_snapshot(struct domain *d, size_t *size);
// What the processor would refuse to run, or the hypervisor fault on. Aborts, for the fuzzer's
// sake.
void guest_check_safe(struct domain *d);

// A stream of records in the making, aligned to 8.
struct stream {
    unsigned char bytes[64 * 1024] __attribute__((aligned(8)));
    uint32_t size;
};

void stream_begin(struct stream *s); // with a header
void *stream_add(struct stream *s, uint16_t type, uint16_t instance, uint32_t length);
void stream_end(struct stream *s);
// A record of a saved context; NULL if it has none.
const void *stream_find(const void *context, uint32_t size, uint16_t type, uint16_t instance,
                        uint32_t *length);

// The registers with which Debian's libxenguest starts a PVH guest.
void guest_entry_record(struct hvm_hw_cpu *record);

#endif

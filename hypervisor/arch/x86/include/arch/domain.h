// SPDX-License-Identifier: Apache-2.0
// x86's part of domains and vcpus. Large parts are pointers to structures private to their file.
#ifndef BULKHEAD_X86_DOMAIN_H
#define BULKHEAD_X86_DOMAIN_H

#include <bulkhead/list.h>
#include <bulkhead/spinlock.h>
#include <bulkhead/types.h>

struct cpuid_policy;
struct hvm_hw_mtrr;
struct iommu_domain;
struct memory_map_entry;
struct svm_vcpu;
struct vioapic;
struct vlapic;
struct vpci;
struct p2m;

#define P2M_KNOWN 32u

struct arch_domain {
    struct p2m *p2m;
    struct list io_handlers;    // io.h
    struct vioapic *vioapic;    // vioapic.c; NULL: none
    struct vpci *vpci;          // vpci.c; NULL: none
    struct iommu_domain *iommu; // the IOMMU driver's; NULL: no device assigned ever
    struct cpuid_policy *policy;
    uint64_t hvm_params[64];
    struct memory_map_entry *memory_map; // under domain.lock
    unsigned int memory_map_count;
    uint32_t emulation_flags;  // XEN_X86_EMU_*
    uint8_t *port_permissions; // bitmap as SVM has it: a set bit intercepts; NULL: all do
    uint8_t callback_vector;   // HVM_PARAM_CALLBACK_IRQ by vector; 0: none
    uint32_t tsc_mode;
    uint64_t pages_for_tables; // the toolstack's paging pool size, frames
};

struct arch_vcpu {
    // General registers in encoding order: rax rcx rdx rbx rsp rbp rsi rdi r8..r15. rax, rsp, rip
    // and rflags are the vendor code's to load and store around a guest entry.
    uint64_t gpr[16];
    uint64_t rip, rflags;
    struct svm_vcpu *svm;
    struct vlapic *vlapic;
    uint8_t upcall_vector;    // HVMOP_set_evtchn_upcall_vector; 0: none
    bool initialised;         // has registers to start with
    bool waiting_for_startup; // between INIT and STARTUP
    uint8_t startup_vector;
    uint32_t startup_request; // atomic: STARTUP_*
    uint64_t msr_misc_enable;
    struct hvm_hw_mtrr *mtrr; // what the toolstack loaded, for it alone; NULL: as after reset
    struct p2m_known {
        uint64_t gfn, generation; // of the p2m when it was found
        uint32_t mfn;
        uint8_t type;       // enum p2m_type; 0: nothing yet
    } p2m_known[P2M_KNOWN]; // what p2m_borrow_page has found
    struct fetch_cache {
        uint64_t cr3, page;  // guest linear page that was translated under cr3; page 1: none
        uint64_t generation; // of the p2m then
        mfn_t mfn;
    } fetch;
};

#endif

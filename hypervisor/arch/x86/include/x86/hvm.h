// SPDX-License-Identifier: Apache-2.0
// Hardware-assisted vcpus: what the vendor-neutral code needs from svm/ (later vmx/), and what it
// offers to the local APIC, the emulator and the hypercalls.
#ifndef BULKHEAD_X86_HVM_H
#define BULKHEAD_X86_HVM_H

#include <bulkhead/types.h>

struct domain;
struct vcpu;
struct vcpu_hvm_context;
struct hvm_hw_cpu;

enum hvm_segment {
    SEGMENT_ES,
    SEGMENT_CS,
    SEGMENT_SS,
    SEGMENT_DS,
    SEGMENT_FS,
    SEGMENT_GS,
    SEGMENT_LDTR,
    SEGMENT_TR,
    SEGMENT_COUNT
};

// A segment register as the VMCB has it: attributes in 12 bits (type, S, DPL, P, AVL, L, D, G).
struct segment {
    uint16_t selector, attributes;
    uint32_t limit;
    uint64_t base;
};

struct table_register {
    uint64_t base;
    uint32_t limit;
};

// The registers that the vendor's structure holds. The pointers stay the vcpu's; values are valid
// while the vcpu does not run.
struct hvm_registers {
    uint64_t cr0, cr2, cr3, cr4, efer, dr6, dr7;
    struct segment segment[SEGMENT_COUNT];
    struct table_register gdtr, idtr;
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip, pat;
};

// The vendor's part (svm/).
int hvm_vendor_init_cpu(void); // each CPU, before guests run; says in words what is missing
int hvm_vcpu_create(struct vcpu *v);
void hvm_vcpu_free(struct vcpu *v);
void hvm_get_registers(struct vcpu *v, struct hvm_registers *out);
void hvm_set_registers(struct vcpu *v, const struct hvm_registers *in);
// cr0, cr3, cr4 and efer alone, for the guest table walk.
void hvm_get_paging(const struct vcpu *v, uint64_t *cr0, uint64_t *cr3, uint64_t *cr4,
                    uint64_t *efer);
// Sets what hvm_get_paging gives, for the current vcpu; flush: forget all its translations.
void hvm_set_paging(struct vcpu *v, uint64_t cr0, uint64_t cr4, uint64_t efer, bool flush);
// Queues an exception for the next entry; error_code only for vectors that have one.
void hvm_inject_exception(struct vcpu *v, uint8_t vector, uint32_t error_code);
void hvm_inject_page_fault(struct vcpu *v, uint64_t address, uint32_t error_code);
void hvm_get_segment(struct vcpu *v, enum hvm_segment s, struct segment *out);
// The state that is switched with the vcpu rather than on each entry, where it lies while the vcpu
// does not run.
struct hvm_switched_state {
    void *extended_state;    // extended_state.h
    uint64_t *xcr0, *debug;  // DR0 to DR3
    uint64_t *pending_event; // to inject on the next entry, as the public CPU record has it, with
                             // the error code in the upper half; 0: none
};
void hvm_get_switched_state(struct vcpu *v, struct hvm_switched_state *out);
// After the registers of a paused vcpu were replaced as a whole: forgets its translations, its
// interrupt shadow and a pending NMI.
void hvm_forget_transient_state(struct vcpu *v);

// hypercall32.c: carries out the hypercall of code that is not 64-bit, the current vcpu's, by its
// registers. Whether it is done; otherwise the instruction is to be executed again.
bool hvm_hypercall_32(struct vcpu *v);
void hvm_vendor_set_tsc_offset(struct vcpu *v, uint64_t offset);
uint64_t hvm_vendor_tsc_offset(const struct vcpu *v);
// The local APIC's TPR has changed: what CR8 shows from now on (0 to 15).
void hvm_vendor_set_task_priority(struct vcpu *v, uint8_t cr8);
void hvm_vendor_use_ports(struct vcpu *v); // after domain.arch.port_permissions was made

// hvm.c
void hvm_vcpu_init_signal(struct vcpu *v);                // INIT arrived (any CPU)
void hvm_vcpu_start(struct vcpu *v, uint8_t sipi_vector); // STARTUP arrived
void hvm_vcpu_nmi(struct vcpu *v);
bool hvm_nmi_pending(const struct vcpu *v);
uint8_t hvm_code_bits(const struct hvm_registers *regs); // 16, 32 or 64
// HVM_ACCESS_USER when the vcpu runs at privilege level 3, else 0.
unsigned int hvm_access_level(const struct hvm_registers *regs);
void hvm_handle_startup(struct vcpu *v); // on v's own CPU, when startup_request is set
// The vcpu stops until it is started again; when it was the last one the domain powers off.
void hvm_vcpu_down(struct vcpu *v);
// Puts the vcpu into the state that the PVH ABI defines, at a 32-bit entry point.
void hvm_set_pvh_entry(struct vcpu *v, uint32_t entry, uint32_t start_info);
// Maps what a domain may reach but is only mapped when touched (domain 0: firmware and device
// memory without an owner). False: nothing to map.
bool hvm_map_on_demand(struct domain *d, gfn_t gfn);
// One step of INS or OUTS (all of a REP's, bounded). False: #GP.
bool hvm_emulate_string_io(struct vcpu *v, uint16_t port, unsigned int size, bool in, bool rep,
                           uint64_t next_rip);

// Control registers (control_registers.c). Whether a vcpu of d can be in such a state.
bool hvm_control_valid(const struct domain *d, uint64_t cr0, uint64_t cr4, uint64_t efer);
// The vcpu writes, as MOV CRn and WRMSR do. False: #GP, and nothing has changed.
bool hvm_write_cr0(struct vcpu *v, uint64_t value);
bool hvm_write_cr4(struct vcpu *v, uint64_t value);
bool hvm_write_efer(struct vcpu *v, uint64_t value);

#define STARTUP_INIT 1u
#define STARTUP_SIPI 2u

// MSRs (msr.c): false means #GP.
bool hvm_read_msr(struct vcpu *v, uint32_t msr, uint64_t *value);
bool hvm_write_msr(struct vcpu *v, uint32_t msr, uint64_t value);

// Translates a linear address by the guest's own tables (guest_walk.c). What an instruction of the
// guest would access itself is asked with its rights; a supervisor's when neither bit is set.
// -XEN_EFAULT: not mapped, or not for this access.
#define HVM_ACCESS_WRITE 1u
#define HVM_ACCESS_USER 2u
int hvm_walk_guest(struct vcpu *v, gva_t address, unsigned int access, gpa_t *out);

// The processor found no entry, or no right to write, for @address in the second-level tables
// (nested_fault.c). access: HVM_ACCESS_WRITE, and what it wanted there besides an operand: an
// instruction, the guest's own tables, or what the delivery of an event takes.
#define HVM_ACCESS_FETCH 4u
#define HVM_ACCESS_TABLES 8u
#define HVM_ACCESS_DELIVERY 16u
void hvm_handle_nested_fault(struct vcpu *v, gpa_t address, unsigned int access);

// Emulates the instruction at rip, which touched device memory (emulate.c). False: an exception
// for the guest instead.
bool hvm_emulate_mmio(struct vcpu *v);
// Fetches instruction bytes at rip; returns how many of the 15 are readable.
size_t hvm_fetch_instruction(struct vcpu *v, uint8_t bytes[15]);

// Ports (pio.c).
void hvm_port_read(struct vcpu *v, uint16_t port, unsigned int size, uint64_t *value);
void hvm_port_write(struct vcpu *v, uint16_t port, unsigned int size, uint64_t value);

// State for the toolstack, in the public HVM context format (context.c). Buffers are the
// hypervisor's own, aligned to 8; d is not the current domain and is paused meanwhile.
// All records of d. buffer NULL: only tells in *size the bytes that always suffice (at most
// 1 MiB). Otherwise *size comes with the room and leaves with the bytes used; -XEN_ENOSPC.
int hvm_context_save(struct domain *d, void *buffer, uint32_t *size);
// Takes over the records that are there. Vcpus with a CPU record are up afterwards. On failure
// nothing has changed: -XEN_ENODATA (truncated, or no header first), -XEN_EINVAL (not valid),
// -XEN_ENODEV (state of a device that d lacks), -XEN_ENXIO (an MSR that d lacks), -XEN_ENOMEM.
int hvm_context_load(struct domain *d, const void *buffer, uint32_t size);
// The data of one record, without descriptor. buffer NULL: the length alone. -XEN_EINVAL: unknown
// type; -XEN_ENOENT: no such record now; -XEN_ENOBUFS: more than *size.
int hvm_context_save_one(struct domain *d, uint32_t type, uint32_t instance, void *buffer,
                         uint32_t *size);
// Takes over one record of those lengths, data aligned to 8. Errors as hvm_context_load's.
int hvm_context_load_one(struct domain *d, uint32_t type, uint32_t instance, const void *data,
                         uint32_t length);

#define HVM_EXCEPTION_DB 1
#define HVM_EXCEPTION_UD 6
#define HVM_EXCEPTION_NM 7
#define HVM_EXCEPTION_DF 8
#define HVM_EXCEPTION_GP 13
#define HVM_EXCEPTION_PF 14

#endif

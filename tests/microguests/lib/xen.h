// SPDX-License-Identifier: Apache-2.0
// Hypercalls and what a guest shares with the hypervisor. Hypercalls return what the hypervisor
// returned: a value of at least 0, or a negative errno.
#ifndef MICROGUEST_XEN_H
#define MICROGUEST_XEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/errno.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>

#define UPCALL_VECTOR 0xf0
#define FAR_FUTURE (1ul << 60)

// Set once the hypercall page works.
extern bool xen_ready;

// Base of the hypervisor's CPUID leaves, 0 when there is none.
extern uint32_t xen_cpuid_base;
extern struct shared_info shared_info;
extern char hypercall_page[];

// Finds the hypervisor, writes the hypercall page, maps shared_info, sets the upcall vector.
// What fails is said on the console; the rest is tried all the same.
void xen_start(void);

// Shuts the domain down.
void xen_end(void) __attribute__((noreturn));

static inline long hypercall(unsigned int number, unsigned long a1, unsigned long a2,
                             unsigned long a3, unsigned long a4, unsigned long a5)
{
    long result;
    register unsigned long r10 __asm__("r10") = a4;
    register unsigned long r8 __asm__("r8") = a5;

    __asm__ volatile("call *%%rax"
                     : "=a"(result), "+D"(a1), "+S"(a2), "+d"(a3), "+r"(r10), "+r"(r8)
                     : "0"(hypercall_page + number * 32ul)
                     : "memory", "rcx", "r11", "r9");
    return result;
}

static inline long hypercall2(unsigned int number, unsigned long a1, const void *a2)
{
    return hypercall(number, a1, (unsigned long)a2, 0, 0, 0);
}

// By the instruction itself, not by the page; @vmcall for Intel's.
long hypercall_instruction(unsigned long number, bool vmcall);

int xen_console_write(const char *text, size_t length);

// Nanoseconds since the hypervisor started, by vcpu_info of this vcpu; 0 while it is not mapped.
uint64_t xen_time(void);

// Puts a page of the hypervisor (XENMAPSPACE_*, @index) in the place of the page at @address.
long xen_add_to_physmap(unsigned int space, unsigned long index, void *address);

typedef void event_handler(evtchn_port_t port);

// The handler of each port in 2-level mode; it runs on the vcpu that the port is bound to.
void event_set_handler(evtchn_port_t port, event_handler *handler);

// Each returns the port or a negative errno.
long event_bind_ipi(unsigned int vcpu);
long event_bind_virq(unsigned int virq, unsigned int vcpu);
long event_alloc_unbound(domid_t remote);
long event_bind_interdomain(domid_t remote, evtchn_port_t remote_port);
long event_send(evtchn_port_t port);
long event_close(evtchn_port_t port);

// Makes a port deliver again after it was masked (ports begin unmasked for a microguest).
void event_upcall(void);

#endif

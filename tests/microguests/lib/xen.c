// SPDX-License-Identifier: Apache-2.0
// The hypervisor's ABI from the guest's side. shared_info lies in a page of the image that the
// hypervisor's page replaces. Events come by an upcall vector of the domain; their handler scans
// the two-level bitmap and clears what it finds before it calls the port's handler.

#include "xen.h"

#include "console.h"
#include "cpu.h"
#include "guest.h"
#include "interrupts.h"
#include "print.h"

#include <xen/arch-x86/cpuid.h>

#define MAX_PORTS 64

struct shared_info shared_info __attribute__((aligned(4096)));
char hypercall_page[PAGE_SIZE] __attribute__((aligned(4096)));
bool xen_ready;
uint32_t xen_cpuid_base;

static bool shared_info_mapped;
static event_handler *event_handlers[MAX_PORTS];

long hypercall_instruction(unsigned long number, bool vmcall)
{
    long result = (long)number;

    if (vmcall) {
        __asm__ volatile("vmcall" : "+a"(result)::"memory", "rdi", "rsi", "rdx", "r10", "r8");
    } else {
        __asm__ volatile("vmmcall" : "+a"(result)::"memory", "rdi", "rsi", "rdx", "r10", "r8");
    }
    return result;
}

int xen_console_write(const char *text, size_t length)
{
    return (int)hypercall(__HYPERVISOR_console_io, CONSOLEIO_write, length, (unsigned long)text, 0,
                          0);
}

static void find_hypervisor(void)
{
    for (uint32_t base = XEN_CPUID_FIRST_LEAF; base < XEN_CPUID_FIRST_LEAF + 0x10000;
         base += 0x100) {
        struct cpuid leaf = cpuid(base, 0);

        if (leaf.ebx == XEN_CPUID_SIGNATURE_EBX && leaf.ecx == XEN_CPUID_SIGNATURE_ECX &&
            leaf.edx == XEN_CPUID_SIGNATURE_EDX) {
            xen_cpuid_base = base;
            return;
        }
    }
}

long xen_add_to_physmap(unsigned int space, unsigned long index, void *address)
{
    struct xen_add_to_physmap request = {
        .domid = DOMID_SELF,
        .space = space,
        .idx = index,
        .gpfn = (unsigned long)address / PAGE_SIZE,
    };

    return hypercall2(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &request);
}

static void call_event_handlers(struct vcpu_info *info)
{
    unsigned long words = __atomic_exchange_n(&info->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);

    while (words) {
        unsigned int word = (unsigned int)__builtin_ctzl(words);
        unsigned long pending =
            __atomic_exchange_n(&shared_info.evtchn_pending[word], 0, __ATOMIC_SEQ_CST);

        words &= words - 1;
        while (pending) {
            evtchn_port_t port = word * 64 + (unsigned int)__builtin_ctzl(pending);

            pending &= pending - 1;
            if (port < MAX_PORTS && event_handlers[port]) {
                event_handlers[port](port);
            }
        }
    }
}

void event_upcall(void)
{
    struct vcpu_info *info = &shared_info.vcpu_info[this_vcpu()->index];

    while (__atomic_exchange_n(&info->evtchn_upcall_pending, 0, __ATOMIC_SEQ_CST)) {
        call_event_handlers(info);
    }
}

void event_set_handler(evtchn_port_t port, event_handler *handler)
{
    if (port < MAX_PORTS) {
        __atomic_store_n(&event_handlers[port], handler, __ATOMIC_SEQ_CST);
    }
}

long event_bind_ipi(unsigned int vcpu)
{
    struct evtchn_bind_ipi request = {.vcpu = vcpu};
    long rc = hypercall2(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi, &request);

    return rc ? rc : (long)request.port;
}

long event_bind_virq(unsigned int virq, unsigned int vcpu)
{
    struct evtchn_bind_virq request = {.virq = virq, .vcpu = vcpu};
    long rc = hypercall2(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_virq, &request);

    return rc ? rc : (long)request.port;
}

long event_alloc_unbound(domid_t remote)
{
    struct evtchn_alloc_unbound request = {.dom = DOMID_SELF, .remote_dom = remote};
    long rc = hypercall2(__HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, &request);

    return rc ? rc : (long)request.port;
}

long event_bind_interdomain(domid_t remote, evtchn_port_t remote_port)
{
    struct evtchn_bind_interdomain request = {.remote_dom = remote, .remote_port = remote_port};
    long rc = hypercall2(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_interdomain, &request);

    return rc ? rc : (long)request.local_port;
}

long event_send(evtchn_port_t port)
{
    struct evtchn_send request = {.port = port};

    return hypercall2(__HYPERVISOR_event_channel_op, EVTCHNOP_send, &request);
}

long event_close(evtchn_port_t port)
{
    struct evtchn_close request = {.port = port};

    return hypercall2(__HYPERVISOR_event_channel_op, EVTCHNOP_close, &request);
}

uint64_t xen_time(void)
{
    const volatile struct vcpu_time_info *time;
    uint32_t version, shift_amount;
    uint64_t delta, result;
    int8_t shift;

    if (!shared_info_mapped) {
        return 0;
    }
    time = &shared_info.vcpu_info[this_vcpu()->index].time;
    do {
        version = time->version;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        delta = rdtsc() - time->tsc_timestamp;
        shift = time->tsc_shift;
        shift_amount = (uint32_t)(shift < 0 ? -shift : shift);
        delta = shift < 0 ? delta >> shift_amount : delta << shift_amount;
        result = time->system_time +
                 (uint64_t)((unsigned __int128)delta * time->tsc_to_system_mul >> 32);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while ((version & 1) || version != time->version);
    return result;
}

static void set_upcall_vector(void)
{
    struct xen_hvm_param request = {
        .domid = DOMID_SELF,
        .index = HVM_PARAM_CALLBACK_IRQ,
        .value = (uint64_t)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 | UPCALL_VECTOR,
    };
    long rc = hypercall2(__HYPERVISOR_hvm_op, HVMOP_set_param, &request);

    if (rc) {
        say("microguest: the upcall vector cannot be set: %ld", rc);
    }
    interrupt_set_handler(UPCALL_VECTOR, event_upcall);
}

void xen_start(void)
{
    long rc;

    find_hypervisor();
    if (!xen_cpuid_base) {
        say("microguest: no hypervisor leaves in CPUID");
        xen_end();
    }
    wrmsr(cpuid(xen_cpuid_base + 2, 0).ebx, (uint64_t)hypercall_page);
    xen_ready = true;
    console_start();
    rc = xen_add_to_physmap(XENMAPSPACE_shared_info, 0, &shared_info);
    if (rc) {
        say("microguest: shared_info cannot be mapped: %ld", rc);
    }
    shared_info_mapped = rc == 0;
    set_upcall_vector();
}

void xen_end(void)
{
    struct sched_shutdown request = {.reason = SHUTDOWN_reboot};

    say("microguest: end");
    if (xen_ready) {
        hypercall2(__HYPERVISOR_sched_op, SCHEDOP_shutdown, &request);
    }
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}

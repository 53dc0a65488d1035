// SPDX-License-Identifier: Apache-2.0
/*
 * libFuzzer target: sequences of hypercalls by three domains on the simulated machine, one of them
 * with domain 0's rights. The input is read as a program: which vcpu, which operation, which
 * arguments, with changes to guest memory (grant entries, event words), destruction and rebirth of
 * domains, interrupts that preempt, and allocations that fail in between. Arguments are mostly
 * small numbers that name something, now and then anything. After each input everything is taken
 * down: a frame, heap object or mapping that is left over, a lock that nobody will release, a
 * broken invariant, an access outside what is mapped, or a hypercall that executes more than
 * MAX_BLOCKS basic blocks of the core without a window for interrupts aborts.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bulkhead/arch/domain.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/grant_table.h>
#include <bulkhead/heap.h>
#include <bulkhead/hypercall.h>
#include <bulkhead/page.h>
#include <bulkhead/sched.h>
#include <sim/machine.h>
#include <xen/domctl.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/vcpu.h>

#include "blocks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define DOMAINS 3u
#define VCPUS 2u
#define PAGES 24u // of memory for each domain, from gfn 0
#define ARGUMENT_GFN 1u
#define LIST_GFN 2u    // what arguments point to: lists of frame numbers
#define CALLS_GFN 4u   // a multicall's entries
#define SPECIAL_GFN 8u // FIFO control blocks and words, by habit
#define MAX_STEPS 400u
#define MAX_RESTARTS 100u
#define MAX_BLOCKS 20000u

static struct domain *domains[DOMAINS];
static const uint8_t *input;
static size_t input_left;

static void check(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "hypercalls: %s\n", what);
        abort();
    }
}

static uint8_t take_byte(void)
{
    if (!input_left) {
        return 0;
    }
    input_left--;
    return *input++;
}

static uint64_t take_raw(unsigned int bytes)
{
    uint64_t value = 0;

    while (bytes--) {
        value = value << 8 | take_byte();
    }
    return value;
}

// Mostly a number below 32, which names a port, a reference, a handle or a frame; or anything.
static uint64_t take_number(void)
{
    uint8_t byte = take_byte();

    return byte < 0xe0 ? byte % 32 : byte < 0xf0 ? take_raw(2) : byte < 0xf8 ? take_raw(8) : ~0UL;
}

static uint64_t take_gfn(void)
{
    uint8_t byte = take_byte();

    return byte < 0xf0 ? byte % 64 : take_number();
}

static domid_t take_domid(void)
{
    static const domid_t special[] = {DOMID_SELF, DOMID_INVALID, DOMID_IO, 77};
    uint8_t byte = take_byte();

    return byte % 8 < 6 ? byte % DOMAINS : special[byte / 8 % ARRAY_SIZE(special)];
}

static bool create(domid_t id)
{
    struct xen_domctl_createdomain config = {
        .flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
        .max_vcpus = VCPUS,
        .max_evtchn_port = id == 1 ? 200 : UINT32_MAX,
        .max_grant_frames = 2,
        .max_maptrack_frames = 1,
        .grant_opts = 2,
    };
    struct domain *d;
    struct vcpu *v;
    unsigned int i;

    if (domain_create(id, &config, id == 0, &d)) {
        return false;
    }
    d->max_pages = 2 * PAGES;
    d->pause_count = 0;
    d->paused_by_toolstack = false;
    for (i = 0; i < VCPUS; i++) {
        check(vcpu_create(d, i) == 0, "no memory for a vcpu");
    }
    for_each_vcpu (v, d, i) {
        v->pause_flags = 0;
    }
    for (uint64_t gfn = 0; gfn < PAGES; gfn++) {
        struct page *page = domain_page_alloc(d, ORDER_4K, 0);

        check(page && p2m_set(d, GFN(gfn), page_to_mfn(page), ORDER_4K, P2M_RAM) == 0,
              "no memory for a domain");
    }
    domains[id] = d;
    domain0 = domains[0];
    return true;
}

static void destroy(domid_t id)
{
    sim_cpu_enter(0, NULL);
    if (id == 0) {
        domain0 = NULL;
    }
    while (domain_destroy(domains[id]) == -XEN_ERESTART) {
        this_cpu()->work = 0;
    }
    domains[id] = NULL;
}

static void put_argument(struct domain *d, const void *argument, size_t size)
{
    void *page = sim_guest_memory(d, GFN(ARGUMENT_GFN), true);

    if (page) {
        memcpy(page, argument, size);
    }
}

// Makes a hypercall as v does, and again until it is done or has made way often enough.
static void dispatch(struct vcpu *v, unsigned int number, struct hypercall *call)
{
    sim_cpu_enter(v->id, v);
    for (unsigned int restarts = 0; restarts < MAX_RESTARTS; restarts++) {
        call->restart = false;
        hypercall_dispatch(number, call);
        blocks_hypercalls++;
        check(this_cpu()->arch.slots_used == 0, "a transient mapping is left");
        this_cpu()->work = 0;
        if (!call->restart) {
            break;
        }
    }
}

// The arguments are in guest memory already.
static void call(struct vcpu *v, unsigned int number, uint64_t command, uint64_t count)
{
    struct hypercall call = {.arg = {command, ARGUMENT_GFN << PAGE_SHIFT, count}};

    if (take_byte() == 0xff) {
        call.arg[1] = take_raw(8);
    }
    dispatch(v, number, &call);
}

static void event_operation(struct vcpu *v)
{
    static const uint8_t commands[] = {EVTCHNOP_alloc_unbound, EVTCHNOP_bind_interdomain,
                                       EVTCHNOP_bind_virq,     EVTCHNOP_bind_ipi,
                                       EVTCHNOP_send,          EVTCHNOP_send,
                                       EVTCHNOP_close,         EVTCHNOP_bind_vcpu,
                                       EVTCHNOP_unmask,        EVTCHNOP_init_control,
                                       EVTCHNOP_status,        EVTCHNOP_expand_array,
                                       EVTCHNOP_set_priority,  EVTCHNOP_reset,
                                       EVTCHNOP_bind_pirq};
    unsigned int command = commands[take_byte() % ARRAY_SIZE(commands)];
    union {
        struct evtchn_alloc_unbound alloc;
        struct evtchn_bind_interdomain bind;
        struct evtchn_status status;
        struct evtchn_init_control control;
        struct evtchn_expand_array array;
        uint32_t words[6];
    } argument = {.words = {0}};

    switch (command) {
    case EVTCHNOP_alloc_unbound:
        argument.alloc.dom = take_byte() % 4 ? DOMID_SELF : take_domid();
        argument.alloc.remote_dom = take_domid();
        break;
    case EVTCHNOP_bind_interdomain:
        argument.bind.remote_dom = take_domid();
        argument.bind.remote_port = (uint32_t)take_number();
        break;
    case EVTCHNOP_status:
    case EVTCHNOP_reset:
        argument.status.dom = take_domid();
        argument.status.port = (uint32_t)take_number();
        break;
    case EVTCHNOP_init_control:
        argument.control.control_gfn = take_byte() % 8 ? SPECIAL_GFN + v->id : take_gfn();
        argument.control.offset = take_byte() % 8 ? 0 : (uint32_t)take_raw(2);
        argument.control.vcpu = take_byte() % 8 ? v->id : (uint32_t)take_number();
        break;
    case EVTCHNOP_expand_array:
        argument.array.array_gfn = take_byte() % 8 ? SPECIAL_GFN + 4 : take_gfn();
        break;
    default: // one or two numbers
        argument.words[0] = (uint32_t)take_number();
        argument.words[1] = (uint32_t)take_number() % 17;
    }
    put_argument(v->domain, &argument, sizeof(argument));
    call(v, __HYPERVISOR_event_channel_op, command, 0);
}

static void map_arguments(struct domain *d, unsigned int count)
{
    struct gnttab_map_grant_ref ops[8] = {0};

    for (unsigned int i = 0; i < count; i++) {
        ops[i].host_addr = take_gfn() << PAGE_SHIFT;
        ops[i].flags = take_byte() % 8 ? GNTMAP_host_map : take_byte();
        ops[i].flags |= take_byte() % 2 ? GNTMAP_readonly : 0;
        ops[i].ref = (grant_ref_t)take_number();
        ops[i].dom = take_domid();
    }
    put_argument(d, ops, sizeof(ops));
}

static void unmap_arguments(struct domain *d, unsigned int count)
{
    struct gnttab_unmap_grant_ref ops[8] = {0};

    for (unsigned int i = 0; i < count; i++) {
        ops[i].host_addr = take_gfn() << PAGE_SHIFT;
        ops[i].dev_bus_addr = take_byte() % 8 ? 0 : ops[i].host_addr;
        ops[i].handle = (grant_handle_t)take_number();
    }
    put_argument(d, ops, sizeof(ops));
}

static void copy_arguments(struct domain *d, unsigned int count)
{
    struct gnttab_copy ops[8] = {0};

    for (unsigned int i = 0; i < count; i++) {
        ops[i].flags = take_byte() % 4;
        ops[i].source.u.gmfn = take_gfn();
        ops[i].source.domid = ops[i].flags & GNTCOPY_source_gref ? take_domid() : DOMID_SELF;
        ops[i].source.offset = (uint16_t)take_number();
        ops[i].dest.u.gmfn = take_gfn();
        ops[i].dest.domid = ops[i].flags & GNTCOPY_dest_gref ? take_domid() : DOMID_SELF;
        ops[i].dest.offset = (uint16_t)take_number();
        ops[i].len = (uint16_t)take_raw(2) % 4097;
    }
    put_argument(d, ops, sizeof(ops));
}

// The single operations: a domid, a few numbers and a list.
static void table_arguments(struct domain *d, unsigned int command)
{
    union {
        struct gnttab_setup_table setup;
        struct gnttab_get_status_frames status;
        struct gnttab_swap_grant_ref swap;
        struct gnttab_set_version version;
        struct gnttab_query_size size;
    } op = {.version = {0}};

    switch (command) {
    case GNTTABOP_setup_table:
        op.setup.dom = take_domid();
        op.setup.nr_frames = (uint32_t)take_number() % 4;
        op.setup.frame_list.p = (void *)(take_gfn() << PAGE_SHIFT);
        break;
    case GNTTABOP_get_status_frames:
        op.status.dom = take_domid();
        op.status.nr_frames = (uint32_t)take_number();
        op.status.frame_list.p = (void *)(take_gfn() << PAGE_SHIFT);
        break;
    case GNTTABOP_swap_grant_ref:
        op.swap.ref_a = (grant_ref_t)take_number();
        op.swap.ref_b = (grant_ref_t)take_number();
        break;
    case GNTTABOP_set_version:
        op.version.version = take_byte() % 4;
        break;
    default:
        op.size.dom = take_domid();
    }
    put_argument(d, &op, sizeof(op));
}

static void grant_operation(struct vcpu *v)
{
    unsigned int command = take_byte() % 32, count = 1 + take_byte() % 8;

    switch (command % 16) {
    case GNTTABOP_map_grant_ref:
        map_arguments(v->domain, count);
        break;
    case GNTTABOP_unmap_grant_ref:
    case GNTTABOP_unmap_and_replace:
        unmap_arguments(v->domain, count);
        break;
    case GNTTABOP_copy:
    case 13: // more of these
    case 14:
        command = GNTTABOP_copy;
        copy_arguments(v->domain, count);
        break;
    default:
        count = command % 16 == GNTTABOP_swap_grant_ref ? count : 1;
        table_arguments(v->domain, command % 16);
    }
    call(v, __HYPERVISOR_grant_table_op, command % 16, take_byte() == 0xff ? take_raw(4) : count);
}

static void put_list(struct domain *d)
{
    uint64_t *list = sim_guest_memory(d, GFN(LIST_GFN), true);

    for (unsigned int i = 0; list && i < 8; i++) {
        list[i] = take_gfn();
    }
}

union memory_argument {
    struct xen_memory_reservation reservation;
    struct xen_add_to_physmap add;
    struct xen_add_to_physmap_batch batch;
    struct xen_remove_from_physmap remove;
    struct xen_mem_acquire_resource resource;
    struct xen_memory_exchange exchange;
};

static void *const list_address = (void *)((uint64_t)LIST_GFN << PAGE_SHIFT);

static void batch_argument(struct xen_add_to_physmap_batch *batch)
{
    batch->domid = take_domid();
    batch->space = take_byte() % 6;
    batch->size = take_byte() % 4;
    batch->u.foreign_domid = take_domid();
    batch->idxs.p = list_address;
    batch->gpfns.p = list_address;
    batch->errs.p = (void *)((LIST_GFN + 1UL) << PAGE_SHIFT);
}

static void physmap_argument(unsigned int command, union memory_argument *op)
{
    switch (command) {
    case XENMEM_add_to_physmap:
        op->add.domid = take_domid();
        op->add.size = take_byte() % 4;
        op->add.space = take_byte() % 6;
        op->add.idx = take_number() | (take_byte() % 4 ? 0 : XENMAPIDX_grant_table_status);
        op->add.gpfn = take_gfn();
        break;
    case XENMEM_add_to_physmap_batch:
        batch_argument(&op->batch);
        break;
    default:
        op->remove.domid = take_domid();
        op->remove.gpfn = take_gfn();
    }
}

static void resource_argument(struct xen_mem_acquire_resource *resource)
{
    resource->domid = take_domid();
    resource->type = XENMEM_resource_grant_table;
    resource->id = take_byte() % 3;
    resource->nr_frames = take_byte() % 4;
    resource->frame = take_number();
    resource->frame_list.p = list_address;
}

static void exchange_argument(struct xen_memory_exchange *exchange)
{
    struct xen_memory_reservation *in = &exchange->in, *out = &exchange->out;

    in->domid = out->domid = take_domid();
    in->extent_order = take_byte() % 5;
    out->extent_order = (unsigned int)(take_byte() % 8 ? take_byte() % 5 : take_number());
    in->nr_extents = take_byte() % 8;
    out->nr_extents = in->nr_extents << in->extent_order >> MIN(out->extent_order, 60u);
    in->extent_start.p = out->extent_start.p = list_address;
}

static void reservation_argument(struct xen_memory_reservation *reservation)
{
    reservation->domid = take_domid();
    reservation->nr_extents = take_byte() % 8;
    reservation->extent_order = take_byte() % 4 ? 0 : (unsigned int)take_number();
    reservation->extent_start.p = list_address;
}

static void memory_operation(struct vcpu *v)
{
    static const uint8_t commands[] = {XENMEM_populate_physmap,    XENMEM_decrease_reservation,
                                       XENMEM_add_to_physmap,      XENMEM_add_to_physmap_batch,
                                       XENMEM_remove_from_physmap, XENMEM_acquire_resource,
                                       XENMEM_maximum_reservation, XENMEM_exchange};
    unsigned int command = commands[take_byte() % ARRAY_SIZE(commands)];
    union memory_argument op = {.reservation = {.nr_extents = 0}};

    put_list(v->domain);
    switch (command) {
    case XENMEM_add_to_physmap:
    case XENMEM_add_to_physmap_batch:
    case XENMEM_remove_from_physmap:
        physmap_argument(command, &op);
        break;
    case XENMEM_acquire_resource:
        resource_argument(&op.resource);
        break;
    case XENMEM_exchange:
        exchange_argument(&op.exchange);
        break;
    default:
        reservation_argument(&op.reservation);
    }
    put_argument(v->domain, &op, sizeof(op));
    call(v, __HYPERVISOR_memory_op, command, 0);
}

// Hypercalls that a batch could name but that belong to other fuzzers, or need more of a machine.
int64_t do_hvm_op(struct hypercall *call)
{
    (void)call;
    return -XEN_ENOSYS;
}

#define ABSENT(name) int64_t name(struct hypercall *call) __attribute__((alias("do_hvm_op")))
ABSENT(do_physdev_op);
ABSENT(do_platform_op);
ABSENT(do_dm_op);
ABSENT(do_hypfs_op);
ABSENT(do_sysctl);
ABSENT(do_domctl);
ABSENT(do_xen_version);
ABSENT(do_console_io);
ABSENT(do_vm_assist);

// A batch of whatever the table of hypercalls has, but for what creates domains: with arguments
// that happen to lie there, and entries that the hypervisor and other calls of the batch may
// change.
static void batch(struct vcpu *v)
{
    static const uint8_t numbers[] = {
        __HYPERVISOR_memory_op,        __HYPERVISOR_grant_table_op, __HYPERVISOR_vcpu_op,
        __HYPERVISOR_event_channel_op, __HYPERVISOR_set_timer_op,   __HYPERVISOR_sched_op,
        __HYPERVISOR_hvm_op,           __HYPERVISOR_multicall,      60};
    struct multicall_entry *entries = sim_guest_memory(v->domain, GFN(CALLS_GFN), true);
    struct hypercall call = {.arg = {(uint64_t)CALLS_GFN << PAGE_SHIFT, take_byte() % 8}};
    uint64_t words[8];

    for (unsigned int i = 0; entries && i < call.arg[1]; i++) {
        entries[i].op = numbers[take_byte() % ARRAY_SIZE(numbers)];
        if (entries[i].op == __HYPERVISOR_sched_op && v->domain->privileged) {
            entries[i].op = __HYPERVISOR_vcpu_op; // domain 0 may turn the machine off
        }
        entries[i].args[0] = take_number();
        entries[i].args[1] =
            take_byte() % 4 ? (uint64_t)ARGUMENT_GFN << PAGE_SHIFT : take_gfn() << PAGE_SHIFT;
        entries[i].args[2] = take_number();
    }
    for (unsigned int i = 0; i < ARRAY_SIZE(words); i++) {
        words[i] = take_byte() % 2 ? take_number() : take_gfn() << PAGE_SHIFT;
    }
    put_argument(v->domain, words, sizeof(words));
    dispatch(v, __HYPERVISOR_multicall, &call);
}

// Waits for events; whatever ends the wait does so before the next step.
static void poll(struct vcpu *v)
{
    struct sched_poll op = {.nr_ports = take_byte() % 4, .timeout = take_byte()};
    uint32_t *ports = sim_guest_memory(v->domain, GFN(LIST_GFN), true);

    for (unsigned int i = 0; ports && i < op.nr_ports; i++) {
        ports[i] = (uint32_t)take_number();
    }
    op.ports.p = (void *)((uint64_t)LIST_GFN << PAGE_SHIFT);
    put_argument(v->domain, &op, sizeof(op));
    call(v, __HYPERVISOR_sched_op, SCHEDOP_poll, 0);
}

// What a vcpu registers and its timers.
static void vcpu_operation(struct vcpu *v)
{
    static const uint8_t commands[] = {
        VCPUOP_register_vcpu_info,         VCPUOP_register_runstate_memory_area,
        VCPUOP_get_runstate_info,          VCPUOP_set_periodic_timer,
        VCPUOP_set_singleshot_timer,       VCPUOP_stop_periodic_timer,
        VCPUOP_stop_singleshot_timer,      VCPUOP_register_vcpu_time_memory_area,
        VCPUOP_register_runstate_phys_area};
    unsigned int command = commands[take_byte() % ARRAY_SIZE(commands)];
    uint64_t words[3] = {take_byte() % 2 ? take_gfn() : take_gfn() << PAGE_SHIFT,
                         take_byte() % 4 ? 0 : take_raw(2), 0};
    struct hypercall call = {
        .arg = {command, take_byte() % 8 ? v->id : take_number(), ARGUMENT_GFN << PAGE_SHIFT}};

    put_argument(v->domain, words, sizeof(words));
    dispatch(v, __HYPERVISOR_vcpu_op, &call);
}

// Time passes, devices and the hypervisor's own parts raise events.
static void outside_events(void)
{
    static ns_t time;
    uint8_t what = take_byte();
    uint32_t virq = take_byte() % 32;
    struct domain *d = domains[what / 4 % DOMAINS];

    sim_cpu_enter(what % VCPUS, NULL);
    switch (what % 4) {
    case 0:
        time += take_byte();
        sim_set_time(time);
        timers_run();
        break;
    case 1:
        if (virq < NR_VIRQS) {
            event_send_host_virq(virq);
        }
        break;
    case 2:
        if (d && virq < NR_VIRQS) {
            event_send_virq(d->vcpus[0], virq);
        }
        break;
    default:
        if (d) {
            event_set_virq_handler(d, virq);
        }
    }
}

// The guest writes a grant entry, of either version, or a few bytes anywhere.
static void guest_writes(struct vcpu *v)
{
    struct domain *d = v->domain;
    grant_ref_t ref = (grant_ref_t)take_number() % 64;
    uint8_t kind = take_byte();
    uint8_t *page;
    mfn_t table;

    if (kind % 4 == 3) {
        page = sim_guest_memory(d, GFN(SPECIAL_GFN + take_byte() % 8), true);
        if (page) {
            memset(page + take_raw(2) % 4000, take_byte(), 4);
        }
        return;
    }
    if (grant_table_frame(d, 0, false, &table)) {
        return;
    }
    page = sim_memory(table);
    if (kind % 4 == 2) {
        union grant_entry_v2 *entry = (union grant_entry_v2 *)page + ref;

        entry->sub_page.page_off = (uint16_t)take_number();
        entry->sub_page.length = (uint16_t)take_number();
        entry->full_page.frame = take_gfn();
        entry->hdr.domid = take_domid();
        entry->hdr.flags = (uint16_t)take_raw(2) & 0x1ff;
    } else {
        struct grant_entry_v1 *entry = (struct grant_entry_v1 *)page + ref;

        entry->frame = (uint32_t)take_gfn();
        entry->domid = take_domid();
        entry->flags = take_byte() % 8 ? GTF_permit_access | (take_byte() % 4 ? 0 : GTF_readonly)
                                       : (uint16_t)take_raw(2);
    }
}

// Destruction makes way and is resumed later; hypercalls of others meet a dying domain.
static void destroy_or_create(domid_t id)
{
    if (id == 0) {
        return;
    }
    if (!domains[id]) {
        create(id);
        return;
    }
    sim_cpu_enter(0, domains[0]->vcpus[0]);
    if (domain_destroy(domains[id]) == 0) {
        domains[id] = NULL;
    }
    this_cpu()->work = 0;
}

// What a vcpu may do, by the input's choice.
static void (*const actions[20])(struct vcpu *v) = {
    [0 ... 4] = event_operation,
    [5 ... 9] = grant_operation,
    [10] = memory_operation,
    [11 ... 13] = guest_writes,
    [16] = poll,
    [17] = vcpu_operation,
    [19] = batch,
};

static void step(void)
{
    uint8_t what = take_byte(), choice;
    domid_t id = what % DOMAINS;
    struct vcpu *v =
        domains[id] && !domains[id]->is_dying ? domains[id]->vcpus[what / DOMAINS % VCPUS] : NULL;

    if (v) {
        event_poll_end(v);
        v->pause_flags = 0;
    }
    choice = take_byte() % ARRAY_SIZE(actions);
    if (actions[choice]) {
        if (v) {
            actions[choice](v);
        }
    } else if (choice == 18) {
        outside_events();
    } else if (choice == 14) {
        sim_interrupt_every(take_byte() % 4);
        sim_heap_fail_at(take_byte() % 2 ? take_byte() % 16 : 0);
    } else {
        sim_heap_fail_at(0);
        if (take_byte() % 4 == 0) {
            destroy_or_create(id);
        }
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    atexit(blocks_report);
    sim_machine_start(4096, VCPUS);
    check(sched_init() == 0, "no scheduler");
    for (unsigned int i = 0; i < VCPUS; i++) {
        check(sched_cpu_online(cpus[i]) == 0, "no scheduler for a CPU");
    }
    // Once, so that what the hypervisor keeps for good is there before anything is counted.
    for (domid_t id = 0; id < DOMAINS; id++) {
        create(id);
    }
    for (domid_t id = DOMAINS; id-- > 0;) {
        destroy(id);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t frames = page_free_count(), objects = sim_heap_objects();

    input = data;
    input_left = size;
    for (domid_t id = 0; id < DOMAINS; id++) {
        check(create(id), "a domain cannot be created");
    }
    for (unsigned int i = 0; i < MAX_STEPS && input_left; i++) {
        step();
    }
    sim_interrupt_every(0);
    sim_heap_fail_at(0);
    for (domid_t id = DOMAINS; id-- > 0;) {
        if (domains[id]) {
            destroy(id);
        }
    }
    check(page_free_count() == frames, "frames are left over");
    check(sim_heap_objects() == objects, "heap objects are left over");
    check(sim_mappings() == 0, "mappings are left over");
    blocks_check(MAX_BLOCKS);
    return 0;
}

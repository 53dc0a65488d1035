// SPDX-License-Identifier: Apache-2.0
// Fuzzer of the control interface: the input is a program of hypercalls by domain 0 and by a guest,
// with structures of mostly small numbers. After each input everything is taken down: anything left
// over, a lock that is never released, a broken invariant, a stray access, or more than MAX_BLOCKS
// basic blocks of the core without a window for interrupts aborts.

#include "control.h"

#include <stdlib.h>
#include <string.h>

#include <bulkhead/sched.h>
#include <bulkhead/stretch.h>

#include "blocks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define MAX_STEPS 60u
#define MAX_RESTARTS 50u
#define MAX_BLOCKS 20000u

static const uint8_t *input;
static size_t input_left;
static struct domain *guest;

static uint8_t take(void)
{
    if (!input_left) {
        return 0;
    }
    input_left--;
    return *input++;
}

static uint64_t take_word(void)
{
    uint8_t kind = take();

    if (kind < 0x80) {
        return kind % 16;
    }
    if (kind < 0xb0) { // an address in the buffer
        return BUFFER_ADDRESS + (uint64_t)take() * 8;
    }
    if (kind < 0xe0) {
        return (uint64_t)take() << 8 | take();
    }
    return kind < 0xf0 ? ~0UL : (uint64_t)take() << 56 | take();
}

static void fill(void *to, size_t size)
{
    uint64_t *words = to;

    for (size_t i = 0; i < size / sizeof(*words); i++) {
        words[i] = take_word();
    }
}

struct operation {
    unsigned int number;
    hypercall_handler handler;
};

static void call(struct vcpu *v, const struct operation *operation, uint64_t first)
{
    struct hypercall c = {.arg = {first, take_word(), take_word(), take_word(), take_word()}};

    for (unsigned int tries = 0; tries < MAX_RESTARTS; tries++) {
        struct stretch outer;

        sim_cpu_enter(0, v);
        c.restart = false;
        outer = stretch_begin(operation->number, first);
        operation->handler(&c);
        stretch_end(outer);
        blocks_hypercalls++;
        this_cpu()->work = 0;
        if (!c.restart) {
            return;
        }
    }
}

// Ending domain 0 ends the machine, which is no finding.
static bool is_fatal(const struct operation *operation, struct vcpu *v, uint64_t command)
{
    return operation->handler == do_sched_op && v->domain == domain0 &&
           (command == 2 || command == 4 || command == 6);
}

static const struct operation operations[] = {
    {__HYPERVISOR_domctl, do_domctl},         {__HYPERVISOR_domctl, do_domctl},
    {__HYPERVISOR_domctl, do_domctl},         {__HYPERVISOR_sysctl, do_sysctl},
    {__HYPERVISOR_hypfs_op, do_hypfs_op},     {__HYPERVISOR_sched_op, do_sched_op},
    {__HYPERVISOR_vcpu_op, do_vcpu_op},       {__HYPERVISOR_xen_version, do_xen_version},
    {__HYPERVISOR_console_io, do_console_io},
};

static void step(void)
{
    uint8_t choice = take();
    const struct operation *operation = &operations[choice % ARRAY_SIZE(operations)];
    struct vcpu *v = choice & 0x80 ? guest->vcpus[choice >> 6 & 1] : domain0->vcpus[0];
    void *page = sim_guest_memory(v->domain, GFN(ARGUMENT_GFN), true);
    void *buffer = sim_guest_memory(v->domain, GFN(BUFFER_GFN), true);
    uint64_t command;

    fill(buffer, 64);
    if (operation->handler == do_domctl) {
        struct xen_domctl *op = page;

        fill(op, sizeof(*op));
        op->cmd = take() % 96;
        op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
        op->domain = (domid_t)(take() % 12);
        call(v, operation, ARGUMENT_GFN << PAGE_SHIFT);
    } else if (operation->handler == do_sysctl) {
        struct xen_sysctl *op = page;

        fill(op, sizeof(*op));
        op->cmd = take() % 32;
        op->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
        call(v, operation, ARGUMENT_GFN << PAGE_SHIFT);
    } else {
        fill(page, 64);
        command = take() % 20;
        if (!is_fatal(operation, v, command)) {
            call(v, operation, command);
        }
    }
}

// Puts every CPU and domain back into the first pool, and gives up the other pools.
static void restore_pools(void)
{
    struct cpumask mask;

    sim_cpu_enter(0, NULL);
    for (uint32_t pool = 1; pool < 0x10000; pool++) {
        struct xen_sysctl_cpupool_op op = {.op = XEN_SYSCTL_CPUPOOL_OP_INFO, .cpupool_id = pool};
        unsigned int cpu;

        if (sched_cpupool_op(&op, &mask)) {
            break;
        }
        pool = op.cpupool_id;
        for_each_cpu (cpu, &mask) {
            struct cpumask unused;

            op = (struct xen_sysctl_cpupool_op){
                .op = XEN_SYSCTL_CPUPOOL_OP_RMCPU, .cpupool_id = pool, .cpu = cpu};
            sched_cpupool_op(&op, &unused);
        }
        op =
            (struct xen_sysctl_cpupool_op){.op = XEN_SYSCTL_CPUPOOL_OP_DESTROY, .cpupool_id = pool};
        sched_cpupool_op(&op, &mask);
    }
    for (unsigned int cpu = 0; cpu < WORLD_CPUS; cpu++) {
        struct xen_sysctl_cpupool_op op = {.op = XEN_SYSCTL_CPUPOOL_OP_ADDCPU, .cpu = cpu};

        sched_cpupool_op(&op, &mask);
    }
}

static void destroy_all(void)
{
    struct domain *d;

    sim_interrupt_every(0);
    sim_heap_fail_at(0);
    sim_cpu_enter(0, domain0->vcpus[0]);
    while ((d = domain_next(1)) != NULL) {
        int error;

        do {
            error = domain_destroy(d);
        } while (error == -XEN_ERESTART);
        domain_put(d);
    }
    world_destroy(domain0);
    domain0 = NULL;
    restore_pools();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    atexit(blocks_report);
    world_start(NULL);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input = data;
    input_left = size;
    console_output_length = 0;
    iommu_is_there = true;
    domain0 = world_create(0, &(struct world_config){.privileged = true, .vcpus = 2});
    guest = world_create(3, &(struct world_config){.vcpus = 2});
    domain_hold(guest); // it may be destroyed on the way
    sim_interrupt_every(take() % 8);
    for (unsigned int i = 0; input_left && i < MAX_STEPS && !guest->is_dying; i++) {
        if (take() == 0xff) {
            sim_heap_fail_at(1 + take() % 16);
        }
        step();
    }
    domain_put(guest);
    destroy_all();
    if (sim_mappings()) {
        abort();
    }
    blocks_check(MAX_BLOCKS);
    return 0;
}

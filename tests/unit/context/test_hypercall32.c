// SPDX-License-Identifier: Apache-2.0
// The 32-bit calling convention: which register is which argument, which structures are made anew,
// what is refused, and that a call that makes way comes again. The common handlers are doubles that
// note what they were given.

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/hypercall.h>
#include <bulkhead/memory_op.h>
#include <x86/domain.h>
#include <x86/hvm.h>
#include <xen/grant_table.h>
#include <xen/memory.h>
#include <xen/sched.h>

#include <cmocka.h>

#define HIGH 0xabcd000000000000UL // what 32-bit code leaves in the upper halves
#define ARGUMENT 0x100u

static unsigned char memory[4096]; // the guest's, from linear address 0
static struct vcpu v;
static struct hypercall seen;
static struct xen_add_to_physmap added;
static struct xen_remove_from_physmap removed;
static uint64_t map_buffer;
static uint32_t map_count, map_domain;
static int64_t result;
static bool makes_way;

int copy_from_guest(void *to, gva_t from, size_t size)
{
    if (from.a > sizeof(memory) - size) {
        return -XEN_EFAULT;
    }
    memcpy(to, memory + from.a, size);
    return 0;
}

int copy_to_guest(gva_t to, const void *from, size_t size)
{
    if (to.a > sizeof(memory) - size) {
        return -XEN_EFAULT;
    }
    memcpy(memory + to.a, from, size);
    return 0;
}

static int64_t note(struct hypercall *call)
{
    seen = *call;
    if (makes_way) {
        call->arg[1] += 8;
        return hypercall_restart(call);
    }
    return result;
}

#define HANDLER(name)                                                                              \
    int64_t name(struct hypercall *call)                                                           \
    {                                                                                              \
        return note(call);                                                                         \
    }

HANDLER(do_memory_op)
HANDLER(do_xen_version)
HANDLER(do_console_io)
HANDLER(do_sched_op)
HANDLER(do_event_channel_op)
HANDLER(do_hvm_op)
HANDLER(do_grant_table_op)

int64_t memory_add_pages(struct hypercall *call, const struct xen_add_to_physmap *arg)
{
    added = *arg;
    return note(call);
}

int64_t memory_remove_page(const struct xen_remove_from_physmap *arg)
{
    removed = *arg;
    return result;
}

int domain_give_memory_map(gva_t buffer, uint32_t *count)
{
    map_buffer = buffer.a;
    *count += 1;
    return (int)result;
}

int domain_take_memory_map(domid_t id, gva_t buffer, uint32_t count)
{
    map_domain = id;
    map_buffer = buffer.a;
    map_count = count;
    return (int)result;
}

// Returns what is in eax afterwards; the call must be done.
static int32_t call(unsigned int number, uint32_t a1, uint32_t a2)
{
    const uint64_t values[16] = {HIGH | number, HIGH | a2, HIGH | 3, HIGH | a1, 0,
                                 HIGH | 6,      HIGH | 4,  HIGH | 5};

    memcpy(v.arch.gpr, values, sizeof(values));
    memset(&seen, 0, sizeof(seen));
    assert_true(hvm_hypercall_32(&v));
    assert_int_equal(v.arch.gpr[0] >> 32, 0);
    return (int32_t)v.arch.gpr[0];
}

static void put(const uint32_t *words, size_t count)
{
    memcpy(memory + ARGUMENT, words, count * sizeof(words[0]));
}

#define PUT(...)                                                                                   \
    put((const uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void registers_are_arguments(void **state)
{
    static const uint64_t expected[6] = {1, 2, 3, 4, 5, 6};

    (void)state;
    result = -XEN_EBUSY;
    assert_int_equal(call(__HYPERVISOR_event_channel_op, 1, 2), -XEN_EBUSY);
    assert_memory_equal(seen.arg, expected, sizeof(expected));
}

static void structures_are_made_anew(void **state)
{
    uint32_t count;

    (void)state;
    result = 0;
    PUT(DOMID_SELF | 7u << 16, XENMAPSPACE_gmfn_range, 0xfffffff1, 0xfffffff2);
    assert_int_equal(call(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, ARGUMENT), 0);
    assert_int_equal(added.domid, DOMID_SELF);
    assert_int_equal(added.size, 7);
    assert_int_equal(added.space, XENMAPSPACE_gmfn_range);
    assert_int_equal(added.idx, 0xfffffff1);
    assert_int_equal(added.gpfn, 0xfffffff2);

    PUT(5, 0xfffffff3);
    assert_int_equal(call(__HYPERVISOR_memory_op, XENMEM_remove_from_physmap, ARGUMENT), 0);
    assert_int_equal(removed.domid, 5);
    assert_int_equal(removed.gpfn, 0xfffffff3);

    PUT(8, 0xfffffff4);
    assert_int_equal(call(__HYPERVISOR_memory_op, XENMEM_memory_map, ARGUMENT), 0);
    assert_int_equal(map_buffer, 0xfffffff4);
    memcpy(&count, memory + ARGUMENT, sizeof(count));
    assert_int_equal(count, 9);

    PUT(DOMID_SELF, 2, 0xfffffff5);
    assert_int_equal(call(__HYPERVISOR_memory_op, XENMEM_set_memory_map, ARGUMENT), 0);
    assert_int_equal(map_domain, DOMID_SELF);
    assert_int_equal(map_count, 2);
    assert_int_equal(map_buffer, 0xfffffff5);
}

static void bad_addresses_are_told(void **state)
{
    static const unsigned int operations[] = {XENMEM_add_to_physmap, XENMEM_remove_from_physmap,
                                              XENMEM_memory_map, XENMEM_set_memory_map};

    (void)state;
    for (unsigned int i = 0; i < ARRAY_SIZE(operations); i++) {
        assert_int_equal(call(__HYPERVISOR_memory_op, operations[i], 0xfffffffc), -XEN_EFAULT);
    }
}

static void the_rest_is_refused(void **state)
{
    static const unsigned int refused[][2] = {
        {63, 0},
        {~0u, 0},
        {__HYPERVISOR_domctl, 0},
        {__HYPERVISOR_multicall, 0},
        {__HYPERVISOR_memory_op, XENMEM_populate_physmap},
        {__HYPERVISOR_sched_op, SCHEDOP_poll},
        {__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref},
    };

    (void)state;
    result = 1;
    for (unsigned int i = 0; i < ARRAY_SIZE(refused); i++) {
        assert_int_equal(call(refused[i][0], refused[i][1], ARGUMENT), -XEN_ENOSYS);
    }
    assert_int_equal(call(__HYPERVISOR_sched_op, SCHEDOP_yield, 0), 1);
    assert_int_equal(call(__HYPERVISOR_grant_table_op, GNTTABOP_set_version, ARGUMENT), 1);
}

static void a_call_that_makes_way_comes_again(void **state)
{
    (void)state;
    makes_way = true;
    v.arch.gpr[0] = __HYPERVISOR_hvm_op;
    v.arch.gpr[1] = 0xfffffff8;
    assert_false(hvm_hypercall_32(&v));
    makes_way = false;
    assert_int_equal(v.arch.gpr[0], __HYPERVISOR_hvm_op);
    assert_int_equal(v.arch.gpr[1], 0); // ecx goes round, and nothing is above it
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers_are_arguments),
        cmocka_unit_test(structures_are_made_anew),
        cmocka_unit_test(bad_addresses_are_told),
        cmocka_unit_test(the_rest_is_refused),
        cmocka_unit_test(a_call_that_makes_way_comes_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

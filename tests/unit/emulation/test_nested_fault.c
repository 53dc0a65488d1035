// SPDX-License-Identifier: Apache-2.0
// What becomes of accesses that second-level tables do not let through: emulated, an exception, or
// the domain's end, in which case one message says who wanted what where.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <bulkhead/arch/domain.h>

#include "machine.h"

#include <cmocka.h>

#define HOLE GPA(MACHINE_HOLE_PAGE * 4096ul + 0x10)
#define DEVICE GPA(VLAPIC_DEFAULT_BASE + 0x30)
#define READ_ONLY GPA(0x7000)
#define RIP 0x1000ul

static struct domain *d;
static struct vcpu *v;
static char said[200];
static bool maps_on_demand;

// Doubles.

struct p2m_entry p2m_lookup(struct domain *domain, gfn_t gfn)
{
    bool is_there = gfn.n == gpa_to_gfn(READ_ONLY).n;

    (void)domain;
    return (struct p2m_entry){.type = is_there ? P2M_FOREIGN_RO : P2M_INVALID};
}

bool hvm_map_on_demand(struct domain *domain, gfn_t gfn)
{
    (void)domain;
    (void)gfn;
    return maps_on_demand;
}

void domain_crash(struct domain *domain, const char *format, ...)
{
    va_list args;

    assert_ptr_equal(domain, d);
    assert_int_equal(said[0], 0);
    va_start(args, format);
    vsnprintf(said, sizeof(said), format, args);
    va_end(args);
}

static int start(void **state)
{
    (void)state;
    d = machine_start(1);
    v = d->vcpus[0];
    machine_enter(v);
    machine_bits = 64;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    machine_in_user_mode = false;
    maps_on_demand = false;
    machine_stop(d);
    return 0;
}

// The instruction at rip is a load, which the emulator knows.
static void fault(gpa_t address, unsigned int access)
{
    memcpy(machine_code, "\x48\x8b\x06", 3);
    machine_code_size = 3;
    machine_exceptions = 0;
    said[0] = 0;
    v->arch.rip = RIP;
    v->arch.gpr[6] = MACHINE_HOLE_PAGE * 4096ul;
    hvm_handle_nested_fault(v, address, access);
}

static void assert_ends(gpa_t address, unsigned int access, const char *why)
{
    char expected[200];

    snprintf(expected, sizeof(expected), "vcpu 0 at rip 1000: %s at %lx", why, address.a);
    fault(address, access);
    assert_string_equal(said, expected);
    assert_int_equal(machine_exceptions, 0);
    assert_int_equal(v->arch.rip, RIP);
}

static void an_operand_is_emulated(void **state)
{
    (void)state;
    fault(HOLE, 0);
    assert_int_equal(v->arch.rip, RIP + 3);
    assert_int_equal(machine_exceptions, 0);
    assert_string_equal(said, "");
}

static void a_fetch_of_nothing_ends_the_domain(void **state)
{
    const char *why = "no memory to fetch instructions from";

    (void)state;
    assert_ends(HOLE, HVM_ACCESS_FETCH, why);
    assert_ends(DEVICE, HVM_ACCESS_FETCH, why);
}

static void user_mode_cannot_end_the_domain_by_a_fetch(void **state)
{
    (void)state;
    machine_in_user_mode = true;
    fault(HOLE, HVM_ACCESS_FETCH);
    assert_string_equal(said, "");
    assert_int_equal(machine_exceptions, 1);
    assert_int_equal(machine_last_exception, HVM_EXCEPTION_UD);
    assert_int_equal(v->arch.rip, RIP);
}

static void what_no_exception_could_tell_ends_the_domain(void **state)
{
    (void)state;
    for (unsigned int user = 0; user < 2; user++) {
        machine_in_user_mode = user;
        assert_ends(HOLE, HVM_ACCESS_TABLES, "no memory for page tables");
        assert_ends(HOLE, HVM_ACCESS_DELIVERY | HVM_ACCESS_WRITE,
                    "no memory to deliver an event by");
        assert_ends(READ_ONLY, HVM_ACCESS_TABLES | HVM_ACCESS_WRITE,
                    "the processor has to write to a read-only page");
    }
}

static void a_write_to_a_read_only_page_is_refused(void **state)
{
    (void)state;
    fault(READ_ONLY, HVM_ACCESS_WRITE);
    assert_string_equal(said, "");
    assert_int_equal(machine_last_exception, HVM_EXCEPTION_GP);
    assert_int_equal(machine_exceptions, 1);
}

static void what_is_mapped_by_now_is_tried_again(void **state)
{
    (void)state;
    fault(READ_ONLY, HVM_ACCESS_FETCH);
    assert_int_equal(machine_exceptions, 0);
    maps_on_demand = true;
    fault(HOLE, HVM_ACCESS_FETCH);
    assert_int_equal(machine_exceptions, 0);
    assert_int_equal(v->arch.rip, RIP);
    assert_string_equal(said, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_operand_is_emulated, start, stop),
        cmocka_unit_test_setup_teardown(a_fetch_of_nothing_ends_the_domain, start, stop),
        cmocka_unit_test_setup_teardown(user_mode_cannot_end_the_domain_by_a_fetch, start, stop),
        cmocka_unit_test_setup_teardown(what_no_exception_could_tell_ends_the_domain, start, stop),
        cmocka_unit_test_setup_teardown(a_write_to_a_read_only_page_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(what_is_mapped_by_now_is_tried_again, start, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
// What an emulated instruction may access: with the rights of its privilege level, each operand and
// each page for itself, and all or nothing.
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include "machine.h"

#include <cmocka.h>

#define PAGE 4096ul
#define RAM_PAGE 2u
#define LAST_PAGE (MACHINE_PAGES - 1)
#define RAX 0
#define RCX 1
#define RSI 6
#define RDI 7

static struct domain *d;
static struct vcpu *v;

static int start(void **state)
{
    (void)state;
    d = machine_start(1);
    v = d->vcpus[0];
    machine_enter(v);
    machine_bits = 64;
    memset(machine_ram, 0x11, sizeof(machine_ram));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    machine_in_user_mode = false;
    machine_stop(d);
    return 0;
}

static bool execute(const char *code, unsigned int size)
{
    memcpy(machine_code, code, size);
    machine_code_size = size;
    machine_exceptions = 0;
    v->arch.rip = 0x1000;
    v->arch.rflags = 2;
    return hvm_emulate_mmio(v);
}

// MOVSQ from where nothing is to the kernel's page: the processor has checked the first operand
// only.
static void both_operands_need_the_right(void **state)
{
    (void)state;
    for (unsigned int user = 0; user < 2; user++) {
        uint8_t *kernel = machine_ram[MACHINE_KERNEL_PAGE];

        v->arch.gpr[RSI] = MACHINE_HOLE_PAGE * PAGE;
        v->arch.gpr[RDI] = MACHINE_KERNEL_PAGE * PAGE;
        kernel[0] = 0x11;
        machine_in_user_mode = user;
        assert_int_equal(execute("\x48\xa5", 2), !user);
        machine_in_user_mode = false;
        assert_int_equal(kernel[0], user ? 0x11 : 0xff);
        assert_int_equal(machine_exceptions, user);
        assert_true(!user || machine_last_exception == HVM_EXCEPTION_PF);
        assert_int_equal(v->arch.rip, user ? 0x1000 : 0x1002);
    }
}

// MOV rax to the end of a page whose successor is elsewhere: the second part does not go to the
// frame that follows the first.
static void each_page_has_its_own_place(void **state)
{
    const unsigned int page = MACHINE_APIC_PAGE - 1;

    (void)state;
    v->arch.gpr[RDI] = (page + 1) * PAGE - 4;
    v->arch.gpr[RAX] = 0x8877665544332211;
    assert_true(execute("\x48\x89\x07", 3));
    assert_memory_equal(machine_ram[page] + PAGE - 4, "\x11\x22\x33\x44", 4);
    assert_int_equal(machine_ram[page][PAGE - 5], 0x11);
    assert_int_equal(machine_ram[page + 1][0], 0x11);
}

static void nothing_is_written_when_the_second_page_faults(void **state)
{
    (void)state;
    v->arch.gpr[RDI] = MACHINE_PAGES * PAGE - 4;
    v->arch.gpr[RAX] = 0x8877665544332211;
    machine_ram[LAST_PAGE][PAGE - 1] = 0x55;
    assert_false(execute("\x48\x89\x07", 3));
    assert_int_equal(machine_last_exception, HVM_EXCEPTION_PF);
    assert_int_equal(machine_ram[LAST_PAGE][PAGE - 1], 0x55);
    assert_int_equal(v->arch.rip, 0x1000);
}

static void memory_is_read_across_pages(void **state)
{
    (void)state;
    memcpy(machine_ram[RAM_PAGE] + PAGE - 3, "\x01\x02\x03", 3);
    memcpy(machine_ram[RAM_PAGE + 1], "\x04\x05\x06\x07\x08", 5);
    v->arch.gpr[RSI] = (RAM_PAGE + 1) * PAGE - 3;
    assert_true(execute("\x48\x8b\x06", 3));
    assert_int_equal(v->arch.gpr[RAX], 0x0807060504030201);
}

// INSB by a process that was given the port: not into its kernel.
static void string_input_needs_the_right(void **state)
{
    (void)state;
    for (unsigned int user = 0; user < 2; user++) {
        v->arch.gpr[RDI] = MACHINE_KERNEL_PAGE * PAGE;
        v->arch.gpr[RCX] = 1;
        machine_ram[MACHINE_KERNEL_PAGE][0] = 0x11;
        machine_in_user_mode = user;
        assert_int_equal(hvm_emulate_string_io(v, MACHINE_PORT, 1, true, false, 0x1001), !user);
        machine_in_user_mode = false;
        assert_int_equal(machine_ram[MACHINE_KERNEL_PAGE][0], user ? 0x11 : 0x60);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(both_operands_need_the_right, start, stop),
        cmocka_unit_test_setup_teardown(each_page_has_its_own_place, start, stop),
        cmocka_unit_test_setup_teardown(nothing_is_written_when_the_second_page_faults, start,
                                        stop),
        cmocka_unit_test_setup_teardown(memory_is_read_across_pages, start, stop),
        cmocka_unit_test_setup_teardown(string_input_needs_the_right, start, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

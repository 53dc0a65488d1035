// SPDX-License-Identifier: Apache-2.0
// A domain that writes anything anywhere, and memory that runs out at every single place. The fake
// machine ends the program when something forbidden is mapped or an entry is used wrongly.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_machine.h"

static uint64_t seed;

static uint32_t random32(void)
{
    seed = seed * 6364136223846793005UL + 1442695040888963407UL;
    return (uint32_t)(seed >> 32);
}

static const pci_sbdf_t *random_function(void)
{
    static const pci_sbdf_t functions[] = {{0, 0, 0x10}, {0, 0, 0x18}, {0, 0, 0x20}, {0, 1, 0},
                                           {0, 0, 0x28}, {0, 0, 0},    {0, 3, 0x88}};

    return &functions[random32() % ARRAY_SIZE(functions)];
}

static uint32_t random_value(void)
{
    static const uint32_t interesting[] = {
        0, ~0u, 1, 2, 0x8000, 0xc000, 0xe0000000, 0xfee00000, 0xfed80000, 0x407, 0x71, 0x4000};

    return random32() % 2 ? interesting[random32() % ARRAY_SIZE(interesting)] : random32();
}

static void random_access(void)
{
    unsigned int size = 1u << random32() % 3;
    unsigned int offset = random32() % 4 ? random32() % 0x90 : random32() % 4096;
    uint64_t table = NIC_BAR0 + random32() % 0x5000, value;

    offset -= offset % size;
    switch (random32() % 6) {
    case 0:
        guest_read(*random_function(), offset, size);
        break;
    case 1:
    case 2:
        guest_write(*random_function(), offset, size, random_value());
        break;
    case 3:
        guest_memory_write(table, size, random_value());
        break;
    case 4:
        guest_memory_read(table - table % 8, 8, &value);
        guest_memory_write(table - table % 8, 8, random_value());
        break;
    default:
        guest_port_write((uint16_t)(0xcf8 + random32() % 8), size, random_value());
        guest_port_read((uint16_t)(0xcf8 + random32() % 8), size);
    }
}

static void test_random_accesses(void **state)
{
    (void)state;
    for (seed = 1; seed < 40; seed++) {
        uint64_t next = seed;

        fake_machine_reset();
        fake_machine_start();
        for (unsigned int i = 0; i < 5000; i++) {
            random_access();
        }
        fake_machine_stop();
        seed = next;
    }
}

static void test_memory_runs_out(void **state)
{
    (void)state;
    for (int n = 0; n < 60; n++) {
        fake_machine_reset();
        fake_machine_start();
        fake_machine_stop();
        list_init(&fake_domain.arch.io_handlers);
        fake_fail_after = n;
        if (vpci_domain_init(&fake_domain) == 0) {
            vpci_assign_hardware_domain(&fake_domain);
            guest_write(DISK, 4, 2, 6);
            guest_write(NIC, 4, 2, 0);
            guest_write(NIC, 4, 2, 6);
        }
        fake_fail_after = -1;
        fake_machine_stop();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_accesses),
        cmocka_unit_test(test_memory_runs_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
// Resetting the machine, by one way after the other until it is gone: the ACPI reset register, the
// chipset's reset control port, the keyboard controller, a triple fault. Runs on a dying machine:
// takes no lock; all waits are bounded.

#include <bulkhead/acpi.h>
#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <x86/io_port.h>
#include <x86/registers.h>

#define RESET_CONTROL 0xcf9
#define RESET_HARD 0x02
#define RESET_NOW 0x06
#define KEYBOARD_STATUS 0x64
#define KEYBOARD_FULL 0x02
#define KEYBOARD_RESET 0xfe
#define KEYBOARD_POLLS 100000u
#define RESET_POLLS 10000000u

static void wait_a_little(void)
{
    for (unsigned int i = 0; i < RESET_POLLS; i++) {
        cpu_relax();
    }
}

void arch_restart_machine(void)
{
    const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) no_table = {0, 0};

    __asm__ volatile("cli");
    console_flush();
    acpi_reset();
    port_write8(RESET_CONTROL, RESET_HARD);
    port_write8(RESET_CONTROL, RESET_NOW);
    wait_a_little();
    for (unsigned int i = 0; i < KEYBOARD_POLLS; i++) {
        if (!(port_read8(KEYBOARD_STATUS) & KEYBOARD_FULL)) {
            break;
        }
    }
    port_write8(KEYBOARD_STATUS, KEYBOARD_RESET);
    wait_a_little();
    for (;;) {
        __asm__ volatile("lidt %0; ud2" : : "m"(no_table));
    }
}

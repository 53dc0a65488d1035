// SPDX-License-Identifier: Apache-2.0
// MSI and MSI-X from the device's message to the domain's.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_machine.h"

#include "../../../hypervisor/drivers/pci/pci_private.h"

static int start(void **state)
{
    (void)state;
    fake_machine_reset();
    fake_machine_start();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fake_machine_stop();
    return 0;
}

static uint32_t hardware_word(unsigned int entry, unsigned int word)
{
    uint32_t value;

    __builtin_memcpy(&value, fake_memory + (NIC_TABLE - FAKE_MEMORY_START) + entry * 16 + word * 4,
                     4);
    return value;
}

static void program_msi(uint64_t address, uint16_t data, unsigned int log_count)
{
    guest_write(NIC, NIC_MSI + 4, 4, (uint32_t)address);
    guest_write(NIC, NIC_MSI + 8, 4, (uint32_t)(address >> 32));
    guest_write(NIC, NIC_MSI + 12, 2, data);
    guest_write(NIC, NIC_MSI + 2, 2, PCI_MSI_ENABLE | log_count << PCI_MSI_MULTIPLE_SHIFT);
}

// The device sends its n-th MSI as the hardware is programmed.
static bool send_msi(unsigned int n)
{
    uint64_t address = pci_read32(NIC, NIC_MSI + 4) | (uint64_t)pci_read32(NIC, NIC_MSI + 8) << 32;

    if (!(pci_read16(NIC, NIC_MSI + 2) & PCI_MSI_ENABLE) ||
        pci_read32(NIC, NIC_MSI + 16) >> n & 1) {
        return false;
    }
    return fake_raise(address, pci_read16(NIC, NIC_MSI + 12) | n);
}

static bool send_msix(unsigned int n)
{
    uint16_t control = pci_read16(NIC, NIC_MSIX + 2);

    if (!(control & PCI_MSIX_ENABLE) || control & PCI_MSIX_MASK_ALL || hardware_word(n, 3) & 1) {
        return false;
    }
    return fake_raise(hardware_word(n, 0) | (uint64_t)hardware_word(n, 1) << 32,
                      hardware_word(n, 2));
}

static void test_msi(void **state)
{
    (void)state;
    assert_int_equal(guest_read(NIC, NIC_MSI + 2, 2),
                     PCI_MSI_64BIT | PCI_MSI_PER_VECTOR_MASK | 3 << 1);
    program_msi(0xfee02000, 0x4051, 0);
    assert_int_equal(fake_irqs_used(), 1);
    // What the domain wrote is what it reads; the hardware has our message.
    assert_int_equal(guest_read(NIC, NIC_MSI + 4, 4), 0xfee02000);
    assert_int_equal(guest_read(NIC, NIC_MSI + 12, 2), 0x4051);
    assert_int_equal(pci_read32(NIC, NIC_MSI + 4), 0xfee00000);
    assert_true(send_msi(0));
    assert_int_equal(fake_delivered, 1);
    assert_int_equal(fake_address, 0xfee02000);
    assert_int_equal(fake_data, 0x4051);
    // A new message while it is enabled takes effect at once.
    guest_write(NIC, NIC_MSI + 4, 4, 0xfee04000);
    guest_write(NIC, NIC_MSI + 12, 1, 0x61);
    assert_true(send_msi(0));
    assert_int_equal(fake_address, 0xfee04000);
    assert_int_equal(fake_data, 0x4061);
    guest_write(NIC, NIC_MSI + 2, 2, 0);
    assert_false(send_msi(0));
    assert_int_equal(fake_irqs_used(), 0);
}

static void test_msi_multiple(void **state)
{
    (void)state;
    program_msi(0xfee01000, 0x80, 3);
    assert_int_equal(fake_irqs_used(), 8);
    for (unsigned int i = 0; i < 8; i++) {
        assert_true(send_msi(i));
        assert_int_equal(fake_data, 0x80 | i);
    }
    guest_write(NIC, NIC_MSI + 16, 4, 0x4);
    assert_false(send_msi(2));
    assert_true(send_msi(3));
    // Asking for more than the function has gives what it has.
    guest_write(NIC, NIC_MSI + 2, 2, 0);
    program_msi(0xfee01000, 0x80, 5);
    assert_int_equal(fake_irqs_used(), 8);
}

static void test_msi_without_vectors(void **state)
{
    (void)state;
    fake_irq_limit = 3;
    program_msi(0xfee01000, 0x80, 2);
    assert_int_equal(fake_irqs_used(), 0);
    assert_false(pci_read16(NIC, NIC_MSI + 2) & PCI_MSI_ENABLE);
    guest_write(NIC, NIC_MSI + 2, 2, 0);
    program_msi(0xfee01000, 0x80, 1);
    assert_int_equal(fake_irqs_used(), 2);
}

// Messages that are no interrupts must not reach anyone.
static void test_msi_wrong_address(void **state)
{
    (void)state;
    program_msi(0x12345000, 0x30, 0);
    send_msi(0);
    program_msi(0x1fee00000, 0x30, 0);
    send_msi(0);
    assert_int_equal(fake_delivered, 0);
}

static void write_entry(unsigned int n, uint32_t address, uint32_t data, uint32_t control)
{
    assert_true(guest_memory_write(NIC_TABLE + n * 16, 4, address));
    assert_true(guest_memory_write(NIC_TABLE + n * 16 + 4, 4, 0));
    assert_true(guest_memory_write(NIC_TABLE + n * 16 + 8, 4, data));
    assert_true(guest_memory_write(NIC_TABLE + n * 16 + 12, 4, control));
}

static void test_msix(void **state)
{
    uint64_t value;

    (void)state;
    assert_int_equal(guest_read(NIC, NIC_MSIX + 2, 2), 15);
    // As Linux does it: enable with everything masked, write entries, unmask.
    guest_write(NIC, NIC_MSIX + 2, 2, PCI_MSIX_ENABLE | PCI_MSIX_MASK_ALL);
    for (unsigned int i = 0; i < 16; i++) {
        write_entry(i, 0xfee00000, 0, 1);
    }
    write_entry(3, 0xfee06000, 0x33, 0);
    write_entry(15, 0xfee07000, 0x44, 0);
    assert_int_equal(fake_irqs_used(), 0);
    assert_false(send_msix(3));
    guest_write(NIC, NIC_MSIX + 2, 2, PCI_MSIX_ENABLE);
    assert_int_equal(fake_irqs_used(), 2);
    assert_true(send_msix(3));
    assert_int_equal(fake_address, 0xfee06000);
    assert_int_equal(fake_data, 0x33);
    assert_true(send_msix(15));
    assert_int_equal(fake_data, 0x44);
    assert_true(guest_memory_read(NIC_TABLE + 3 * 16 + 8, 4, &value));
    assert_int_equal(value & 0xffffffff, 0x33);
    // Mask, change, unmask.
    assert_true(guest_memory_write(NIC_TABLE + 3 * 16 + 12, 4, 1));
    assert_false(send_msix(3));
    assert_true(guest_memory_write(NIC_TABLE + 3 * 16, 8, 0xfee08000));
    assert_true(guest_memory_write(NIC_TABLE + 3 * 16 + 8, 8, 0x55));
    assert_true(send_msix(3));
    assert_int_equal(fake_address, 0xfee08000);
    assert_int_equal(fake_data, 0x55);
    guest_write(NIC, NIC_MSIX + 2, 2, 0);
    assert_int_equal(fake_irqs_used(), 0);
}

// Turning decode off and on, and moving the BAR, while MSI-X is on.
static void test_msix_moves(void **state)
{
    uint64_t value;

    (void)state;
    guest_write(NIC, NIC_MSIX + 2, 2, PCI_MSIX_ENABLE);
    write_entry(0, 0xfee01000, 0x31, 0);
    assert_true(send_msix(0));
    guest_write(NIC, PCI_COMMAND, 2, 0);
    assert_false(guest_memory_read(NIC_TABLE, 4, &value));
    guest_write(NIC, PCI_BAR0, 4, 0xe4000000);
    guest_write(NIC, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    assert_true(guest_memory_read(0xe4002008, 4, &value));
    assert_int_equal(value & 0xffffffff, 0x31);
    // The hardware's table was written again at its new place.
    assert_int_equal(fake_memory[0x4002000 + 3], 0xfe);
    assert_int_equal(fake_irqs_used(), 1);
}

static void test_msix_pending_bits(void **state)
{
    uint64_t value;

    (void)state;
    fake_memory[NIC_PENDING - FAKE_MEMORY_START] = 0xa5;
    assert_true(guest_memory_read(NIC_PENDING, 8, &value));
    assert_int_equal(value & 0xff, 0xa5);
    assert_true(guest_memory_read(NIC_PENDING, 1, &value));
    assert_int_equal(value & 0xff, 0xa5);
    assert_true(guest_memory_write(NIC_PENDING, 1, 0));
    assert_int_equal(fake_memory[NIC_PENDING - FAKE_MEMORY_START], 0);
    // Narrow accesses to the table itself are undefined: nothing happens.
    guest_memory_write(NIC_TABLE, 1, 0xff);
    guest_memory_write(NIC_TABLE, 2, 0xffff);
    assert_true(guest_memory_read(NIC_TABLE, 4, &value));
    assert_int_equal(value & 0xffffffff, 0);
}

static void test_msix_without_vectors(void **state)
{
    (void)state;
    fake_irq_limit = 1;
    guest_write(NIC, NIC_MSIX + 2, 2, PCI_MSIX_ENABLE);
    write_entry(0, 0xfee01000, 0x31, 0);
    write_entry(1, 0xfee01000, 0x32, 0);
    assert_int_equal(fake_irqs_used(), 1);
    assert_false(fake_entries[1].allocated);
    fake_irq_limit = 2;
    guest_memory_write(NIC_TABLE + 16 + 12, 4, 1);
    guest_memory_write(NIC_TABLE + 16 + 12, 4, 0);
    assert_int_equal(fake_irqs_used(), 2);
}

// An interrupt that moves to another CPU: the IOMMU's entry follows, the message stays.
static void test_move_to_cpu(void **state)
{
    (void)state;
    program_msi(0xfee01000, 0x80, 0);
    fake_irqs[0].destination = 5;
    fake_irqs[0].vector = 0x99;
    fake_irqs[0].reprogram(&fake_irqs[0], fake_irqs[0].data);
    assert_int_equal(fake_entries[0].vector, 0x99);
    assert_int_equal(fake_entries[0].destination, 5);
    assert_true(send_msi(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_msi, start, stop),
        cmocka_unit_test_setup_teardown(test_msi_multiple, start, stop),
        cmocka_unit_test_setup_teardown(test_msi_without_vectors, start, stop),
        cmocka_unit_test_setup_teardown(test_msi_wrong_address, start, stop),
        cmocka_unit_test_setup_teardown(test_msix, start, stop),
        cmocka_unit_test_setup_teardown(test_msix_moves, start, stop),
        cmocka_unit_test_setup_teardown(test_msix_pending_bits, start, stop),
        cmocka_unit_test_setup_teardown(test_msix_without_vectors, start, stop),
        cmocka_unit_test_setup_teardown(test_move_to_cpu, start, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

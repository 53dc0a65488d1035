// SPDX-License-Identifier: Apache-2.0
// The MSI-X capability and table of a virtual function (PCI Local Bus Specification 3.0, section
// 6.8.2). The pages that hold the table are not mapped for the domain: accesses come here. Table
// entries are the domain's in memory; the hardware's hold messages of ours and the domain's mask
// bits. The rest of those pages, the pending bits usually, is the hardware's.
// An entry gets a vector when it is first unmasked while MSI-X is enabled and keeps it until MSI-X
// is disabled. When vectors run out the entry stays masked in hardware, with a message.
// The device's lock is held, except on entry of the handlers. The handler's range changes while the
// domain runs, size first and last, and every access is checked against the window again.
#include <bulkhead/console.h>
#include <bulkhead/errno.h>
#include <bulkhead/heap.h>
#include <x86/io_port.h>
#include <x86/paging.h>

#include "vpci_private.h"

enum { WORD_ADDRESS_LOW, WORD_ADDRESS_HIGH, WORD_DATA, WORD_CONTROL };

static bool entry_wanted(const struct vpci_msix *msix, const struct vpci_msix_entry *e)
{
    return msix->enabled && !msix->mask_all && !(e->word[WORD_CONTROL] & PCI_MSIX_ENTRY_MASKED);
}

static volatile uint8_t *hardware_entry(const struct vpci_msix *msix, unsigned int n)
{
    return msix->window + (msix->table_offset & (PAGE_SIZE - 1)) + n * PCI_MSIX_ENTRY_SIZE;
}

static void mask_hardware(const struct vpci_msix *msix, unsigned int n)
{
    if (msix->window) {
        mmio_write32(hardware_entry(msix, n) + PCI_MSIX_ENTRY_CONTROL, PCI_MSIX_ENTRY_MASKED);
    }
}

// Writes the whole entry, unmasked: the hardware may have lost it in a reset. The message is the
// entry's index, as when it was bound.
static void write_hardware(const struct vpci_msix *msix, unsigned int n)
{
    const struct vpci_interrupt *i = &msix->entries[n].interrupt;
    volatile uint8_t *hw;

    if (!msix->window) {
        return;
    }
    hw = hardware_entry(msix, n);
    mmio_write32(hw + PCI_MSIX_ENTRY_CONTROL, PCI_MSIX_ENTRY_MASKED);
    mmio_write32(hw, (uint32_t)i->hardware.address);
    mmio_write32(hw + 4, (uint32_t)(i->hardware.address >> 32));
    mmio_write32(hw + 8, i->hardware.data);
    mmio_write32(hw + PCI_MSIX_ENTRY_CONTROL, 0);
}

static int bind_entry(struct vpci_msix *msix, unsigned int n)
{
    struct vpci_device *v = msix->device;
    struct vpci_interrupt *i = &msix->entries[n].interrupt;
    int index = iommu_irq_alloc(v->pdev, 1);
    int error = index < 0 ? index : vpci_interrupt_bind(i, (unsigned int)index);

    if (error) {
        if (index >= 0) {
            iommu_irq_free(v->pdev, (unsigned int)index, 1);
        }
        log_warning("vPCI: " PCI_FORMAT " of domain %u: no vector for MSI-X entry %u (%d)",
                    PCI_ARGUMENTS(v->pdev->sbdf), v->domain->id, n, error);
    }
    return error;
}

// Makes the hardware's entry what the domain's asks for.
static void update_entry(struct vpci_msix *msix, unsigned int n)
{
    struct vpci_msix_entry *e = &msix->entries[n];

    if (!entry_wanted(msix, e)) {
        if (e->interrupt.irq) {
            mask_hardware(msix, n);
        }
    } else if (e->interrupt.irq || bind_entry(msix, n) == 0) {
        write_hardware(msix, n);
    }
}

static void update_all(struct vpci_msix *msix)
{
    for (unsigned int n = 0; n < msix->count; n++) {
        update_entry(msix, n);
    }
}

static void unbind_all(struct vpci_msix *msix)
{
    for (unsigned int n = 0; n < msix->count; n++) {
        struct vpci_interrupt *i = &msix->entries[n].interrupt;

        if (i->irq) {
            mask_hardware(msix, n);
            vpci_interrupt_unbind(i);
            iommu_irq_free(msix->device->pdev, i->index, 1);
        }
    }
}

static void write_hardware_control(const struct vpci_device *v, uint32_t bits)
{
    unsigned int offset = v->pdev->msix + PCI_MSIX_CONTROL;
    uint16_t control = pci_read16(v->pdev->sbdf, offset);

    control &= (uint16_t) ~(PCI_MSIX_ENABLE | PCI_MSIX_MASK_ALL);
    pci_config_write(v->pdev->sbdf, offset, 2, control | bits);
}

static uint32_t read_control(struct vpci_device *v, const struct vpci_register *r)
{
    (void)r;
    return (v->msix->count - 1) | (v->msix->enabled ? PCI_MSIX_ENABLE : 0) |
           (v->msix->mask_all ? PCI_MSIX_MASK_ALL : 0);
}

// While MSI-X is on, the hardware is masked as a whole when its entries are changed.
static void write_control(struct vpci_device *v, const struct vpci_register *r, uint32_t value,
                          uint32_t mask)
{
    struct vpci_msix *msix = v->msix;
    uint32_t new = (read_control(v, r) & ~mask) | value;

    msix->enabled = new &PCI_MSIX_ENABLE;
    msix->mask_all = new &PCI_MSIX_MASK_ALL;
    if (!msix->enabled) {
        write_hardware_control(v, 0);
        unbind_all(msix);
        return;
    }
    write_hardware_control(v, PCI_MSIX_ENABLE | PCI_MSIX_MASK_ALL);
    if (!msix->mask_all) {
        update_all(msix);
        write_hardware_control(v, PCI_MSIX_ENABLE);
    }
}

// Offset of an access in the table; false: it is elsewhere in the window.
static bool in_table(const struct vpci_msix *msix, uint64_t address, unsigned int size,
                     uint64_t *offset)
{
    uint64_t start = msix->window_start + (msix->table_offset & (PAGE_SIZE - 1));
    uint64_t bytes = (uint64_t)msix->count * PCI_MSIX_ENTRY_SIZE;

    *offset = address - start;
    return address + size > start && address < start + bytes;
}

static bool in_window(const struct vpci_msix *msix, uint64_t address, unsigned int size)
{
    return msix->window && address >= msix->window_start &&
           address + size <= msix->window_start + msix->window_size && address % size == 0;
}

static uint64_t read_window(const struct vpci_msix *msix, uint64_t address, unsigned int size)
{
    const volatile uint8_t *p = msix->window + (address - msix->window_start);

    switch (size) {
    case 1:
        return *p;
    case 2:
        return *(const volatile uint16_t *)p;
    case 4:
        return mmio_read32(p);
    default:
        return mmio_read64(p);
    }
}

static void write_window(const struct vpci_msix *msix, uint64_t address, unsigned int size,
                         uint64_t value)
{
    volatile uint8_t *p = msix->window + (address - msix->window_start);

    switch (size) {
    case 1:
        *p = (uint8_t)value;
        break;
    case 2:
        *(volatile uint16_t *)p = (uint16_t)value;
        break;
    case 4:
        mmio_write32(p, (uint32_t)value);
        break;
    default:
        mmio_write64(p, value);
    }
}

static void write_word(struct vpci_msix *msix, uint64_t offset, uint32_t value)
{
    unsigned int n = (unsigned int)(offset / PCI_MSIX_ENTRY_SIZE);
    unsigned int word = offset % PCI_MSIX_ENTRY_SIZE / 4;
    struct vpci_msix_entry *e = &msix->entries[n];
    uint32_t old = e->word[word];

    if (word == WORD_CONTROL) {
        e->word[word] = value & PCI_MSIX_ENTRY_MASKED;
        if (old != e->word[word]) {
            update_entry(msix, n);
        }
        return;
    }
    e->word[word] = word == WORD_ADDRESS_LOW ? value & ~3u : value;
    vpci_interrupt_set_message(
        &e->interrupt, (uint64_t)e->word[WORD_ADDRESS_HIGH] << 32 | e->word[WORD_ADDRESS_LOW],
        e->word[WORD_DATA]);
}

static void table_read(struct vcpu *vcpu, void *opaque, uint64_t address, unsigned int size,
                       uint64_t *value)
{
    struct vpci_msix *msix = opaque;
    uint64_t offset;

    (void)vcpu;
    *value = ~0UL;
    spin_lock(&msix->device->pdev->lock);
    if (in_window(msix, address, size)) {
        if (!in_table(msix, address, size, &offset)) {
            *value = read_window(msix, address, size);
        } else if (size >= 4) {
            const uint32_t *word = &msix->entries[offset / PCI_MSIX_ENTRY_SIZE].word[0] +
                                   offset % PCI_MSIX_ENTRY_SIZE / 4;

            *value = size == 8 ? word[0] | (uint64_t)word[1] << 32 : word[0];
        }
    }
    spin_unlock(&msix->device->pdev->lock);
}

static void table_write(struct vcpu *vcpu, void *opaque, uint64_t address, unsigned int size,
                        uint64_t value)
{
    struct vpci_msix *msix = opaque;
    uint64_t offset;

    (void)vcpu;
    spin_lock(&msix->device->pdev->lock);
    if (in_window(msix, address, size)) {
        if (!in_table(msix, address, size, &offset)) {
            write_window(msix, address, size, value);
        } else if (size >= 4) { // smaller accesses are undefined
            write_word(msix, offset, (uint32_t)value);
            if (size == 8) {
                write_word(msix, offset + 4, (uint32_t)(value >> 32));
            }
        }
    }
    spin_unlock(&msix->device->pdev->lock);
}

bool vpci_msix_hole(const struct vpci_device *v, unsigned int bar, uint64_t address,
                    uint64_t *first, uint64_t *count)
{
    uint64_t start, end;

    if (!v->msix || v->msix->bar != bar) {
        return false;
    }
    start = address + v->msix->table_offset;
    end = start + (uint64_t)v->msix->count * PCI_MSIX_ENTRY_SIZE;
    *first = start >> PAGE_SHIFT;
    *count = ((end + PAGE_SIZE - 1) >> PAGE_SHIFT) - *first;
    return true;
}

void vpci_msix_show(struct vpci_device *v, uint64_t address, uint64_t machine)
{
    struct vpci_msix *msix = v->msix;
    uint64_t first, count;

    vpci_msix_hole(v, msix->bar, address, &first, &count);
    msix->window_start = first << PAGE_SHIFT;
    msix->window_size = count << PAGE_SHIFT;
    msix->window = hv_ioremap(MADDR(machine + (msix->window_start - address)), msix->window_size);
    if (!msix->window) {
        log_warning("vPCI: " PCI_FORMAT ": MSI-X table cannot be mapped",
                    PCI_ARGUMENTS(v->pdev->sbdf));
        return;
    }
    msix->handler.start = msix->window_start;
    __atomic_store_n(&msix->handler.size, msix->window_size, __ATOMIC_RELEASE);
    // Entries that were unmasked while the table could not be reached.
    update_all(msix);
}

void vpci_msix_hide(struct vpci_device *v)
{
    struct vpci_msix *msix = v->msix;

    __atomic_store_n(&msix->handler.size, 0, __ATOMIC_RELEASE);
    if (msix->window) {
        hv_iounmap((void *)(uintptr_t)msix->window, msix->window_size);
        msix->window = NULL;
    }
}

// Where the table is; false when the device says something impossible.
static bool table_location(struct vpci_device *v, struct vpci_msix *msix)
{
    uint32_t location = pci_read32(v->pdev->sbdf, v->pdev->msix + PCI_MSIX_TABLE);
    const struct vpci_bar *bar;

    msix->count = v->pdev->msix_count;
    msix->bar = location & PCI_MSIX_BAR_MASK;
    msix->table_offset = location & ~PCI_MSIX_BAR_MASK;
    if (msix->bar >= PCI_MAX_BARS) {
        return false;
    }
    bar = &v->bars[msix->bar];
    return (bar->type == PCI_BAR_MEMORY32 || bar->type == PCI_BAR_MEMORY64) &&
           msix->table_offset + (uint64_t)msix->count * PCI_MSIX_ENTRY_SIZE <= bar->size;
}

static int create(struct vpci_device *v, struct vpci_msix *msix)
{
    msix->entries = heap_alloc_array(msix->count, sizeof(*msix->entries));
    if (!msix->entries) {
        return -XEN_ENOMEM;
    }
    for (unsigned int n = 0; n < msix->count; n++) {
        msix->entries[n].word[WORD_CONTROL] = PCI_MSIX_ENTRY_MASKED;
        msix->entries[n].interrupt.domain = v->domain;
        msix->entries[n].interrupt.pdev = v->pdev;
    }
    msix->device = v;
    msix->handler = (struct io_handler){
        .space = IO_MEMORY, .opaque = msix, .read = table_read, .write = table_write};
    v->msix = msix;
    return vpci_register_add(v, (struct vpci_register){.offset = v->pdev->msix + PCI_MSIX_CONTROL,
                                                       .size = 2,
                                                       .read = read_control,
                                                       .write = write_control})
               ? 0
               : -XEN_ENOSPC;
}

int vpci_msix_init(struct vpci_device *v)
{
    struct vpci_msix *msix;
    int error;

    if (!v->pdev->msix) {
        return 0;
    }
    write_hardware_control(v, 0);
    msix = heap_new(struct vpci_msix);
    if (!msix) {
        return -XEN_ENOMEM;
    }
    if (!table_location(v, msix)) {
        log_warning("vPCI: " PCI_FORMAT ": its MSI-X table is outside of its BARs: not usable",
                    PCI_ARGUMENTS(v->pdev->sbdf));
        heap_free(msix);
        // A capability without entries that can be enabled: writes are dropped.
        return vpci_register_add(
                   v, (struct vpci_register){.offset = v->pdev->msix + PCI_MSIX_CONTROL, .size = 2})
                   ? 0
                   : -XEN_ENOSPC;
    }
    error = create(v, msix);
    if (error) {
        heap_free(msix->entries);
        heap_free(msix);
        v->msix = NULL;
        return error;
    }
    io_handler_add(v->domain, &msix->handler);
    return 0;
}

void vpci_msix_free(struct vpci_device *v)
{
    if (!v->msix) {
        return;
    }
    write_hardware_control(v, 0);
    unbind_all(v->msix);
    vpci_msix_hide(v);
    io_handler_remove(&v->msix->handler);
    heap_free(v->msix->entries);
    heap_free(v->msix);
    v->msix = NULL;
}

// SPDX-License-Identifier: Apache-2.0
// The MSI capability of a virtual function (PCI Local Bus Specification 3.0, section 6.8.1): what
// the domain writes is kept; while it is enabled the hardware sends messages of ours. A domain that
// asks for several gets an IOMMU entry and a vector for each, so they need not be adjacent.
// When vectors run out the capability reads as enabled but stays silent, with a message.
// The device's lock is held.
#include <bulkhead/console.h>
#include <bulkhead/errno.h>
#include <bulkhead/heap.h>

#include "msi.h"
#include "vpci_private.h"

// The domain's messages: the low data bits count up from the first.
static void set_messages(struct vpci_msi *msi)
{
    unsigned int count = 1u << msi->log_count;

    for (unsigned int i = 0; i < count; i++) {
        vpci_interrupt_set_message(&msi->interrupts[i], msi->address,
                                   (msi->data & ~(count - 1)) | i);
    }
}

static void unbind(struct vpci_device *v, unsigned int count)
{
    struct vpci_msi *msi = v->msi;
    unsigned int index = msi->interrupts[0].index;

    for (unsigned int i = 0; i < count; i++) {
        vpci_interrupt_unbind(&msi->interrupts[i]);
    }
    iommu_irq_free(v->pdev, index, 1u << msi->log_count);
}

static void disable(struct vpci_device *v)
{
    msi_disable(v->pdev->sbdf, v->pdev->msi);
    if (v->msi->active) {
        v->msi->active = false;
        unbind(v, 1u << v->msi->log_count);
    }
}

static int bind_all(struct vpci_device *v)
{
    struct vpci_msi *msi = v->msi;
    unsigned int count = 1u << msi->log_count;
    int index = iommu_irq_alloc(v->pdev, count);

    if (index < 0) {
        return index;
    }
    msi->interrupts[0].index = (unsigned int)index;
    set_messages(msi);
    for (unsigned int i = 0; i < count; i++) {
        int error = vpci_interrupt_bind(&msi->interrupts[i], (unsigned int)index + i);

        if (error) {
            unbind(v, i);
            return error;
        }
    }
    return 0;
}

static void enable(struct vpci_device *v)
{
    struct vpci_msi *msi = v->msi;
    unsigned int wanted = (msi->control & PCI_MSI_MULTIPLE_MASK) >> PCI_MSI_MULTIPLE_SHIFT;
    int error;

    msi->log_count = MIN(wanted, msi->log_capable);
    error = bind_all(v);
    if (error) {
        log_warning("vPCI: " PCI_FORMAT " of domain %u: no room for %u MSI vectors (%d)",
                    PCI_ARGUMENTS(v->pdev->sbdf), v->domain->id, 1u << msi->log_count, error);
        return;
    }
    msi->active = true;
    msi_set_mask(v->pdev->sbdf, v->pdev->msi, msi->mask);
    msi_enable(v->pdev->sbdf, v->pdev->msi, &msi->interrupts[0].hardware, msi->log_count);
}

static uint32_t read_control(struct vpci_device *v, const struct vpci_register *r)
{
    uint16_t hardware = pci_read16(v->pdev->sbdf, r->offset);

    return (hardware & (PCI_MSI_CAPABLE_MASK | PCI_MSI_64BIT | PCI_MSI_PER_VECTOR_MASK)) |
           v->msi->control;
}

// Enabling while enabled programs the hardware anew: a reset may have wiped it.
static void write_control(struct vpci_device *v, const struct vpci_register *r, uint32_t value,
                          uint32_t mask)
{
    uint16_t writable = PCI_MSI_ENABLE | PCI_MSI_MULTIPLE_MASK;
    uint32_t new = (read_control(v, r) & ~mask) | value;

    v->msi->control = (uint16_t) new &writable;
    disable(v);
    if (v->msi->control & PCI_MSI_ENABLE) {
        enable(v);
    }
}

static uint32_t read_address(struct vpci_device *v, const struct vpci_register *r)
{
    return (uint32_t)(v->msi->address >> r->argument);
}

static void write_address(struct vpci_device *v, const struct vpci_register *r, uint32_t value,
                          uint32_t mask)
{
    uint64_t old = v->msi->address & ~((uint64_t)mask << r->argument);

    v->msi->address = (old | (uint64_t)value << r->argument) & ~3UL;
    if (v->msi->active) {
        set_messages(v->msi);
    }
}

static uint32_t read_data(struct vpci_device *v, const struct vpci_register *r)
{
    (void)r;
    return v->msi->data;
}

static void write_data(struct vpci_device *v, const struct vpci_register *r, uint32_t value,
                       uint32_t mask)
{
    (void)r;
    v->msi->data = (uint16_t)((v->msi->data & ~mask) | value);
    if (v->msi->active) {
        set_messages(v->msi);
    }
}

static uint32_t read_mask(struct vpci_device *v, const struct vpci_register *r)
{
    (void)r;
    return v->msi->mask;
}

static void write_mask(struct vpci_device *v, const struct vpci_register *r, uint32_t value,
                       uint32_t mask)
{
    (void)r;
    v->msi->mask = (v->msi->mask & ~mask) | value;
    msi_set_mask(v->pdev->sbdf, v->pdev->msi, v->msi->mask);
}

static bool add_registers(struct vpci_device *v, uint16_t control)
{
    uint16_t base = v->pdev->msi;
    uint16_t data = (uint16_t)(base + msi_data_offset(control));
    uint16_t mask = (uint16_t)(base + msi_mask_offset(control));
    bool room = vpci_register_add(v, (struct vpci_register){.offset = base + PCI_MSI_CONTROL,
                                                            .size = 2,
                                                            .read = read_control,
                                                            .write = write_control});

    room = room && vpci_register_add(v, (struct vpci_register){.offset = base + 4,
                                                               .size = 4,
                                                               .read = read_address,
                                                               .write = write_address});
    if (control & PCI_MSI_64BIT) {
        room = room && vpci_register_add(v, (struct vpci_register){.offset = base + 8,
                                                                   .size = 4,
                                                                   .argument = 32,
                                                                   .read = read_address,
                                                                   .write = write_address});
    }
    room = room && vpci_register_add(
                       v, (struct vpci_register){
                              .offset = data, .size = 2, .read = read_data, .write = write_data});
    if (control & PCI_MSI_PER_VECTOR_MASK) {
        room = room && vpci_register_add(v, (struct vpci_register){.offset = mask,
                                                                   .size = 4,
                                                                   .read = read_mask,
                                                                   .write = write_mask});
    }
    return room;
}

int vpci_msi_init(struct vpci_device *v)
{
    struct vpci_msi *msi;
    uint16_t control;
    unsigned int count;

    if (!v->pdev->msi) {
        return 0;
    }
    msi_disable(v->pdev->sbdf, v->pdev->msi);
    control = pci_read16(v->pdev->sbdf, v->pdev->msi + PCI_MSI_CONTROL);
    msi = heap_new(struct vpci_msi);
    if (!msi) {
        return -XEN_ENOMEM;
    }
    // More than 32 messages (2^5) are reserved encodings.
    msi->log_capable = MIN((control & PCI_MSI_CAPABLE_MASK) >> PCI_MSI_CAPABLE_SHIFT, 5u);
    count = 1u << msi->log_capable;
    msi->interrupts = heap_alloc_array(count, sizeof(*msi->interrupts));
    if (!msi->interrupts) {
        heap_free(msi);
        return -XEN_ENOMEM;
    }
    for (unsigned int i = 0; i < count; i++) {
        msi->interrupts[i].domain = v->domain;
        msi->interrupts[i].pdev = v->pdev;
    }
    v->msi = msi;
    return add_registers(v, control) ? 0 : -XEN_ENOSPC;
}

void vpci_msi_free(struct vpci_device *v)
{
    if (v->msi) {
        disable(v);
        heap_free(v->msi->interrupts);
        heap_free(v->msi);
        v->msi = NULL;
    }
}

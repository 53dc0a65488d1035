// SPDX-License-Identifier: Apache-2.0
// From a device's message to a domain's local APIC. The device sends a message of ours, which the
// IOMMU turns into a vector of ours; its handler delivers the message that the domain wrote. That
// message is one atomic word, so a handler needs no lock and the domain may rewrite it any time.
#include "vpci_private.h"

#include <x86/irq.h>
#include <x86/vlapic.h>

#include <bulkhead/errno.h>

#include "msi.h"

#define MESSAGE_ADDRESS_BASE 0xfee00000u

static void arrived(void *data)
{
    struct vpci_interrupt *i = data;
    uint64_t message = __atomic_load_n(&i->message, __ATOMIC_RELAXED);

    // What is no interrupt address was refused when it was written: the message is then 0.
    if (message) {
        vlapic_deliver_msi(i->domain, message >> 32, (uint32_t)message);
    }
}

// The interrupt moved to another CPU: the message stays, the IOMMU's entry changes.
static void moved(struct irq *irq, void *data)
{
    struct vpci_interrupt *i = data;
    struct interrupt_target target = msi_target(irq);

    iommu_irq_set(i->pdev, i->index, &target, &i->hardware);
}

int vpci_interrupt_bind(struct vpci_interrupt *i, unsigned int index)
{
    struct interrupt_target target;

    i->irq = irq_create(arrived, i);
    if (!i->irq) {
        return -XEN_ENOSPC;
    }
    i->index = index;
    irq_set_reprogram(i->irq, moved);
    target = msi_target(i->irq);
    iommu_irq_set(i->pdev, index, &target, &i->hardware);
    return 0;
}

void vpci_interrupt_unbind(struct vpci_interrupt *i)
{
    iommu_irq_block(i->pdev, i->index);
    irq_destroy(i->irq);
    i->irq = NULL;
}

void vpci_interrupt_set_message(struct vpci_interrupt *i, uint64_t address, uint32_t data)
{
    uint64_t message = address << 32 | (data & 0xffff);

    if (address >> 20 != MESSAGE_ADDRESS_BASE >> 20) {
        message = 0;
    }
    __atomic_store_n(&i->message, message, __ATOMIC_RELAXED);
}

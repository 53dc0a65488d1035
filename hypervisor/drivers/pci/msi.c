// SPDX-License-Identifier: Apache-2.0
// Writes to MSI capabilities (PCI Local Bus Specification 3.0, section 6.8.1). The caller has the
// function to himself.
#include "msi.h"

#include <x86/irq.h>

#include "pci_private.h"

struct interrupt_target msi_target(const struct irq *irq)
{
    return (struct interrupt_target){.apic_id = irq_destination_apic_id(irq),
                                     .vector = irq_vector(irq)};
}

void msi_enable(pci_sbdf_t sbdf, unsigned int capability, const struct msi_message *message,
                unsigned int log_count)
{
    uint16_t control = pci_read16(sbdf, capability + PCI_MSI_CONTROL);

    control &= (uint16_t) ~(PCI_MSI_ENABLE | PCI_MSI_MULTIPLE_MASK);
    pci_config_write(sbdf, capability + PCI_MSI_CONTROL, 2, control);
    pci_config_write(sbdf, capability + 4, 4, (uint32_t)message->address);
    if (control & PCI_MSI_64BIT) {
        pci_config_write(sbdf, capability + 8, 4, (uint32_t)(message->address >> 32));
    }
    pci_config_write(sbdf, capability + msi_data_offset(control), 2, message->data);
    control |= (uint16_t)(PCI_MSI_ENABLE | log_count << PCI_MSI_MULTIPLE_SHIFT);
    pci_config_write(sbdf, capability + PCI_MSI_CONTROL, 2, control);
}

void msi_disable(pci_sbdf_t sbdf, unsigned int capability)
{
    uint16_t control = pci_read16(sbdf, capability + PCI_MSI_CONTROL);

    pci_config_write(sbdf, capability + PCI_MSI_CONTROL, 2, control & ~PCI_MSI_ENABLE);
}

void msi_set_mask(pci_sbdf_t sbdf, unsigned int capability, uint32_t mask)
{
    uint16_t control = pci_read16(sbdf, capability + PCI_MSI_CONTROL);

    if (control & PCI_MSI_PER_VECTOR_MASK) {
        pci_config_write(sbdf, capability + msi_mask_offset(control), 4, mask);
    }
}

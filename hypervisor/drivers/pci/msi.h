// SPDX-License-Identifier: Apache-2.0
// Physical message-signalled interrupts of a function: writes to its MSI capability. MSI-X tables
// are written by who emulates them.
#ifndef BULKHEAD_PCI_MSI_H
#define BULKHEAD_PCI_MSI_H

#include <bulkhead/iommu.h>
#include <bulkhead/pci.h>

struct irq;

// Where the machine wants interrupts of this irq.
struct interrupt_target msi_target(const struct irq *irq);

// Writes the message and enables 2^log_count messages; capability is the offset of the MSI
// capability.
void msi_enable(pci_sbdf_t sbdf, unsigned int capability, const struct msi_message *message,
                unsigned int log_count);
void msi_disable(pci_sbdf_t sbdf, unsigned int capability);
// Per-message mask bits; ignored by functions without them.
void msi_set_mask(pci_sbdf_t sbdf, unsigned int capability, uint32_t mask);

// Offsets within the capability for a control register value.
static inline unsigned int msi_data_offset(uint16_t control)
{
    return control & 0x80 ? 12 : 8;
}
static inline unsigned int msi_mask_offset(uint16_t control)
{
    return control & 0x80 ? 16 : 12;
}
// Bytes of the whole capability.
static inline unsigned int msi_capability_size(uint16_t control)
{
    return control & 0x100 ? msi_mask_offset(control) + 8 : msi_data_offset(control) + 2;
}

#endif

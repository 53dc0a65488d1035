// SPDX-License-Identifier: Apache-2.0
//
// What a PCI function can do, by its configuration space (PCI Local Bus 3.0 chapter 6, PCI Express
// Base chapter 7). The bytes are a device's word: every offset is checked against the size, and
// the two lists of capabilities are followed for no more steps than they can have entries.
#include <toolstack/doctor.h>

#include <linux/pci_regs.h>

enum {
    CAPABILITIES_MAX = 48, // of 4 bytes between 0x40 and 0xff
    EXTENDED_MAX = 960,    // of 4 bytes between 0x100 and 0xfff
    SPACE_SIZE = 256,      // of conventional configuration space
    MULTIFUNCTION = 0x80,  // in the header type
    AF_FLR_BITS = PCI_AF_CAP_TP | PCI_AF_CAP_FLR,
    ACS_WANTED = PCI_ACS_SV | PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_UF,
};

struct space {
    const uint8_t *bytes;
    size_t size;
};

// A little-endian number; what lies beyond the end reads as zero.
static uint32_t get(const struct space *space, size_t offset, size_t size)
{
    uint32_t value = 0;

    for (size_t i = size; i-- > 0;)
        value = value << 8 | (offset + i < space->size ? space->bytes[offset + i] : 0);
    return value;
}

static void read_pcie(const struct space *space, size_t at, struct device_abilities *able)
{
    able->is_pcie = true;
    able->port_type = (uint8_t)((get(space, at + PCI_EXP_FLAGS, 2) & PCI_EXP_FLAGS_TYPE) >> 4);
    able->resets_function = get(space, at + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR;
}

static void read_capability(const struct space *space, size_t at, struct device_abilities *able)
{
    switch (get(space, at, 1)) {
    case PCI_CAP_ID_EXP:
        read_pcie(space, at, able);
        break;
    case PCI_CAP_ID_AF:
        able->resets_advanced_features =
            (get(space, at + PCI_AF_CAP, 1) & AF_FLR_BITS) == AF_FLR_BITS;
        break;
    case PCI_CAP_ID_PM:
        // Without this bit, leaving D3hot is a reset.
        able->resets_power_state = !(get(space, at + PCI_PM_CTRL, 2) & PCI_PM_CTRL_NO_SOFT_RESET);
        break;
    case PCI_CAP_ID_MSI:
    case PCI_CAP_ID_MSIX:
        able->has_message_interrupts = true;
        break;
    default:
        break;
    }
}

static void read_capabilities(const struct space *space, struct device_abilities *able)
{
    size_t at = get(space, PCI_CAPABILITY_LIST, 1) & ~3u;

    if (!(get(space, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST))
        return;
    for (unsigned int i = 0; at >= PCI_STD_HEADER_SIZEOF && i < CAPABILITIES_MAX; i++) {
        read_capability(space, at, able);
        at = get(space, at + PCI_CAP_LIST_NEXT, 1) & ~3u;
    }
}

// A control that a device leaves at zero because it has nothing to redirect counts like one that
// is set: only what it offers can be switched on.
static bool isolates(const struct space *space, size_t at)
{
    uint32_t offered = get(space, at + PCI_ACS_CAP, 2) & ACS_WANTED;
    uint32_t control = get(space, at + PCI_ACS_CTRL, 2);

    return (offered & (PCI_ACS_RR | PCI_ACS_CR)) == (PCI_ACS_RR | PCI_ACS_CR) &&
           (control & offered) == offered;
}

static void read_extended(const struct space *space, struct device_abilities *able)
{
    size_t at = SPACE_SIZE;

    for (unsigned int i = 0; at >= SPACE_SIZE && i < EXTENDED_MAX; i++) {
        uint32_t head = get(space, at, 4);

        if (PCI_EXT_CAP_ID(head) == PCI_EXT_CAP_ID_ACS)
            able->has_isolation = isolates(space, at);
        at = PCI_EXT_CAP_NEXT(head);
    }
}

void device_read_abilities(const uint8_t *bytes, size_t size, struct device_abilities *able)
{
    struct space space = {bytes, size};
    uint32_t type = get(&space, PCI_HEADER_TYPE, 1);

    *able = (struct device_abilities){.readable = size >= PCI_STD_HEADER_SIZEOF};
    if (!able->readable)
        return;
    able->multifunction = type & MULTIFUNCTION;
    able->has_line = get(&space, PCI_INTERRUPT_PIN, 1) != 0;
    able->is_bridge = (type & 0x7f) == PCI_HEADER_TYPE_BRIDGE;
    if (able->is_bridge) {
        able->secondary = (uint8_t)get(&space, PCI_SECONDARY_BUS, 1);
        able->subordinate = (uint8_t)get(&space, PCI_SUBORDINATE_BUS, 1);
    }
    read_capabilities(&space, able);
    read_extended(&space, able);
}

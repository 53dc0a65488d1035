// SPDX-License-Identifier: Apache-2.0
// Resets that functions offer in registers of their own, for the many on root buses to which PCI
// itself gives none: kinds of controllers whose specification has one, a row of a table each. The
// function is stopped, marked (a register that only a reset clears), and reset; it has worked when
// the mark is gone and the function says that it is ready. Its registers are mapped from begin to
// finish, at struct pci_reset.registers; nobody owns the function, so bus mastering stays off.
// The device's lock is held.
#include <bulkhead/console.h>
#include <x86/io_port.h>
#include <x86/paging.h>

#include "pci_private.h"

#define MAX_REGISTERS 0x6000u // bytes that any row needs

struct bits {
    uint32_t offset, bits;
};

struct own_reset {
    uint32_t class_code; // 0: the kind is told by vendor and device
    uint16_t vendor, devices[3];
    uint8_t bar;
    bool behind_capabilities; // the first byte says where the registers begin
    struct bits stop, run;    // set to stop it; cleared to stop it
    struct bits mark, reset;
    struct bits busy; // set until it is ready
};

static const struct own_reset kinds[] = {
    // eXtensible Host Controller Interface 1.2, sections 4.2 and 5.4: USBCMD, USBSTS, CONFIG.
    {.class_code = 0x0c0330,
     .bar = 0,
     .behind_capabilities = true,
     .run = {0x00, 1u << 0},
     .mark = {0x38, 1},
     .reset = {0x00, 1u << 1},
     .busy = {0x04, 1u << 11}},
    // Serial ATA AHCI 1.3.1, sections 3.1.2 and 10.4.3: GHC, whose AE comes before anything else.
    {.class_code = 0x010601,
     .bar = 5,
     .stop = {0x04, 1u << 31},
     .mark = {0x04, 1u << 1},
     .reset = {0x04, 1u << 0}},
    // Intel 82574 and 82583 Gigabit Ethernet Controller Datasheet, sections 4.6.1 and 10.2: CTRL,
    // first its GIO Master Disable; RCTL, off, for QEMU 7.2's reset leaves the receiver on; RAH0,
    // which is read from the NVM again.
    {.vendor = 0x8086,
     .devices = {0x10d3, 0x10f6, 0x150c},
     .bar = 0,
     .stop = {0x0000, 1u << 2},
     .run = {0x0100, 1u << 1},
     .mark = {0x5404, 1u << 16},
     .reset = {0x0000, 1u << 26}},
};

static const struct own_reset *find_kind(const struct pci_device *pdev)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
        const struct own_reset *kind = &kinds[i];

        if (kind->class_code) {
            if (kind->class_code == pdev->class_code) {
                return kind;
            }
            continue;
        }
        for (unsigned int j = 0; kind->vendor == pdev->vendor && j < ARRAY_SIZE(kind->devices);
             j++) {
            if (kind->devices[j] == pdev->device) {
                return kind;
            }
        }
    }
    return NULL;
}

static uint64_t registers_size(const struct own_reset *kind)
{
    return (kind->behind_capabilities ? 0x100u : 0) + MAX(kind->mark.offset, kind->busy.offset) + 4;
}

const char *pci_own_reset_obstacle(const struct pci_device *pdev)
{
    const struct own_reset *kind = find_kind(pdev);
    const struct pci_bar *bar = kind ? &pdev->bars[kind->bar] : NULL;

    if (!kind) {
        return "none is known for its kind";
    }
    if ((bar->type != PCI_BAR_MEMORY32 && bar->type != PCI_BAR_MEMORY64) || !bar->address ||
        bar->size < registers_size(kind)) {
        return "its registers are not where they should be";
    }
    return NULL;
}

static volatile uint8_t *registers_of(const struct pci_device *pdev, const struct own_reset *kind)
{
    volatile uint8_t *registers = pdev->reset.registers;

    return registers + (kind->behind_capabilities ? mmio_read32(registers) & 0xff : 0);
}

static bool is_set(const struct pci_device *pdev, const struct own_reset *kind, struct bits what)
{
    return mmio_read32(registers_of(pdev, kind) + what.offset) & what.bits;
}

static void change(const struct pci_device *pdev, const struct own_reset *kind, struct bits what,
                   bool set)
{
    volatile uint8_t *at = registers_of(pdev, kind) + what.offset;
    uint32_t old = mmio_read32(at);

    if (what.bits) {
        mmio_write32(at, set ? old | what.bits : old & ~what.bits);
    }
}

// The BARs as the machine has them, and memory decode on.
static void start_decoding(const struct pci_device *pdev)
{
    for (unsigned int i = 0; i < PCI_MAX_BARS; i++) {
        const struct pci_bar *bar = &pdev->bars[i];

        if (bar->type == PCI_BAR_MEMORY32 || bar->type == PCI_BAR_MEMORY64) {
            pci_config_write(pdev->sbdf, PCI_BAR0 + i * 4, 4, (uint32_t)bar->address);
        }
        if (bar->type == PCI_BAR_MEMORY64) {
            pci_config_write(pdev->sbdf, PCI_BAR0 + i * 4 + 4, 4, (uint32_t)(bar->address >> 32));
        }
    }
    pci_config_write(pdev->sbdf, PCI_COMMAND, 2,
                     pci_read16(pdev->sbdf, PCI_COMMAND) | PCI_COMMAND_MEMORY);
}

const char *pci_own_reset_begin(struct pci_device *pdev)
{
    const struct own_reset *kind = find_kind(pdev);
    const struct pci_bar *bar = &pdev->bars[kind->bar];

    pdev->reset.registers = hv_ioremap(MADDR(bar->address), MIN(bar->size, MAX_REGISTERS));
    if (!pdev->reset.registers) {
        return "there is no memory to reach its registers";
    }
    start_decoding(pdev);
    change(pdev, kind, kind->stop, true);
    change(pdev, kind, kind->run, false);
    return NULL;
}

const char *pci_own_reset_end(struct pci_device *pdev)
{
    const struct own_reset *kind = find_kind(pdev);

    change(pdev, kind, kind->mark, true);
    if (!is_set(pdev, kind, kind->mark)) {
        return "its effect could not be seen";
    }
    change(pdev, kind, kind->reset, true);
    return NULL;
}

bool pci_own_reset_is_busy(const struct pci_device *pdev)
{
    const struct own_reset *kind = find_kind(pdev);

    return is_set(pdev, kind, kind->reset) || is_set(pdev, kind, kind->busy);
}

bool pci_own_reset_is_marked(const struct pci_device *pdev)
{
    const struct own_reset *kind = find_kind(pdev);

    return is_set(pdev, kind, kind->mark);
}

void pci_own_reset_finish(struct pci_device *pdev)
{
    const struct own_reset *kind = find_kind(pdev);

    if (pdev->reset.registers) {
        pci_quiesce(pdev);
        hv_iounmap(pdev->reset.registers, MIN(pdev->bars[kind->bar].size, MAX_REGISTERS));
        pdev->reset.registers = NULL;
    }
}

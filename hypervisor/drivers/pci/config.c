// SPDX-License-Identifier: Apache-2.0
// Access to PCI configuration space: by ECAM where MCFG describes it, else by ports 0xcf8/0xcfc
// (PCI Local Bus Specification 3.0, section 3.2.2.3.2; PCI Express Base Specification, 7.2.2).
// An ECAM bus (1 MiB) is mapped when it is first touched and stays mapped. The mapping table is
// read without a lock; filling it and the port pair are under one lock (inner: paging).
#include <bulkhead/acpi.h>
#include <bulkhead/console.h>
#include <bulkhead/heap.h>
#include <bulkhead/pci.h>
#include <bulkhead/errno.h>
#include <x86/io_port.h>
#include <x86/paging.h>

#include "pci_private.h"

#define PORT_CONFIG_ADDRESS 0xcf8
#define PORT_CONFIG_DATA 0xcfc
#define CONFIG_ENABLE 0x80000000u
#define ECAM_BUS_SIZE (1UL << 20)

struct pci_ecam pci_ecam[PCI_MAX_ECAM];
unsigned int pci_ecam_count;

static volatile uint8_t **ecam_bus[PCI_MAX_ECAM]; // by window, then bus; NULL: not mapped yet
static struct spinlock config_lock = SPINLOCK_INIT;

static const struct pci_ecam *find_window(pci_sbdf_t sbdf, unsigned int *index)
{
    for (unsigned int i = 0; i < pci_ecam_count; i++) {
        const struct pci_ecam *w = &pci_ecam[i];

        if (w->segment == sbdf.segment && sbdf.bus >= w->first_bus && sbdf.bus <= w->last_bus) {
            *index = i;
            return w;
        }
    }
    return NULL;
}

bool pci_ecam_covers(pci_sbdf_t sbdf)
{
    unsigned int index;

    return find_window(sbdf, &index) != NULL;
}

// The mapping of a bus, made if it must be; NULL when address space is out or ECAM ends before it.
static volatile uint8_t *ecam_map_bus(pci_sbdf_t sbdf)
{
    volatile uint8_t *mapping;
    unsigned int index;
    const struct pci_ecam *w = find_window(sbdf, &index);

    if (!w || !ecam_bus[index]) {
        return NULL;
    }
    mapping = __atomic_load_n(&ecam_bus[index][sbdf.bus], __ATOMIC_ACQUIRE);
    if (mapping) {
        return mapping;
    }
    spin_lock(&config_lock);
    mapping = ecam_bus[index][sbdf.bus];
    if (!mapping) {
        mapping = hv_ioremap(MADDR(w->address + sbdf.bus * ECAM_BUS_SIZE), ECAM_BUS_SIZE);
        __atomic_store_n(&ecam_bus[index][sbdf.bus], mapping, __ATOMIC_RELEASE);
    }
    spin_unlock(&config_lock);
    return mapping;
}

static bool access_valid(unsigned int offset, unsigned int size)
{
    return (size == 1 || size == 2 || size == 4) && offset % size == 0 &&
           offset + size <= PCI_CONFIG_EXTENDED_SIZE;
}

static uint32_t port_address(pci_sbdf_t sbdf, unsigned int offset)
{
    return CONFIG_ENABLE | (uint32_t)sbdf.bus << 16 | (uint32_t)sbdf.devfn << 8 | (offset & 0xfc);
}

static uint32_t port_read(pci_sbdf_t sbdf, unsigned int offset, unsigned int size)
{
    uint16_t port = (uint16_t)(PORT_CONFIG_DATA + (offset & 3));
    uint32_t value;

    spin_lock(&config_lock);
    port_write32(PORT_CONFIG_ADDRESS, port_address(sbdf, offset));
    value = size == 1 ? port_read8(port) : size == 2 ? port_read16(port) : port_read32(port);
    spin_unlock(&config_lock);
    return value;
}

static void port_write(pci_sbdf_t sbdf, unsigned int offset, unsigned int size, uint32_t value)
{
    uint16_t port = (uint16_t)(PORT_CONFIG_DATA + (offset & 3));

    spin_lock(&config_lock);
    port_write32(PORT_CONFIG_ADDRESS, port_address(sbdf, offset));
    if (size == 1) {
        port_write8(port, (uint8_t)value);
    } else if (size == 2) {
        port_write16(port, (uint16_t)value);
    } else {
        port_write32(port, value);
    }
    spin_unlock(&config_lock);
}

uint32_t pci_config_read(pci_sbdf_t sbdf, unsigned int offset, unsigned int size)
{
    uint32_t ones = size == 4 ? ~0u : (1u << size * 8) - 1;
    volatile uint8_t *bus;

    if (!access_valid(offset, size)) {
        return ~0u;
    }
    bus = ecam_map_bus(sbdf);
    if (bus) {
        volatile uint8_t *p = bus + ((size_t)sbdf.devfn << 12) + offset;

        return size == 1 ? *p : size == 2 ? *(volatile uint16_t *)p : *(volatile uint32_t *)p;
    }
    if (sbdf.segment != 0 || offset >= PCI_CONFIG_SIZE) {
        return ones;
    }
    return port_read(sbdf, offset, size);
}

void pci_config_write(pci_sbdf_t sbdf, unsigned int offset, unsigned int size, uint32_t value)
{
    volatile uint8_t *bus;

    if (!access_valid(offset, size)) {
        return;
    }
    bus = ecam_map_bus(sbdf);
    if (bus) {
        volatile uint8_t *p = bus + ((size_t)sbdf.devfn << 12) + offset;

        if (size == 1) {
            *p = (uint8_t)value;
        } else if (size == 2) {
            *(volatile uint16_t *)p = (uint16_t)value;
        } else {
            *(volatile uint32_t *)p = value;
        }
    } else if (sbdf.segment == 0 && offset < PCI_CONFIG_SIZE) {
        port_write(sbdf, offset, size, value);
    }
}

// Whether a window that firmware describes can be one; says so if not.
static bool window_acceptable(const struct pci_ecam *w)
{
    uint64_t last = w->address + (((uint64_t)w->last_bus + 1) << 20) - 1;
    unsigned int other;

    if (w->address == 0 || w->address % ECAM_BUS_SIZE || w->first_bus > w->last_bus ||
        last < w->address || last >> 52) {
        log_warning("PCI: MCFG window of segment %u at %lx is unusable, ignored", w->segment,
                    w->address);
        return false;
    }
    if (find_window(PCI_SBDF(w->segment, w->first_bus, 0), &other) ||
        find_window(PCI_SBDF(w->segment, w->last_bus, 0), &other)) {
        log_warning("PCI: MCFG windows of segment %u overlap, one ignored", w->segment);
        return false;
    }
    return true;
}

int pci_config_init(void)
{
    for (unsigned int i = 0; i < acpi_info.mcfg_count && pci_ecam_count < PCI_MAX_ECAM; i++) {
        const struct acpi_mcfg_segment *m = &acpi_info.mcfg[i];
        struct pci_ecam window = {.address = m->base,
                                  .segment = m->segment,
                                  .first_bus = m->start_bus,
                                  .last_bus = m->end_bus};

        if (!window_acceptable(&window)) {
            continue;
        }
        ecam_bus[pci_ecam_count] = heap_alloc_array(256, sizeof(*ecam_bus[0]));
        if (!ecam_bus[pci_ecam_count]) {
            return -XEN_ENOMEM;
        }
        pci_ecam[pci_ecam_count++] = window;
        log_info("PCI: ECAM for segment %u, buses %02x to %02x, at %lx", window.segment,
                 window.first_bus, window.last_bus, window.address);
    }
    if (pci_ecam_count == 0) {
        log_info("PCI: no ECAM, using ports");
    }
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
// The fake PCI bus; see fake_bus.h.
#include "fake_bus.h"

#include <stdlib.h>
#include <string.h>

#include "../../../hypervisor/drivers/pci/pci_private.h"

struct fake_function fake_functions[FAKE_FUNCTIONS];
uint8_t *fake_memory;
void (*fake_on_write)(struct fake_function *f, unsigned int offset, uint32_t value);
struct pci_ecam pci_ecam[PCI_MAX_ECAM];
unsigned int pci_ecam_count;

void fake_bus_reset(void)
{
    memset(fake_functions, 0, sizeof(fake_functions));
    fake_on_write = NULL;
    if (!fake_memory) {
        fake_memory = calloc(1, FAKE_MEMORY_SIZE);
    }
}

int pci_config_init(void)
{
    pci_ecam[0] = (struct pci_ecam){.address = 0xb0000000, .last_bus = 255};
    pci_ecam_count = 1;
    return 0;
}

bool pci_ecam_covers(pci_sbdf_t sbdf)
{
    return sbdf.segment == 0;
}

static struct fake_function *find(pci_sbdf_t sbdf)
{
    for (unsigned int i = 0; i < FAKE_FUNCTIONS; i++) {
        if (fake_functions[i].present && pci_sbdf_equal(fake_functions[i].sbdf, sbdf)) {
            return &fake_functions[i];
        }
    }
    return NULL;
}

uint32_t pci_config_read(pci_sbdf_t sbdf, unsigned int offset, unsigned int size)
{
    struct fake_function *f = find(sbdf);

    if (offset % size || offset + size > 4096 || (size != 1 && size != 2 && size != 4)) {
        abort(); // callers promise not to
    }
    return f ? fake_get(f, offset, size) : size == 4 ? ~0u : (1u << size * 8) - 1;
}

void pci_config_write(pci_sbdf_t sbdf, unsigned int offset, unsigned int size, uint32_t value)
{
    struct fake_function *f = find(sbdf);

    if (offset % size || offset + size > 4096 || (size != 1 && size != 2 && size != 4)) {
        abort();
    }
    if (!f) {
        return;
    }
    f->writes++;
    for (unsigned int i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(value >> i * 8), *to = &f->config[offset + i];
        uint8_t mask = f->writable[offset + i];

        *to = (uint8_t)((*to & ~mask) | (byte & mask));
        *to &= (uint8_t) ~(byte & f->clears[offset + i]);
    }
    if (fake_on_write) {
        fake_on_write(f, offset, value);
    }
}

void fake_put(struct fake_function *f, unsigned int offset, unsigned int size, uint32_t value)
{
    memcpy(&f->config[offset], &value, size);
}

uint32_t fake_get(const struct fake_function *f, unsigned int offset, unsigned int size)
{
    uint32_t value = 0;

    memcpy(&value, &f->config[offset], size);
    return value;
}

void fake_writable(struct fake_function *f, unsigned int offset, unsigned int size, uint32_t mask)
{
    memcpy(&f->writable[offset], &mask, size);
}

struct fake_function *fake_add(unsigned int bus, unsigned int device, unsigned int function,
                               uint32_t id, uint32_t class_code)
{
    struct fake_function *f = fake_functions;

    while (f->present) {
        f++;
    }
    f->present = true;
    f->sbdf = PCI_SBDF(0, bus, PCI_DEVFN(device, function));
    fake_put(f, PCI_VENDOR_ID, 4, id);
    fake_put(f, PCI_CLASS_REVISION, 4, class_code << 8);
    fake_writable(f, PCI_COMMAND, 2, 0x547);
    f->clears[PCI_STATUS + 1] = 0xf9;
    fake_writable(f, 0x3c, 1, 0xff);
    return f;
}

void fake_bar(struct fake_function *f, unsigned int index, uint64_t address, uint64_t size,
              bool is_64)
{
    unsigned int offset = PCI_BAR0 + index * 4;
    uint64_t mask = ~(size - 1);

    fake_put(f, offset, 4, (uint32_t)address | (is_64 ? PCI_BAR_TYPE_64 | PCI_BAR_PREFETCH : 0));
    fake_writable(f, offset, 4, (uint32_t)mask & ~0xfu);
    if (is_64) {
        fake_put(f, offset + 4, 4, (uint32_t)(address >> 32));
        fake_writable(f, offset + 4, 4, (uint32_t)(mask >> 32));
    }
}

void fake_io_bar(struct fake_function *f, unsigned int index, uint32_t port, uint32_t size)
{
    fake_put(f, PCI_BAR0 + index * 4, 4, port | PCI_BAR_IO_SPACE);
    fake_writable(f, PCI_BAR0 + index * 4, 4, ~(size - 1) & 0xfffc);
}

void fake_capability(struct fake_function *f, unsigned int offset, uint8_t id)
{
    unsigned int link = PCI_CAPABILITY_LIST;

    f->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
    while (f->config[link]) {
        link = f->config[link] + 1u;
    }
    f->config[link] = (uint8_t)offset;
    f->config[offset] = id;
}

void fake_extended_capability(struct fake_function *f, unsigned int offset, uint16_t id,
                              unsigned int previous)
{
    fake_put(f, offset, 4, 1u << 16 | id);
    if (previous) {
        fake_put(f, previous, 4, (fake_get(f, previous, 4) & 0xfffff) | offset << 20);
    }
}

void fake_msi(struct fake_function *f, unsigned int offset, unsigned int log_count)
{
    fake_capability(f, offset, PCI_CAP_MSI);
    fake_put(f, offset + 2, 2, PCI_MSI_64BIT | PCI_MSI_PER_VECTOR_MASK | log_count << 1);
    fake_writable(f, offset + 2, 2, PCI_MSI_ENABLE | PCI_MSI_MULTIPLE_MASK);
    fake_writable(f, offset + 4, 4, ~3u);
    fake_writable(f, offset + 8, 4, ~0u);
    fake_writable(f, offset + 12, 2, 0xffff);
    fake_writable(f, offset + 16, 4, ~0u);
}

void fake_msix(struct fake_function *f, unsigned int offset, unsigned int count, unsigned int bar,
               uint32_t table, uint32_t pending)
{
    fake_capability(f, offset, PCI_CAP_MSIX);
    fake_put(f, offset + 2, 2, count - 1);
    fake_writable(f, offset + 2, 2, PCI_MSIX_ENABLE | PCI_MSIX_MASK_ALL);
    fake_put(f, offset + 4, 4, table | bar);
    fake_put(f, offset + 8, 4, pending | bar);
}

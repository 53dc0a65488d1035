// SPDX-License-Identifier: Apache-2.0
// The machine of the IOMMU tests; see fake_machine.h.
#include "fake_machine.h"

#include <bulkhead/acpi.h>
#include <bulkhead/boot_info.h>
#include <bulkhead/errno.h>
#include <bulkhead/heap.h>
#include <bulkhead/timer.h>
#include <x86/ioapic.h>
#include <x86/apic.h>
#include <x86/io_port.h>
#include <x86/irq.h>
#include <x86/paging.h>

#include "../../../hypervisor/drivers/pci/pci_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

uint8_t fake_registers[0x80000];
void (*fake_work)(void);
void (*fake_written)(volatile void *address, unsigned int size, uint64_t old);
uint8_t fake_config[256];
bool fake_dead;
const uint8_t *fake_table;
size_t fake_table_length;
struct domain fake_domains[2];
unsigned int fake_p2m_sets;
struct p2m_rules fake_rules;
bool fake_x2apic;
struct acpi_info acpi_info;
struct boot_info boot_info = {.region_count = 1, .regions = {{0, 0x80000000, BOOT_REGION_RAM}}};
int (*ioapic_remap)(uint8_t ioapic_id, unsigned int pin, const struct ioapic_route *route,
                    uint64_t *rte);

static struct pci_device devices[8];
static unsigned int device_count;
static ns_t time_now;
static struct irq {
    void (*handler)(void *data);
    void *data;
} event_irq;

uint64_t fake_register(unsigned int offset)
{
    uint64_t value;

    memcpy(&value, fake_registers + offset, 8);
    return value;
}

void fake_set_register(unsigned int offset, uint64_t value)
{
    memcpy(fake_registers + offset, &value, 8);
}

ns_t now(void)
{
    if (fake_work) {
        fake_work();
    }
    time_now += 1000000;
    return time_now;
}

void fake_interrupt(void)
{
    event_irq.handler(event_irq.data);
}

// What the drivers allocate at boot stays for ever, also when the boot ends there: it is remembered
// so that it counts as no leak.
static void *kept[512];
static unsigned int kept_count;

static void *keep(void *p)
{
    kept[kept_count++ % ARRAY_SIZE(kept)] = p;
    return p;
}

void *heap_alloc(size_t size)
{
    return keep(calloc(1, size));
}

void heap_free(void *p)
{
    free(p);
}

void *heap_alloc_pages(unsigned int order, unsigned int flags)
{
    size_t size = PAGE_SIZE << order;

    (void)flags;
    return keep(memset(aligned_alloc(PAGE_SIZE, size), 0, size));
}

maddr_t heap_maddr(const void *p)
{
    return MADDR((uintptr_t)p);
}

void *hv_ioremap(maddr_t pa, size_t size)
{
    (void)size;
    return pa.a >= FAKE_REGISTERS && pa.a < FAKE_REGISTERS + sizeof(fake_registers)
               ? fake_registers + (pa.a - FAKE_REGISTERS)
               : NULL;
}

void hv_iounmap(void *p, size_t size)
{
    (void)p;
    (void)size;
}

const void *acpi_find_table(const char signature[4], unsigned int index, size_t *length)
{
    *length = fake_table_length;
    return !fake_table_length || memcmp(signature, fake_table, 4) || index ? NULL : fake_table;
}

int timer_reserve(unsigned int count)
{
    (void)count;
    return 0;
}

void timer_init(struct timer *t, unsigned int cpu, void (*fire)(void *data), void *data)
{
    t->cpu = cpu;
    t->fire = fire;
    t->data = data;
}

void timer_set(struct timer *t, ns_t expires)
{
    t->expires = expires;
}

struct irq *irq_create(void (*handler)(void *data), void *data)
{
    event_irq.handler = handler;
    event_irq.data = data;
    return &event_irq;
}

void irq_set_reprogram(struct irq *irq, void (*reprogram)(struct irq *irq, void *data))
{
    (void)irq;
    (void)reprogram;
}

uint8_t irq_vector(const struct irq *irq)
{
    (void)irq;
    return 0x31;
}

uint32_t irq_destination_apic_id(const struct irq *irq)
{
    (void)irq;
    return 2;
}

unsigned int ioapic_count(void)
{
    return 1;
}

const struct ioapic_info *ioapic_get(unsigned int index)
{
    static const struct ioapic_info info = {.id = 0, .pins = 24};

    return index == 0 ? &info : NULL;
}

void ioapic_reprogram(void)
{
}

maddr_t p2m_root(const struct domain *d)
{
    return MADDR(0x1000000UL + d->id * 0x1000UL);
}

void p2m_set_rules(const struct p2m_rules *rules)
{
    fake_rules = *rules;
}

int p2m_root_of_levels(struct domain *d, unsigned int levels, maddr_t *root)
{
    *root = MADDR(p2m_root(d).a + (levels == 3 ? 0x800000 : 0));
    return 0;
}

bool apic_in_x2apic_mode(void)
{
    return fake_x2apic;
}

void irq_allow_wide_destinations(void)
{
}

struct p2m_entry p2m_lookup(struct domain *d, gfn_t gfn)
{
    (void)d;
    (void)gfn;
    return (struct p2m_entry){.type = P2M_INVALID};
}

int p2m_set(struct domain *d, gfn_t gfn, mfn_t mfn, unsigned int order, enum p2m_type type)
{
    (void)d;
    (void)order;
    assert(gfn.n == mfn.n && type == P2M_MMIO);
    fake_p2m_sets++;
    return 0;
}

static bool is_unit(pci_sbdf_t sbdf)
{
    return sbdf.segment == 0 && pci_requester_id(sbdf) == 0x10;
}

uint32_t pci_config_read(pci_sbdf_t sbdf, unsigned int offset, unsigned int size)
{
    uint32_t value = ~0u;

    if (is_unit(sbdf)) {
        value = 0;
        memcpy(&value, fake_config + offset, size);
    }
    return value;
}

void pci_config_write(pci_sbdf_t sbdf, unsigned int offset, unsigned int size, uint32_t value)
{
    if (is_unit(sbdf)) {
        memcpy(fake_config + offset, &value, size);
    }
}

unsigned int pci_find_capability(pci_sbdf_t sbdf, uint8_t id)
{
    return is_unit(sbdf) && id == PCI_CAP_MSI ? 0x60 : 0;
}

struct pci_device *pci_device_next(const struct pci_device *after)
{
    const struct pci_device *next = after ? after + 1 : devices;

    return next < devices + device_count ? (struct pci_device *)next : NULL;
}

struct pci_device *pci_device_find(pci_sbdf_t sbdf)
{
    for (unsigned int i = 0; i < device_count; i++) {
        if (pci_sbdf_equal(devices[i].sbdf, sbdf)) {
            return &devices[i];
        }
    }
    return NULL;
}

struct pci_device *fake_device(uint16_t id)
{
    pci_sbdf_t sbdf = PCI_SBDF(0, id >> 8, id & 0xff);
    struct pci_device *pdev = pci_device_find(sbdf);

    if (!pdev) {
        pdev = &devices[device_count++];
        pdev->sbdf = sbdf;
    }
    return pdev;
}

void pci_hide(pci_sbdf_t sbdf)
{
    fake_device(pci_requester_id(sbdf))->hidden = true;
}

// SPDX-License-Identifier: Apache-2.0
// The fake IOMMU and its machine; see fake_unit.h.
#include "fake_unit.h"

#include <bulkhead/acpi.h>
#include <bulkhead/boot_info.h>
#include <bulkhead/console.h>
#include <bulkhead/debug_key.h>
#include <bulkhead/errno.h>
#include <bulkhead/heap.h>
#include <bulkhead/timer.h>
#include <x86/ioapic.h>
#include <x86/irq.h>
#include <x86/p2m.h>
#include <x86/paging.h>

#include "../../../hypervisor/drivers/pci/pci_private.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct amd_command fake_commands[FAKE_COMMANDS];
unsigned int fake_command_count;
uint8_t fake_registers[AMD_REG_SIZE_LARGE];
uint8_t fake_config[256];
bool fake_dead;
struct ivrs_image fake_ivrs;
struct domain fake_domains[2];
char fake_log[65536];
unsigned int fake_p2m_sets;
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

static void execute(const struct amd_command *c)
{
    if (fake_command_count < FAKE_COMMANDS) {
        fake_commands[fake_command_count++] = *c;
    }
    if (c->q[0] >> 60 == 1) {
        *(uint64_t *)(c->q[0] & 0xffffffffffff8) = c->q[1];
    }
}

static void work(void)
{
    const struct amd_command *ring =
        (const void *)(fake_register(AMD_REG_COMMAND_BASE) & 0xffffffffff000);
    uint64_t head = fake_register(AMD_REG_COMMAND_HEAD);
    uint64_t needed = AMD_CONTROL_ENABLE | AMD_CONTROL_COMMANDS;

    if (fake_dead || (fake_register(AMD_REG_CONTROL) & needed) != needed) {
        return;
    }
    while (head != fake_register(AMD_REG_COMMAND_TAIL)) {
        execute(&ring[head / sizeof(*ring)]);
        head = (head + sizeof(*ring)) % 4096;
    }
    fake_set_register(AMD_REG_COMMAND_HEAD, head);
}

ns_t now(void)
{
    work();
    time_now += 1000000;
    return time_now;
}

const struct amd_dte *fake_dte(uint16_t id)
{
    const struct amd_dte *table =
        (const void *)(fake_register(AMD_REG_DEVICE_TABLE) & 0xffffffffff000);
    uint64_t entries = ((fake_register(AMD_REG_DEVICE_TABLE) & 0x1ff) + 1) * 4096 / 32;

    assert(id < entries);
    return &table[id];
}

uint32_t fake_remap(uint16_t id, unsigned int index)
{
    const struct amd_dte *dte = fake_dte(id);
    const uint32_t *entries = (const void *)(dte->q[2] & 0xfffffffffffc0);
    uint32_t entry;

    if (!(dte->q[2] & 1) || (dte->q[2] >> 60 & 3) != 2 || index >= 1u << (dte->q[2] >> 1 & 15)) {
        return 0;
    }
    entry = entries[index];
    return entry & 1 ? entry : 0;
}

void fake_log_event(uint64_t first, uint64_t second)
{
    struct amd_event *log = (void *)(fake_register(AMD_REG_EVENT_BASE) & 0xffffffffff000);
    uint64_t tail = fake_register(AMD_REG_EVENT_TAIL);

    log[tail / sizeof(*log)] = (struct amd_event){{first, second}};
    fake_set_register(AMD_REG_EVENT_TAIL, (tail + sizeof(*log)) % 4096);
}

void fake_interrupt(void)
{
    event_irq.handler(event_irq.data);
}

void log_message(enum log_level level, const char *format, ...)
{
    size_t used = strlen(fake_log);
    va_list args;

    (void)level;
    va_start(args, format);
    vsnprintf(fake_log + used, sizeof(fake_log) - used, format, args);
    va_end(args);
    used = strlen(fake_log);
    if (used + 1 < sizeof(fake_log)) {
        fake_log[used] = '\n';
        fake_log[used + 1] = 0;
    }
}

int format_string(char *buffer, size_t size, const char *format, ...)
{
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(buffer, size, format, args);
    va_end(args);
    return length;
}

void panic(const char *format, ...)
{
    (void)format;
    abort();
}

void debug_key_register(char key, const char *description, void (*fn)(void))
{
    (void)key;
    (void)description;
    (void)fn;
}

void arch_spin_wait(void)
{
    abort();
}

void *heap_alloc(size_t size)
{
    return calloc(1, size);
}

void heap_free(void *p)
{
    free(p);
}

void *heap_alloc_pages(unsigned int order, unsigned int flags)
{
    size_t size = PAGE_SIZE << order;

    (void)flags;
    return memset(aligned_alloc(PAGE_SIZE, size), 0, size);
}

maddr_t heap_maddr(const void *p)
{
    return MADDR((uintptr_t)p);
}

void *hv_ioremap(maddr_t pa, size_t size)
{
    (void)size;
    return pa.a == 0xfed80000 ? fake_registers : NULL;
}

const void *acpi_find_table(const char signature[4], unsigned int index, size_t *length)
{
    *length = fake_ivrs.length;
    return memcmp(signature, "IVRS", 4) || index || !fake_ivrs.length ? NULL : fake_ivrs.bytes;
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

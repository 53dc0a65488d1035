// SPDX-License-Identifier: Apache-2.0
// The fake machine; see fake_machine.h.
#include "fake_machine.h"

#include <bulkhead/acpi.h>
#include <bulkhead/boot_info.h>
#include <bulkhead/errno.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/heap.h>
#include <bulkhead/string.h>
#include <x86/domain.h>
#include <x86/irq.h>
#include <x86/paging.h>
#include <x86/vlapic.h>

#include "../../../hypervisor/drivers/pci/vpci_private.h"

#include <assert.h>
#include <stdlib.h>

#define MAX_MAPPINGS 4096u

struct irq fake_irqs[FAKE_IRQS];
unsigned int fake_irq_limit;
struct fake_entry fake_entries[FAKE_ENTRIES];
unsigned int fake_delivered, fake_mapped_frames, fake_remaps;
uint64_t fake_address;
uint32_t fake_data;
int fake_fail_after;
struct domain fake_domain, *domain0;
uint32_t fake_line_guest, fake_line_machine;
struct acpi_info acpi_info;
struct boot_info boot_info;

static struct vcpu fake_vcpu;
static struct {
    uint64_t frame, machine;
    unsigned int order;
} mappings[MAX_MAPPINGS];
static unsigned int mapping_count;

static bool fails(void)
{
    return fake_fail_after >= 0 && fake_fail_after-- == 0;
}

void *heap_alloc(size_t size)
{
    return fails() ? NULL : calloc(1, size);
}

void *heap_alloc_array(size_t n, size_t size)
{
    return fails() ? NULL : calloc(n, size);
}

void heap_free(void *p)
{
    free(p);
}

uint64_t string_to_number(const char *s, const char **end, unsigned int base)
{
    char *stop;
    uint64_t value = strtoull(s, &stop, (int)base);

    *end = stop;
    return value;
}

bool rangeset_contains(struct rangeset *set, uint64_t first, uint64_t last)
{
    (void)set;
    return first <= last;
}

int rangeset_remove(struct rangeset *set, uint64_t first, uint64_t last)
{
    (void)set;
    assert(first <= last);
    return 0;
}

int domain_update_ports(struct domain *d)
{
    (void)d;
    return 0;
}

int copy_from_guest(void *to, gva_t from, size_t size)
{
    if (!from.a) {
        return -XEN_EFAULT;
    }
    memcpy(to, (const void *)from.a, size);
    return 0;
}

// The p2m: a list of blocks, which must never overlap.
static int find_mapping(uint64_t frame)
{
    for (unsigned int i = 0; i < mapping_count; i++) {
        if (frame >= mappings[i].frame && frame - mappings[i].frame < 1UL << mappings[i].order) {
            return (int)i;
        }
    }
    return -1;
}

// Time passes when it is looked at.
ns_t now(void)
{
    static ns_t time;

    time += 1000000;
    return time;
}

struct p2m_entry p2m_lookup(struct domain *d, gfn_t gfn)
{
    int i = find_mapping(gfn.n);

    (void)d;
    if (i < 0) {
        return (struct p2m_entry){.mfn = INVALID_MFN, .type = P2M_INVALID};
    }
    return (struct p2m_entry){.mfn = MFN(mappings[i].machine + (gfn.n - mappings[i].frame)),
                              .type = P2M_MMIO,
                              .order = mappings[i].order};
}

int p2m_set_new(struct domain *d, gfn_t gfn, mfn_t mfn, unsigned int order, enum p2m_type type)
{
    assert((gfn.n == mfn.n || !d->privileged) && type == P2M_MMIO);
    assert((gfn.n | mfn.n) % (1UL << order) == 0);
    assert(order == ORDER_4K || order == ORDER_2M || order == ORDER_1G);
    // Nothing that a domain does may map memory or our devices.
    assert(!vpci_forbidden_memory(d, mfn.n << PAGE_SHIFT, PAGE_SIZE << order));
    for (unsigned int i = 0; i < mapping_count; i++) {
        if (ranges_overlap(gfn.n, 1UL << order, mappings[i].frame, 1UL << mappings[i].order)) {
            return -XEN_EEXIST;
        }
    }
    if (fails() || mapping_count == MAX_MAPPINGS) {
        return -XEN_ENOMEM;
    }
    mappings[mapping_count].frame = gfn.n;
    mappings[mapping_count].machine = mfn.n;
    mappings[mapping_count++].order = order;
    fake_mapped_frames += 1u << order;
    return 0;
}

int p2m_clear(struct domain *d, gfn_t gfn, unsigned int order)
{
    (void)d;
    for (unsigned int i = 0; i < mapping_count;) {
        if (ranges_overlap(gfn.n, 1UL << order, mappings[i].frame, 1UL << mappings[i].order)) {
            fake_mapped_frames -= 1u << mappings[i].order;
            mappings[i] = mappings[--mapping_count];
        } else {
            i++;
        }
    }
    return 0;
}

static bool in_batch;

void p2m_batch_begin(struct domain *d)
{
    (void)d;
    assert(!in_batch);
    in_batch = true;
}

void p2m_batch_end(struct domain *d)
{
    (void)d;
    assert(in_batch);
    in_batch = false;
}

int p2m_clear_match(struct domain *d, gfn_t gfn, mfn_t mfn)
{
    struct p2m_entry entry = p2m_lookup(d, gfn);

    assert(entry.type != P2M_MMIO || entry.order == ORDER_4K);
    return entry.type == P2M_MMIO && entry.mfn.n == mfn.n ? p2m_clear(d, gfn, ORDER_4K)
                                                          : -XEN_ENOENT;
}

bool fake_maps_to(uint64_t address, uint64_t machine)
{
    struct p2m_entry entry = p2m_lookup(&fake_domain, GFN(address >> PAGE_SHIFT));

    return entry.type == P2M_MMIO && entry.mfn.n == machine >> PAGE_SHIFT;
}

bool fake_maps(uint64_t address)
{
    return find_mapping(address >> PAGE_SHIFT) >= 0;
}

void *hv_ioremap(maddr_t pa, size_t size)
{
    assert(!in_batch);
    if (fails()) {
        return NULL;
    }
    fake_remaps++;
    if (pa.a < FAKE_MEMORY_START || pa.a + size > FAKE_MEMORY_START + FAKE_MEMORY_SIZE) {
        // A place where no test looks: its own memory, so that overruns are seen.
        return calloc(1, size);
    }
    return fake_memory + (pa.a - FAKE_MEMORY_START);
}

void hv_iounmap(void *p, size_t size)
{
    (void)size;
    fake_remaps--;
    if ((uint8_t *)p < fake_memory || (uint8_t *)p >= fake_memory + FAKE_MEMORY_SIZE) {
        free(p);
    }
}

struct irq *irq_create(void (*handler)(void *data), void *data)
{
    if (fake_irqs_used() >= fake_irq_limit) {
        return NULL;
    }
    for (unsigned int i = 0; i < FAKE_IRQS; i++) {
        if (!fake_irqs[i].used) {
            fake_irqs[i] = (struct irq){.used = true,
                                        .vector = (uint8_t)(0x20 + i),
                                        .handler = handler,
                                        .data = data,
                                        .destination = 1};
            return &fake_irqs[i];
        }
    }
    return NULL;
}

void irq_destroy(struct irq *irq)
{
    assert(irq->used);
    irq->used = false;
}

uint8_t irq_vector(const struct irq *irq)
{
    return irq->vector;
}

uint32_t irq_destination_apic_id(const struct irq *irq)
{
    return irq->destination;
}

void irq_set_reprogram(struct irq *irq, void (*reprogram)(struct irq *irq, void *data))
{
    irq->reprogram = reprogram;
}

unsigned int fake_irqs_used(void)
{
    unsigned int n = 0;

    for (unsigned int i = 0; i < FAKE_IRQS; i++) {
        n += fake_irqs[i].used;
    }
    return n;
}

int vlapic_deliver_msi(struct domain *d, uint64_t address, uint32_t data)
{
    assert(d == &fake_domain);
    fake_delivered++;
    fake_address = address;
    fake_data = data;
    return 0;
}

int vioapic_bind_line(struct domain *d, uint32_t guest_gsi, uint32_t machine_gsi)
{
    assert(d == &fake_domain);
    if (fake_line_machine) {
        return -XEN_EEXIST;
    }
    fake_line_guest = guest_gsi;
    fake_line_machine = machine_gsi;
    return 0;
}

void vioapic_unbind_line(struct domain *d, uint32_t guest_gsi)
{
    assert(d == &fake_domain && guest_gsi == fake_line_guest);
    fake_line_guest = fake_line_machine = 0;
}

// The domain has no vcpu that could be in the way.
void vcpu_pause(struct vcpu *v)
{
    (void)v;
    abort();
}

void vcpu_unpause(struct vcpu *v)
{
    (void)v;
    abort();
}

bool iommu_enabled(void)
{
    return true;
}

bool iommu_registers(unsigned int index, uint64_t *start, uint64_t *size)
{
    *start = 0xfed80000;
    *size = 0x4000;
    return index == 0;
}

int iommu_assign(struct domain *d, struct pci_device *pdev)
{
    if (fails()) {
        return -XEN_ENOMEM;
    }
    pdev->owner = d;
    return 0;
}

void iommu_deassign(struct pci_device *pdev)
{
    assert(!pdev->vpci);
    pdev->owner = NULL;
}

int iommu_irq_alloc(struct pci_device *pdev, unsigned int count)
{
    (void)pdev;
    for (unsigned int first = 0; first < FAKE_ENTRIES; first += count) {
        unsigned int n = 0;

        while (n < count && !fake_entries[first + n].allocated) {
            n++;
        }
        if (n == count) {
            for (unsigned int i = 0; i < count; i++) {
                fake_entries[first + i].allocated = true;
            }
            return (int)first;
        }
    }
    return -XEN_ENOSPC;
}

void iommu_irq_free(struct pci_device *pdev, unsigned int index, unsigned int count)
{
    (void)pdev;
    for (unsigned int i = index; i < index + count; i++) {
        assert(fake_entries[i].allocated);
        fake_entries[i] = (struct fake_entry){0};
    }
}

void iommu_irq_set(struct pci_device *pdev, unsigned int index,
                   const struct interrupt_target *target, struct msi_message *message)
{
    (void)pdev;
    assert(fake_entries[index].allocated);
    fake_entries[index].enabled = true;
    fake_entries[index].vector = target->vector;
    fake_entries[index].destination = target->apic_id;
    *message = (struct msi_message){0xfee00000, index};
}

void iommu_irq_block(struct pci_device *pdev, unsigned int index)
{
    (void)pdev;
    assert(fake_entries[index].allocated);
    fake_entries[index].enabled = false;
}

bool fake_raise(uint64_t address, uint32_t data)
{
    if (address != 0xfee00000 || data >= FAKE_ENTRIES || !fake_entries[data].enabled) {
        return false;
    }
    for (unsigned int i = 0; i < FAKE_IRQS; i++) {
        if (fake_irqs[i].used && fake_irqs[i].vector == fake_entries[data].vector) {
            fake_irqs[i].handler(fake_irqs[i].data);
            return true;
        }
    }
    return false;
}

void io_handler_add(struct domain *d, struct io_handler *handler)
{
    list_add_tail(&d->arch.io_handlers, &handler->link);
}

void io_handler_remove(struct io_handler *handler)
{
    list_remove(&handler->link);
}

static struct io_handler *find_handler(enum io_space space, uint64_t address, unsigned int size)
{
    struct io_handler *h;

    list_for_each (h, &fake_domain.arch.io_handlers, link) {
        if (h->space == space && address >= h->start && address - h->start < h->size &&
            h->size - (address - h->start) >= size) {
            return h;
        }
    }
    return NULL;
}

bool guest_memory_read(uint64_t address, unsigned int size, uint64_t *value)
{
    struct io_handler *h = find_handler(IO_MEMORY, address, size);

    if (h) {
        h->read(&fake_vcpu, h->opaque, address, size, value);
    }
    return h != NULL;
}

bool guest_memory_write(uint64_t address, unsigned int size, uint64_t value)
{
    struct io_handler *h = find_handler(IO_MEMORY, address, size);

    if (h) {
        h->write(&fake_vcpu, h->opaque, address, size, value);
    }
    return h != NULL;
}

uint32_t guest_port_read(uint16_t port, unsigned int size)
{
    struct io_handler *h = find_handler(IO_PORT, port, size);
    uint64_t value = ~0UL;

    if (h) {
        h->read(&fake_vcpu, h->opaque, port, size, &value);
    }
    return (uint32_t)value;
}

void guest_port_write(uint16_t port, unsigned int size, uint32_t value)
{
    struct io_handler *h = find_handler(IO_PORT, port, size);

    if (h) {
        h->write(&fake_vcpu, h->opaque, port, size, value);
    }
}

uint32_t guest_read(pci_sbdf_t sbdf, unsigned int offset, unsigned int size)
{
    return vpci_config_read(&fake_domain, sbdf, offset, size);
}

void guest_write(pci_sbdf_t sbdf, unsigned int offset, unsigned int size, uint32_t value)
{
    vpci_config_write(&fake_domain, sbdf, offset, size, value);
}

static void add_nic(void)
{
    struct fake_function *f = fake_add(0, 2, 0, 0x10d38086, 0x020000);

    fake_bar(f, 0, NIC_BAR0, NIC_BAR0_SIZE, false);
    fake_bar(f, 2, NIC_BAR2, NIC_BAR2_SIZE, true);
    fake_put(f, PCI_ROM_DEVICE, 4, NIC_ROM);
    fake_writable(f, PCI_ROM_DEVICE, 4, 0xffff0001);
    fake_msi(f, NIC_MSI, 3);
    fake_msix(f, NIC_MSIX, 16, 0, 0x2000, 0x2800);
    fake_put(f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
}

static void add_disk(void)
{
    struct fake_function *f = fake_add(0, 3, 0, 0x29228086, 0x010601);

    fake_io_bar(f, 4, 0xc000, 32);
    fake_bar(f, 5, DISK_BAR5, 0x1000, false);
    fake_capability(f, 0x40, PCI_CAP_PCIE);
    fake_capability(f, 0x80, PCI_CAP_EA);
    fake_capability(f, 0xa0, PCI_CAP_PM);
    fake_extended_capability(f, 0x100, PCI_EXT_ATS, 0);
    fake_extended_capability(f, 0x140, 0x0001, 0x100);
    fake_extended_capability(f, 0x180, PCI_EXT_SRIOV, 0x140);
    fake_extended_capability(f, 0x200, 0x0003, 0x180);
    fake_writable(f, 0x180 + 8, 2, 0xffff);
}

static void add_bridge(void)
{
    struct fake_function *f = fake_add(0, 4, 0, 0x000c1b36, 0x060400);

    fake_put(f, PCI_HEADER_TYPE, 1, PCI_HEADER_BRIDGE);
    fake_put(f, PCI_BRIDGE_BUSES, 4, 0x00010100);
    fake_writable(f, PCI_BRIDGE_BUSES, 4, 0xffffff);
    fake_writable(f, 0x20, 4, 0xfff0fff0);
    f = fake_add(1, 0, 0, 0x11111234, 0x00ff00);
    fake_bar(f, 0, 0xe0040100, 0x100, false);
}

void fake_machine_reset(void)
{
    struct fake_function *f;

    fake_bus_reset();
    fake_irq_limit = FAKE_IRQS;
    fake_fail_after = -1;
    fake_delivered = fake_remaps = fake_mapped_frames = mapping_count = 0;
    in_batch = false;
    boot_info = (struct boot_info){
        .region_count = 2,
        .regions = {{0, 0x80000000, BOOT_REGION_RAM}, {0x100000000, 0x80000000, BOOT_REGION_RAM}}};
    acpi_info = (struct acpi_info){.local_apic_address = 0xfee00000,
                                   .io_apic_count = 1,
                                   .io_apics = {{.address = 0xfec00000}},
                                   .hpet_address = 0xfed00000};
    fake_domain = (struct domain){.id = 0, .privileged = true};
    list_init(&fake_domain.arch.io_handlers);
    fake_vcpu.domain = &fake_domain;
    domain0 = &fake_domain;
    fake_add(0, 0, 0, 0x29c08086, 0x060000);
    add_nic();
    add_disk();
    add_bridge();
    f = fake_add(0, 5, 0, 0x14191022, 0x080600);
    fake_bar(f, 0, UNIT_BAR0, 0x1000, false);
}

void fake_machine_start(void)
{
    assert(pci_init() == 0);
    for (struct pci_device *p = pci_device_next(NULL); p; p = pci_device_next(p)) {
        // The list outlives a test: what is known is looked at again.
        p->removed = !pci_probe(p);
        p->hidden = p->is_iommu;
    }
    assert(vpci_domain_init(&fake_domain) == 0);
    assert(vpci_assign_hardware_domain(&fake_domain) == 0);
}

void fake_guest_start(void)
{
    static const pci_sbdf_t given[] = {{0, 0, 0x10}, {0, 0, 0x18}};

    assert(pci_init() == 0);
    fake_domain.privileged = false;
    fake_domain.id = 1;
    domain0 = NULL;
    for (struct pci_device *p = pci_device_next(NULL); p; p = pci_device_next(p)) {
        p->removed = !pci_probe(p);
        p->hidden = p->is_iommu;
    }
    for (size_t i = 0; i < ARRAY_SIZE(given); i++) {
        struct pci_device *pdev = pci_device_find(given[i]);

        pci_quiesce(pdev);
        if (!iommu_assign(&fake_domain, pdev) && vpci_assign(&fake_domain, pdev)) {
            iommu_deassign(pdev);
        }
    }
}

void fake_machine_stop(void)
{
    vpci_domain_destroy(&fake_domain);
    assert(fake_irqs_used() == 0);
    assert(fake_remaps == 0);
    assert(fake_mapped_frames == 0);
    assert(fake_line_machine == 0);
    assert(list_empty(&fake_domain.arch.io_handlers));
    for (unsigned int i = 0; i < FAKE_ENTRIES; i++) {
        assert(!fake_entries[i].allocated);
    }
}

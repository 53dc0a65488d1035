// SPDX-License-Identifier: Apache-2.0
// Virtual PCI of a domain: ports 0xcf8 to 0xcff, ECAM windows, and which functions are behind
// them. Domain 0 sees the machine's own bus numbers; a function that it reads and that we do not
// know is looked at and given to it then. Another domain has one bus with a host bridge of ours.
// An access finds its function without a lock and then holds the function's.
#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/errno.h>
#include <bulkhead/heap.h>

#include "vpci_private.h"

#define PORT_CONFIG_ADDRESS 0xcf8u
#define PORT_CONFIG_DATA 0xcfcu
#define CONFIG_ENABLE 0x80000000u
#define CONFIG_RESERVED 0x7f000000u

static uint32_t all_ones(unsigned int size)
{
    return size >= 4 ? ~0u : (1u << size * 8) - 1;
}

// The machine's function behind a place on d's bus, or NULL.
static struct pci_device *find_function(struct domain *d, pci_sbdf_t place)
{
    struct pci_device *found = NULL;
    const struct vpci_device *v;

    if (d->privileged) {
        return pci_device_find(place);
    }
    spin_lock(&d->arch.vpci->lock);
    list_for_each (v, &d->arch.vpci->devices, link) {
        if (pci_sbdf_equal(v->place, place)) {
            found = v->pdev;
        }
    }
    spin_unlock(&d->arch.vpci->lock);
    return found;
}

struct vpci_device *vpci_lock_function(struct domain *d, pci_sbdf_t sbdf)
{
    struct pci_device *pdev = find_function(d, sbdf);

    if (!pdev) {
        return NULL;
    }
    spin_lock(&pdev->lock);
    if (pdev->vpci && pdev->vpci->domain == d && !pdev->removed &&
        pci_sbdf_equal(pdev->vpci->place, sbdf)) {
        return pdev->vpci;
    }
    spin_unlock(&pdev->lock);
    return NULL;
}

// Domain 0 looks for functions by reading their identity: what we do not know, or what it had
// reported gone, is looked at then.
static struct vpci_device *discover(struct domain *d, pci_sbdf_t sbdf, unsigned int offset)
{
    const struct pci_device *pdev = pci_device_find(sbdf);

    if (!d->privileged || offset != PCI_VENDOR_ID || (pdev && !pdev->removed) ||
        pci_device_add(sbdf)) {
        return NULL;
    }
    return vpci_lock_function(d, sbdf);
}

// The host bridge of a bus that is not the machine's, by double word: QEMU's generic one, which has
// no function but to be there.
static uint32_t read_host_bridge(unsigned int offset, unsigned int size)
{
    uint32_t word = offset / 4 == PCI_VENDOR_ID / 4        ? 0x00081b36u
                    : offset / 4 == PCI_CLASS_REVISION / 4 ? PCI_CLASS_BRIDGE_HOST << 16
                                                           : 0;

    return offset < PCI_CONFIG_SIZE ? word >> offset % 4 * 8 & all_ones(size) : all_ones(size);
}

static bool is_host_bridge(const struct domain *d, pci_sbdf_t sbdf)
{
    return !d->privileged && pci_sbdf_equal(sbdf, PCI_SBDF(0, 0, 0));
}

uint32_t vpci_config_read(struct domain *d, pci_sbdf_t sbdf, unsigned int offset, unsigned int size)
{
    struct vpci_device *v = vpci_lock_function(d, sbdf);
    uint32_t value = all_ones(size);

    if (is_host_bridge(d, sbdf)) {
        return read_host_bridge(offset, size);
    }
    if (!v) {
        v = discover(d, sbdf, offset);
    }
    if (v) {
        value = vpci_device_read(v, offset, size);
        spin_unlock(&v->pdev->lock);
    }
    return value;
}

void vpci_config_write(struct domain *d, pci_sbdf_t sbdf, unsigned int offset, unsigned int size,
                       uint32_t value)
{
    struct vpci_device *v = vpci_lock_function(d, sbdf);

    if (v) {
        vpci_device_write(v, offset, size, value & all_ones(size));
        spin_unlock(&v->pdev->lock);
    }
}

// What the address register selects; false: nothing.
static bool selected(const struct vpci *vpci, uint64_t port, pci_sbdf_t *sbdf, unsigned int *offset)
{
    uint32_t address = __atomic_load_n(&vpci->config_address, __ATOMIC_RELAXED);

    *sbdf = PCI_SBDF(0, address >> 16, address >> 8);
    *offset = (address & 0xfc) + (unsigned int)(port - PORT_CONFIG_DATA);
    return (address & CONFIG_ENABLE) && !(address & CONFIG_RESERVED);
}

static void port_read(struct vcpu *vcpu, void *opaque, uint64_t port, unsigned int size,
                      uint64_t *value)
{
    struct vpci *vpci = opaque;
    pci_sbdf_t sbdf;
    unsigned int offset;

    *value = all_ones(size);
    if (port == PORT_CONFIG_ADDRESS && size == 4) {
        *value = __atomic_load_n(&vpci->config_address, __ATOMIC_RELAXED);
    } else if (port >= PORT_CONFIG_DATA && selected(vpci, port, &sbdf, &offset)) {
        *value = vpci_config_read(vcpu->domain, sbdf, offset, size);
    }
}

// Narrower writes to the address register's bytes reach other hardware (port 0xcf9 resets the
// machine) and are dropped.
static void port_write(struct vcpu *vcpu, void *opaque, uint64_t port, unsigned int size,
                       uint64_t value)
{
    struct vpci *vpci = opaque;
    pci_sbdf_t sbdf;
    unsigned int offset;

    if (port == PORT_CONFIG_ADDRESS && size == 4) {
        __atomic_store_n(&vpci->config_address, (uint32_t)value, __ATOMIC_RELAXED);
    } else if (port >= PORT_CONFIG_DATA && selected(vpci, port, &sbdf, &offset)) {
        vpci_config_write(vcpu->domain, sbdf, offset, size, (uint32_t)value);
    }
}

static pci_sbdf_t ecam_function(const struct pci_ecam *window, uint64_t address)
{
    uint64_t distance = address - window->address;

    return PCI_SBDF(window->segment, distance >> 20, distance >> 12);
}

static void ecam_read(struct vcpu *vcpu, void *opaque, uint64_t address, unsigned int size,
                      uint64_t *value)
{
    const struct vpci_ecam *ecam = opaque;
    pci_sbdf_t sbdf = ecam_function(ecam->window, address);
    unsigned int offset = address & (PCI_CONFIG_EXTENDED_SIZE - 1);

    *value = ~0UL;
    if (address % size) {
        return;
    }
    *value = vpci_config_read(vcpu->domain, sbdf, offset, MIN(size, 4u));
    if (size == 8) {
        *value |= (uint64_t)vpci_config_read(vcpu->domain, sbdf, offset + 4, 4) << 32;
    }
}

static void ecam_write(struct vcpu *vcpu, void *opaque, uint64_t address, unsigned int size,
                       uint64_t value)
{
    const struct vpci_ecam *ecam = opaque;
    pci_sbdf_t sbdf = ecam_function(ecam->window, address);
    unsigned int offset = address & (PCI_CONFIG_EXTENDED_SIZE - 1);

    if (address % size) {
        return;
    }
    vpci_config_write(vcpu->domain, sbdf, offset, MIN(size, 4u), (uint32_t)value);
    if (size == 8) {
        vpci_config_write(vcpu->domain, sbdf, offset + 4, 4, (uint32_t)(value >> 32));
    }
}

static void add_ecam(struct domain *d, struct vpci *vpci, const struct pci_ecam *window)
{
    struct vpci_ecam *ecam = &vpci->ecam[vpci->ecam_count++];

    ecam->window = window;
    ecam->handler = (struct io_handler){
        .space = IO_MEMORY,
        .start = window->address + ((uint64_t)window->first_bus << 20),
        .size = ((uint64_t)window->last_bus - window->first_bus + 1) << 20,
        .opaque = ecam,
        .read = ecam_read,
        .write = ecam_write,
    };
    io_handler_add(d, &ecam->handler);
}

static const struct pci_ecam guest_ecam = {.address = VPCI_GUEST_ECAM};

int vpci_domain_init(struct domain *d)
{
    struct vpci *vpci = heap_new(struct vpci);

    if (!vpci) {
        return -XEN_ENOMEM;
    }
    spin_lock_init(&vpci->lock);
    list_init(&vpci->devices);
    vpci->ports = (struct io_handler){.space = IO_PORT,
                                      .start = PORT_CONFIG_ADDRESS,
                                      .size = 8,
                                      .opaque = vpci,
                                      .read = port_read,
                                      .write = port_write};
    d->arch.vpci = vpci;
    io_handler_add(d, &vpci->ports);
    for (unsigned int i = 0; d->privileged && i < pci_ecam_count; i++) {
        add_ecam(d, vpci, &pci_ecam[i]);
    }
    if (!d->privileged) {
        add_ecam(d, vpci, &guest_ecam);
    }
    return 0;
}

static void unlink_and_free(struct vpci_device *v)
{
    struct vpci *vpci = v->domain->arch.vpci;

    vpci_msi_free(v);
    vpci_line_free(v);
    vpci_header_free(v);
    vpci_msix_free(v);
    v->pdev->vpci = NULL;
    spin_lock(&vpci->lock);
    list_remove(&v->link);
    spin_unlock(&vpci->lock);
    heap_free(v);
}

// Where the domain will see the function; false: its bus is full. The domain's vpci lock is held.
static bool choose_place(const struct domain *d, struct vpci_device *v)
{
    const struct vpci_device *other;
    uint32_t used = 1; // the host bridge

    v->place = v->pdev->sbdf;
    if (d->privileged) {
        return true;
    }
    list_for_each (other, &d->arch.vpci->devices, link) {
        used |= 1u << PCI_DEVICE(other->place.devfn);
    }
    if (used == ~0u) {
        return false;
    }
    v->place = PCI_SBDF(0, 0, PCI_DEVFN(__builtin_ctz(~used), 0));
    return true;
}

static bool add_to_bus(struct domain *d, struct vpci_device *v)
{
    bool room;

    spin_lock(&d->arch.vpci->lock);
    room = choose_place(d, v);
    if (room) {
        list_add_tail(&d->arch.vpci->devices, &v->link);
    }
    spin_unlock(&d->arch.vpci->lock);
    return room;
}

// The device's lock is held.
static int assign_locked(struct domain *d, struct pci_device *pdev)
{
    struct vpci_device *v;
    int error;

    if (pdev->hidden) {
        return -XEN_EPERM;
    }
    if (pdev->owner != d || pdev->vpci) {
        return -XEN_EBUSY;
    }
    if (!d->privileged && pdev->header_type != PCI_HEADER_FUNCTION) {
        return -XEN_EINVAL;
    }
    v = heap_new(struct vpci_device);
    if (!v) {
        return -XEN_ENOMEM;
    }
    v->pdev = pdev;
    v->domain = d;
    v->filtered = !d->privileged;
    if (!add_to_bus(d, v)) {
        heap_free(v);
        return -XEN_ENOSPC;
    }
    pdev->vpci = v;
    error = vpci_header_init(v);
    error = error ? error : vpci_msi_init(v);
    error = error ? error : vpci_msix_init(v);
    if (error) {
        unlink_and_free(v);
        return error;
    }
    if (v->filtered) {
        pci_quiesce(pdev); // as after a reset; firmware may have left decode on
    } else if (pci_read16(pdev->sbdf, PCI_COMMAND) & PCI_COMMAND_MEMORY) {
        vpci_bars_map(v);
    }
    return 0;
}

int vpci_assign(struct domain *d, struct pci_device *pdev)
{
    int error = d->arch.vpci ? 0 : vpci_domain_init(d);

    if (!error) {
        spin_lock(&pdev->lock);
        error = assign_locked(d, pdev);
        spin_unlock(&pdev->lock);
    }
    return error;
}

void vpci_deassign(struct pci_device *pdev)
{
    spin_lock(&pdev->lock);
    if (pdev->vpci) {
        unlink_and_free(pdev->vpci);
    }
    spin_unlock(&pdev->lock);
}

static struct spinlock change_lock = SPINLOCK_INIT;

int vpci_change_begin(struct domain *d)
{
    struct vcpu *v;
    unsigned int i;

    // Who waits for the lock could be the one whose vcpu is waited for below.
    if (!spin_trylock(&change_lock)) {
        return -XEN_ERESTART;
    }
    for_each_vcpu (v, d, i) {
        if (v != current_vcpu()) {
            vcpu_pause(v);
        }
    }
    return 0;
}

void vpci_change_end(struct domain *d)
{
    struct vcpu *v;
    unsigned int i;

    for_each_vcpu (v, d, i) {
        if (v != current_vcpu()) {
            vcpu_unpause(v);
        }
    }
    spin_unlock(&change_lock);
}

void vpci_domain_quarantine(struct domain *d)
{
    for (struct pci_device *p = pci_device_next(NULL); p; p = pci_device_next(p)) {
        if (p->owner == d) {
            vpci_deassign(p);
            iommu_deassign(p);
        }
    }
}

void vpci_domain_destroy(struct domain *d)
{
    struct vpci *vpci = d->arch.vpci;

    if (!vpci) {
        return;
    }
    vpci_domain_quarantine(d);
    io_handler_remove(&vpci->ports);
    for (unsigned int i = 0; i < vpci->ecam_count; i++) {
        io_handler_remove(&vpci->ecam[i].handler);
    }
    d->arch.vpci = NULL;
    heap_free(vpci);
}

int vpci_give_to_hardware_domain(struct domain *d, struct pci_device *pdev)
{
    int error = iommu_assign(d, pdev);

    if (!error) {
        error = vpci_assign(d, pdev);
        if (error) {
            iommu_deassign(pdev);
        }
    }
    if (error) {
        log_warning("vPCI: " PCI_FORMAT " stays unused (%d)%s", PCI_ARGUMENTS(pdev->sbdf), error,
                    error == -XEN_ENODEV ? ": no IOMMU translates for it" : "");
    }
    return error;
}

int vpci_assign_hardware_domain(struct domain *d)
{
    unsigned int given = 0, kept = 0;
    int error = iommu_enabled() ? vpci_deny_resources(d) : -XEN_ENODEV;

    if (error) {
        return error;
    }
    for (struct pci_device *p = pci_device_next(NULL); p; p = pci_device_next(p)) {
        if (p->hidden || p->withheld) {
            kept++;
        } else if (vpci_give_to_hardware_domain(d, p) == 0) {
            given++;
        }
    }
    log_info("vPCI: domain %u has %u functions, %u are hidden", d->id, given, kept);
    return 0;
}

void vpci_dump(struct pci_device *pdev)
{
    const struct vpci_device *v;

    spin_lock(&pdev->lock);
    v = pdev->vpci;
    for (unsigned int i = 0; v && i <= VPCI_ROM; i++) {
        if (v->bars[i].mapped) {
            log_info("    BAR %u at %lx, %lx bytes", i, v->bars[i].mapped_at, v->bars[i].size);
        }
    }
    if (v && v->msi && v->msi->active) {
        log_info("    MSI, %u messages", 1u << v->msi->log_count);
    }
    if (v && v->msix && v->msix->enabled) {
        log_info("    MSI-X, %u entries%s", v->msix->count,
                 v->msix->mask_all ? ", all masked" : "");
    }
    spin_unlock(&pdev->lock);
}

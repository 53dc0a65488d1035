// SPDX-License-Identifier: Apache-2.0
// The list of all PCI functions. At boot every bus that bridges lead to is walked, from the first
// of each segment; what other host bridges lead to, domain 0 reports later.
// The list only grows: at its tail, under scan_lock; readers need no lock because a function is
// complete before it is linked. No error leaves a half-made function behind.
#include <bulkhead/console.h>
#include <bulkhead/debug_key.h>
#include <bulkhead/errno.h>
#include <bulkhead/heap.h>

#include "pci_private.h"

#define HASH_BUCKETS 64u

static struct pci_device *first_device, **device_tail = &first_device;
static struct pci_device *hash_table[HASH_BUCKETS];
static unsigned int device_count;
static struct spinlock scan_lock = SPINLOCK_INIT;

static unsigned int bucket_of(pci_sbdf_t sbdf)
{
    return (sbdf.devfn ^ sbdf.devfn >> 3 ^ sbdf.bus ^ sbdf.segment) % HASH_BUCKETS;
}

struct pci_device *pci_device_find(pci_sbdf_t sbdf)
{
    struct pci_device *pdev = __atomic_load_n(&hash_table[bucket_of(sbdf)], __ATOMIC_ACQUIRE);

    while (pdev && !pci_sbdf_equal(pdev->sbdf, sbdf)) {
        pdev = pdev->hash_next;
    }
    return pdev;
}

struct pci_device *pci_device_next(const struct pci_device *after)
{
    return after ? __atomic_load_n(&after->next, __ATOMIC_ACQUIRE)
                 : __atomic_load_n(&first_device, __ATOMIC_ACQUIRE);
}

static void link_device(struct pci_device *pdev)
{
    struct pci_device **bucket = &hash_table[bucket_of(pdev->sbdf)];

    pdev->hash_next = *bucket;
    __atomic_store_n(bucket, pdev, __ATOMIC_RELEASE);
    __atomic_store_n(device_tail, pdev, __ATOMIC_RELEASE);
    device_tail = &pdev->next;
    device_count++;
}

// Finds or makes the structure of the function at sbdf; NULL when nothing answers there (*error
// -XEN_ENODEV) or memory is out. Under scan_lock.
static struct pci_device *discover(pci_sbdf_t sbdf, int *error)
{
    struct pci_device *pdev = pci_device_find(sbdf);

    *error = 0;
    if (pdev) {
        return pdev;
    }
    if ((pci_read32(sbdf, PCI_VENDOR_ID) & 0xffff) == 0xffff) {
        *error = -XEN_ENODEV;
        return NULL;
    }
    pdev = heap_new(struct pci_device);
    if (!pdev) {
        *error = -XEN_ENOMEM;
        return NULL;
    }
    pdev->sbdf = sbdf;
    spin_lock_init(&pdev->lock);
    if (!pci_probe(pdev)) {
        heap_free(pdev);
        *error = -XEN_ENODEV;
        return NULL;
    }
    pci_isolate(pdev);
    pdev->hidden = pdev->is_iommu;
    pdev->withheld = pci_hide_option_has(sbdf);
    link_device(pdev);
    log_debug("PCI: " PCI_FORMAT " %04x:%04x class %06x%s", PCI_ARGUMENTS(sbdf), pdev->vendor,
              pdev->device, pdev->class_code, pdev->hidden || pdev->withheld ? " (hidden)" : "");
    return pdev;
}

// Buses of one segment that still have to be walked, and those that have been.
struct bus_walk {
    uint16_t segment;
    uint64_t pending[4], seen[4];
};

static void walk_add(struct bus_walk *walk, unsigned int bus)
{
    if (!(walk->seen[bus / 64] >> bus % 64 & 1)) {
        walk->seen[bus / 64] |= 1UL << bus % 64;
        walk->pending[bus / 64] |= 1UL << bus % 64;
    }
}

static bool walk_take(struct bus_walk *walk, unsigned int *bus)
{
    for (unsigned int i = 0; i < 4; i++) {
        if (walk->pending[i]) {
            unsigned int bit = (unsigned int)__builtin_ctzl(walk->pending[i]);

            walk->pending[i] &= ~(1UL << bit);
            *bus = i * 64 + bit;
            return true;
        }
    }
    return false;
}

static int walk_device(struct bus_walk *walk, unsigned int bus, unsigned int device)
{
    for (unsigned int function = 0; function < 8; function++) {
        pci_sbdf_t sbdf = PCI_SBDF(walk->segment, bus, PCI_DEVFN(device, function));
        int error;
        struct pci_device *pdev = discover(sbdf, &error);

        if (error == -XEN_ENOMEM) {
            return error;
        }
        if (pdev && pdev->header_type == PCI_HEADER_BRIDGE && pdev->secondary > bus) {
            walk_add(walk, pdev->secondary);
        }
        if (function == 0 && (!pdev || !(pci_read8(sbdf, PCI_HEADER_TYPE) & PCI_HEADER_MULTI))) {
            return 0;
        }
    }
    return 0;
}

static int walk_segment(uint16_t segment, unsigned int first_bus)
{
    struct bus_walk walk = {.segment = segment};
    unsigned int bus;

    walk_add(&walk, first_bus);
    while (walk_take(&walk, &bus)) {
        for (unsigned int device = 0; device < 32; device++) {
            int error = walk_device(&walk, bus, device);

            if (error) {
                return error;
            }
        }
    }
    return 0;
}

int pci_init(void)
{
    int error = pci_config_init();
    bool segment0 = false;

    for (unsigned int i = 0; !error && i < pci_ecam_count; i++) {
        segment0 |= pci_ecam[i].segment == 0 && pci_ecam[i].first_bus == 0;
        error = walk_segment(pci_ecam[i].segment, pci_ecam[i].first_bus);
    }
    if (!error && !segment0) {
        error = walk_segment(0, 0);
    }
    if (error) {
        log_error("PCI: out of memory while looking for devices");
        return error;
    }
    pci_hide_option_check();
    log_info("PCI: %u functions", device_count);
    debug_key_register('Q', "show PCI functions", pci_dump);
    return 0;
}

struct pci_device *pci_device_discover(pci_sbdf_t sbdf)
{
    struct pci_device *pdev;
    int error;

    spin_lock(&scan_lock);
    pdev = discover(sbdf, &error);
    spin_unlock(&scan_lock);
    return pdev;
}

void pci_hide(pci_sbdf_t sbdf)
{
    struct pci_device *pdev = pci_device_find(sbdf);

    if (pdev) {
        CHECK(!pdev->owner);
        pdev->hidden = true;
    }
}

bool pci_is_hidden(pci_sbdf_t sbdf)
{
    const struct pci_device *pdev = pci_device_find(sbdf);

    return pdev ? pdev->hidden || pdev->withheld : pci_hide_option_has(sbdf);
}

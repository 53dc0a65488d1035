// SPDX-License-Identifier: Apache-2.0
// The vendor-neutral part of DMA and interrupt remapping: the option, who owns which function,
// and the choice of the driver. pci_device.lock covers a function's owner; the drivers have locks
// of their own for what they share.
#include <bulkhead/cmdline.h>
#include <bulkhead/console.h>
#include <bulkhead/debug_key.h>
#include <bulkhead/errno.h>
#include <bulkhead/heap.h>
#include <bulkhead/spinlock.h>
#include <bulkhead/string.h>

#include "iommu_private.h"

bool iommu_verbose, iommu_debug;

static const struct iommu_ops *ops;
static bool refused_off;

// Which domain has which tag; 0: nobody, else the domid + 1. Under tag_lock, read without it.
static uint16_t tags[IOMMU_MAX_TAGS];
static struct spinlock tag_lock = SPINLOCK_INIT;

static int apply_word(const char *word, size_t length)
{
    if (length == 3 && !strncmp(word, "off", 3)) {
        refused_off = true;
    } else if (length == 2 && !strncmp(word, "no", 2)) {
        refused_off = true;
    } else if (length == 7 && !strncmp(word, "verbose", 7)) {
        iommu_verbose = true;
    } else if (length == 5 && !strncmp(word, "debug", 5)) {
        iommu_verbose = iommu_debug = true;
    } else if (!(length == 2 && !strncmp(word, "on", 2)) && length != 0) {
        return -XEN_EINVAL;
    }
    return 0;
}

// iommu=[on|off][,verbose][,debug]
static int parse_iommu(const char *value)
{
    for (;;) {
        const char *comma = strchr(value, ',');
        size_t length = comma ? (size_t)(comma - value) : strlen(value);
        int error = apply_word(value, length);

        if (error || !comma) {
            return error;
        }
        value = comma + 1;
    }
}

CMDLINE_OPTION(iommu, .name = "iommu", .parse = parse_iommu);

bool iommu_wait_completion(const volatile uint64_t *completion, uint64_t value)
{
    ns_t limit;

    if (*completion == value) {
        return true; // most are this quick, and looking at the clock is not
    }
    limit = now() + IOMMU_ANSWER_TIMEOUT;
    while (*completion != value) {
        if (now() > limit) {
            return *completion == value;
        }
        __builtin_ia32_pause();
    }
    return true;
}

// Bridges and host bridges start no transactions of their own that a domain could choose.
static bool needs_no_translation(const struct pci_device *pdev)
{
    return pdev->class_code >> 16 == 0x06;
}

// Until a function has an owner it does nothing on its own; the IOMMU would refuse it anyway.
static void quarantine_all(void)
{
    for (struct pci_device *p = pci_device_next(NULL); p; p = pci_device_next(p)) {
        if (!p->hidden && !needs_no_translation(p)) {
            pci_stop_dma(p);
        }
    }
}

int iommu_init(void)
{
    int error;

    if (refused_off) {
        log_warning("IOMMU: iommu=off is refused: domain 0 gets devices only behind an IOMMU");
    }
    error = amd_iommu_init(&ops);
    if (error == -XEN_ENODEV) {
        error = intel_iommu_init(&ops);
    }
    if (error == -XEN_ENODEV) {
        log_error("IOMMU: this machine has no IOMMU that Bulkhead can use (ACPI has no IVRS and no "
                  "DMAR table); it is required");
    } else if (!error) {
        log_info("IOMMU: %s in use, with interrupt remapping", ops->name);
        quarantine_all();
        debug_key_register('V', "show IOMMUs and whose devices they serve", iommu_dump);
    }
    return error;
}

bool iommu_enabled(void)
{
    return ops != NULL;
}

bool iommu_covers(const struct pci_device *pdev)
{
    return ops && ops->covers(pdev);
}

bool iommu_registers(unsigned int index, uint64_t *start, uint64_t *size)
{
    return ops && ops->registers(index, start, size);
}

static uint16_t tag_alloc(const struct domain *d)
{
    uint16_t tag = 1;

    spin_lock(&tag_lock);
    while (tag < MIN(ops->tags, IOMMU_MAX_TAGS) && tags[tag]) {
        tag++;
    }
    if (tag == MIN(ops->tags, IOMMU_MAX_TAGS)) {
        tag = 0;
    } else {
        __atomic_store_n(&tags[tag], (uint16_t)(d->id + 1), __ATOMIC_RELAXED);
    }
    spin_unlock(&tag_lock);
    return tag;
}

int iommu_tag_owner(uint16_t tag)
{
    return tag < IOMMU_MAX_TAGS ? (int)__atomic_load_n(&tags[tag], __ATOMIC_RELAXED) - 1 : -1;
}

static int create_domain(struct domain *d)
{
    struct iommu_domain *domain = heap_new(struct iommu_domain);

    if (!domain) {
        return -XEN_ENOMEM;
    }
    domain->id = tag_alloc(d);
    if (!domain->id) {
        heap_free(domain);
        return -XEN_ENOSPC;
    }
    __atomic_store_n(&d->arch.iommu, domain, __ATOMIC_RELEASE);
    return 0;
}

// Whether somebody else has a function that this one could reach past the IOMMU; a message names
// it. Bridges are nobody's in that sense. Owners change while domctl_lock is held, or at boot.
static bool group_is_divided(const struct domain *d, const struct pci_device *pdev)
{
    if (needs_no_translation(pdev)) {
        return false;
    }
    for (const struct pci_device *p = pci_device_next(NULL); p; p = pci_device_next(p)) {
        if (p->owner && p->owner != d && !p->removed && !needs_no_translation(p) &&
            pci_same_group(p, pdev)) {
            log_warning("IOMMU: " PCI_FORMAT
                        " cannot be given to domain %u: it could reach " PCI_FORMAT
                        ", which domain %u has, past the IOMMU; they have to go together",
                        PCI_ARGUMENTS(pdev->sbdf), d->id, PCI_ARGUMENTS(p->sbdf), p->owner->id);
            return true;
        }
    }
    return false;
}

static int assign_locked(struct domain *d, struct pci_device *pdev)
{
    int error;

    if (pdev->hidden || pdev->owner || group_is_divided(d, pdev)) {
        return -XEN_EBUSY;
    }
    if (!iommu_covers(pdev)) {
        if (!needs_no_translation(pdev)) {
            return -XEN_ENODEV;
        }
        pdev->owner = d;
        pdev->used = true;
        return 0;
    }
    error = d->arch.iommu ? 0 : create_domain(d);
    if (!error) {
        error = ops->attach(d, pdev);
    }
    if (!error) {
        pdev->owner = d;
        pdev->used = true;
        if (iommu_verbose) {
            log_info("IOMMU: " PCI_FORMAT " is given to domain %u", PCI_ARGUMENTS(pdev->sbdf),
                     d->id);
        }
    }
    return error;
}

int iommu_assign(struct domain *d, struct pci_device *pdev)
{
    int error;

    spin_lock(&pdev->lock);
    error = assign_locked(d, pdev);
    spin_unlock(&pdev->lock);
    return error;
}

void iommu_deassign(struct pci_device *pdev)
{
    spin_lock(&pdev->lock);
    if (pdev->owner) {
        if (pdev->iommu) {
            ops->detach(pdev->owner, pdev);
        }
        if (iommu_verbose) {
            log_info("IOMMU: " PCI_FORMAT " is taken from domain %u", PCI_ARGUMENTS(pdev->sbdf),
                     pdev->owner->id);
        }
        pdev->owner = NULL;
    }
    spin_unlock(&pdev->lock);
}

void iommu_domain_destroy(struct domain *d)
{
    if (d->arch.iommu) {
        __atomic_store_n(&tags[d->arch.iommu->id], 0, __ATOMIC_RELEASE);
    }
    heap_free(d->arch.iommu);
    d->arch.iommu = NULL;
}

void iommu_flush(struct domain *d, gfn_t start, uint64_t count)
{
    const struct iommu_domain *domain = __atomic_load_n(&d->arch.iommu, __ATOMIC_ACQUIRE);

    if (domain && count) {
        ops->flush(domain, start.n, count);
    }
}

void iommu_flush_all(struct domain *d)
{
    iommu_flush(d, GFN(0), IOMMU_FLUSH_ALL);
}

int iommu_irq_alloc(struct pci_device *pdev, unsigned int count)
{
    return pdev->iommu ? ops->irq_alloc(pdev, count) : -XEN_ENODEV;
}

void iommu_irq_free(struct pci_device *pdev, unsigned int index, unsigned int count)
{
    ops->irq_free(pdev, index, count);
}

void iommu_irq_set(struct pci_device *pdev, unsigned int index,
                   const struct interrupt_target *target, struct msi_message *message)
{
    ops->irq_set(pdev, index, target, message);
}

void iommu_irq_block(struct pci_device *pdev, unsigned int index)
{
    ops->irq_block(pdev, index);
}

void iommu_plain_message(const struct interrupt_target *target, struct msi_message *message)
{
    message->address =
        0xfee00000UL | (uint64_t)(target->apic_id & 0xff) << 12 | (target->logical ? 1u << 2 : 0);
    message->data = target->vector | (uint32_t)(target->delivery_mode & 7) << 8;
}

void iommu_dump(void)
{
    ops->dump();
}

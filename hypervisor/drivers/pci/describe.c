// SPDX-License-Identifier: Apache-2.0
// What a function is, in words, for whoever decides which domain gets it and has no access to
// configuration space: identity, and the place in the machine, which stays when a card is added
// elsewhere and bus numbers change. No state; who owns a function is read under its lock.
#include <bulkhead/console.h>
#include <bulkhead/domain.h>
#include <bulkhead/string.h>

#include "pci_private.h"

#define MAX_DEPTH 8u // bridges above a function whose place can be said

static bool write_class(struct pci_device *pdev, char *text, size_t size)
{
    format_string(text, size, "%06x", pdev->class_code);
    return true;
}

static bool write_device(struct pci_device *pdev, char *text, size_t size)
{
    format_string(text, size, "%04x", pdev->device);
    return true;
}

// A domid; nothing when nobody has it.
static bool write_owner(struct pci_device *pdev, char *text, size_t size)
{
    bool has_owner;

    spin_lock(&pdev->lock);
    has_owner = pdev->owner;
    if (has_owner) {
        format_string(text, size, "%u", pdev->owner->id);
    }
    spin_unlock(&pdev->lock);
    return has_owner;
}

// The bridge on the root bus as an address, then device and function on each bus below.
static bool write_place(struct pci_device *pdev, char *text, size_t size)
{
    const struct pci_device *path[MAX_DEPTH + 1] = {pdev};
    unsigned int depth = 0;
    size_t used;

    for (const struct pci_device *up = pci_parent(pdev); up; up = pci_parent(up)) {
        if (++depth > MAX_DEPTH) {
            return false;
        }
        path[depth] = up;
    }
    format_string(text, size, PCI_FORMAT, PCI_ARGUMENTS(path[depth]->sbdf));
    while (depth-- > 0) {
        used = strlen(text);
        format_string(text + used, size - used, "/%02x.%x", PCI_DEVICE(path[depth]->sbdf.devfn),
                      PCI_FUNCTION(path[depth]->sbdf.devfn));
    }
    return true;
}

// As it is printed elsewhere: the eight bytes, the highest first.
static bool write_serial(struct pci_device *pdev, char *text, size_t size)
{
    for (unsigned int i = 0; i < 8; i++) {
        format_string(text + 3 * i, size - 3 * i, "%02x%s",
                      (unsigned int)(pdev->serial >> (56 - 8 * i)) & 0xff, i < 7 ? "-" : "");
    }
    return pdev->serial;
}

static bool write_vendor(struct pci_device *pdev, char *text, size_t size)
{
    format_string(text, size, "%04x", pdev->vendor);
    return true;
}

static const struct {
    const char *name;
    bool (*write)(struct pci_device *pdev, char *text, size_t size); // false: it has none
} facts[] = {
    {"class", write_class}, {"device", write_device}, {"owner", write_owner},
    {"place", write_place}, {"serial", write_serial}, {"vendor", write_vendor},
};

const char *pci_describe(struct pci_device *pdev, unsigned int index, char text[PCI_FACT_SIZE])
{
    for (unsigned int i = 0; i < ARRAY_SIZE(facts); i++) {
        if (facts[i].write(pdev, text, PCI_FACT_SIZE) && index-- == 0) {
            return facts[i].name;
        }
    }
    return NULL;
}

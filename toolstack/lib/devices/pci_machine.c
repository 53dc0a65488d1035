// SPDX-License-Identifier: Apache-2.0
//
// The machine's PCI functions as the hypervisor tells of them (hypfs, /pci/ADDRESS/FACT), for
// domain 0 may see none of them itself; and whether a function is what a configuration says it is.
// Of a hypervisor that tells nothing, what domain 0 sees (sysfs) has to do.
#include <toolstack/host.h>
#include <toolstack/memory.h>
#include <toolstack/pci.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <xen/xen.h>
#include <xen/hypfs.h>

#define SYSFS "/sys/bus/pci/devices"

enum { LIST_SIZE = 1 << 16, HEAD_SIZE = sizeof(struct xen_hypfs_direntry) };

static bool is_told(struct toolstack *toolstack)
{
    struct xen_hypfs_direntry head;
    int result = hypervisor_read_hypfs(toolstack->hypervisor, "/pci", &head, sizeof(head));

    return result >= 0 || result == -ENOBUFS;
}

// What domain 0's kernel says of a function: numbers, without their 0x. All are domain 0's.
static bool read_sysfs(const char *address, const char *name, char text[PCI_FACT_SIZE])
{
    char *path = memory_format(SYSFS "/%s/%s", address, name);
    FILE *file = fopen(path, "re");
    bool owner = !strcmp(name, "owner");
    bool found = file && fscanf(file, "0x%63s", text) == 1;

    if (file)
        fclose(file);
    free(path);
    if (owner)
        strcpy(text, "0");
    return found || owner;
}

bool pci_read_fact(struct toolstack *toolstack, const struct pci_function *function,
                   const char *name, char text[PCI_FACT_SIZE])
{
    char address[PCI_TEXT_SIZE];
    char entry[HEAD_SIZE + PCI_FACT_SIZE] = "";

    pci_format(function, address);
    char *path = memory_format("/pci/%s/%s", address, name);
    int result = hypervisor_read_hypfs(toolstack->hypervisor, path, entry, sizeof(entry));

    free(path);
    if (result >= 0)
        snprintf(text, PCI_FACT_SIZE, "%.*s", PCI_FACT_SIZE - 1, entry + HEAD_SIZE);
    return result >= 0 || (!is_told(toolstack) && read_sysfs(address, name, text));
}

static void add_name(const char *name, struct pci_function **functions, size_t *count)
{
    struct pci_function function;

    if (!pci_parse(name, &function))
        return;
    *functions = memory_resized(*functions, *count + 1, sizeof(**functions));
    (*functions)[(*count)++] = function;
}

static void take_sysfs(struct pci_function **functions, size_t *count)
{
    DIR *folder = opendir(SYSFS);
    struct dirent *entry;

    while (folder && (entry = readdir(folder)) != NULL)
        add_name(entry->d_name, functions, count);
    if (folder)
        closedir(folder);
}

static void take_names(const char *list, size_t length, struct pci_function **functions,
                       size_t *count)
{
    const struct xen_hypfs_dirlistentry *item;

    for (size_t at = 0; at + sizeof(*item) <= length; at += item->off_next) {
        item = (const struct xen_hypfs_dirlistentry *)(const void *)(list + at);
        add_name(item->name, functions, count);
        if (!item->off_next)
            break;
    }
}

struct error *pci_list_machine(struct toolstack *toolstack, struct pci_function **functions,
                               size_t *count)
{
    *functions = NULL;
    *count = 0;
    TRY(toolstack_open_hypervisor(toolstack));
    char *entry = memory_zeroed(LIST_SIZE + 1);
    int result = hypervisor_read_hypfs(toolstack->hypervisor, "/pci", entry, LIST_SIZE);
    const struct xen_hypfs_direntry *head = (const struct xen_hypfs_direntry *)(void *)entry;

    if (result >= 0)
        take_names(entry + HEAD_SIZE, head->content_len, functions, count);
    free(entry);
    if (result == -ENOENT || result == -ENOSYS)
        take_sysfs(functions, count);
    else if (result < 0)
        return error_errno(ERROR_HYPERVISOR, result, "cannot list the machine's PCI functions");
    return NULL;
}

// Finds the function at a place.
static struct error *find_place(struct toolstack *toolstack, struct pci_function *function)
{
    struct pci_function *all;
    size_t count;
    bool found = false;

    TRY(pci_list_machine(toolstack, &all, &count));
    for (size_t i = 0; i < count && !found; i++) {
        char place[PCI_FACT_SIZE];

        found = pci_read_fact(toolstack, &all[i], "place", place) &&
                !strcasecmp(place, function->identity.place);
        if (found) {
            struct pci_identity identity = function->identity;

            *function = all[i];
            function->identity = identity;
        }
    }
    free(all);
    return found ? NULL
                 : error_advice(
                       error_in_device(error_new(ERROR_NO_DEVICE, "nothing is there"),
                                       "PCI function at %s", function->identity.place),
                       "Is the card in another slot? pci-assignable-list shows what is there.");
}

static struct error *check_fact(struct toolstack *toolstack, const struct pci_function *function,
                                const char *name, const char *wanted)
{
    char found[PCI_FACT_SIZE] = "none";
    char address[PCI_TEXT_SIZE];

    if (!*wanted)
        return NULL;
    pci_read_fact(toolstack, function, name, found);
    if (!strcasecmp(wanted, found))
        return NULL;
    pci_format(function, address);
    return error_advice(
        error_in_device(error_new(ERROR_DEVICE, "its %s is %s, not %s", name, found, wanted),
                        "PCI function %s", address),
        "Cards were added or moved. Name the function that is meant.");
}

struct error *pci_identify(struct toolstack *toolstack, struct pci_function *function)
{
    const struct pci_identity *identity = &function->identity;

    TRY(toolstack_open_hypervisor(toolstack));
    if (function->by_place)
        TRY(find_place(toolstack, function));
    TRY(check_fact(toolstack, function, "place", identity->place));
    TRY(check_fact(toolstack, function, "vendor", identity->vendor));
    TRY(check_fact(toolstack, function, "device", identity->device));
    return check_fact(toolstack, function, "serial", identity->serial);
}

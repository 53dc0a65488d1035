// SPDX-License-Identifier: Apache-2.0
//
// PCI functions as the kernel of this domain shows them below bus/pci/devices: numbers in files,
// the driver as a link, the configuration space as bytes. A file that is not there leaves its fact
// empty; only a tree without any PCI bus is an error.
#include <toolstack/doctor.h>
#include <toolstack/memory.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONFIGURATION_SIZE = 4096, RESOURCE_PORT = 0x100 };

// Reads up to size bytes of a function's file; the number read, 0 when it cannot.
static size_t read_file(const char *folder, const char *name, void *bytes, size_t size)
{
    char *path = memory_format("%s/%s", folder, name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    ssize_t got = 1;

    // A configuration space comes in as many pieces as the kernel likes.
    while (file >= 0 && got > 0 && length < size) {
        got = read(file, (char *)bytes + length, size - length);
        if (got > 0)
            length += (size_t)got;
    }
    if (file >= 0)
        close(file);
    free(path);
    return length;
}

static unsigned long read_number(const char *folder, const char *name)
{
    char text[32] = "";

    read_file(folder, name, text, sizeof(text) - 1);
    return strtoul(text, NULL, 16);
}

static char *read_driver(const char *folder)
{
    char *path = memory_format("%s/driver", folder);
    char target[PATH_MAX];
    ssize_t length = readlink(path, target, sizeof(target) - 1);

    free(path);
    if (length <= 0)
        return NULL;
    target[length] = '\0';
    const char *slash = strrchr(target, '/');

    return memory_copy_text(slash ? slash + 1 : target);
}

// Lines of three numbers: first and last address, and flags; unused ones are all zeroes.
static void read_regions(const char *folder, struct device_facts *device)
{
    char text[2048] = "";
    char *position = text;
    char *next;

    read_file(folder, "resource", text, sizeof(text) - 1);
    for (unsigned int i = 0; i < DEVICE_REGIONS; i++) {
        struct device_region region = {.first = strtoull(position, &next, 16)};

        if (next == position)
            return;
        region.last = strtoull(next, &next, 16);
        region.is_port = strtoull(next, &position, 16) & RESOURCE_PORT;
        if (region.last > region.first)
            device->regions[device->region_count++] = region;
    }
}

static void read_device(const char *folder, struct device_facts *device)
{
    uint8_t *space = memory_zeroed(CONFIGURATION_SIZE);
    size_t size = read_file(folder, "config", space, CONFIGURATION_SIZE);

    device->seen = true;
    device->vendor = (uint16_t)read_number(folder, "vendor");
    device->device = (uint16_t)read_number(folder, "device");
    device->class = (uint32_t)read_number(folder, "class") & 0xffffff;
    device->driver = read_driver(folder);
    device->owner = OWNER_NONE;
    device_read_abilities(space, size, &device->able);
    read_regions(folder, device);
    free(space);
}

static int in_order(const void *one, const void *other)
{
    const struct device_facts *a = one;
    const struct device_facts *b = other;
    char texts[2][PCI_TEXT_SIZE];

    pci_format(&a->function, texts[0]);
    pci_format(&b->function, texts[1]);
    return strcmp(texts[0], texts[1]);
}

struct error *doctor_read_sysfs(const char *root, struct doctor_facts *facts)
{
    char *path = memory_format("%s/bus/pci/devices", root);
    DIR *folder = opendir(path);
    struct dirent *entry;

    if (!folder) {
        struct error *error = error_errno(ERROR_SYSTEM, errno, "cannot list %s", path);

        free(path);
        return error_advice(error, "Mount sysfs there.");
    }
    while ((entry = readdir(folder)) != NULL) {
        struct pci_function function;

        if (!pci_parse(entry->d_name, &function))
            continue;
        facts->devices =
            memory_resized(facts->devices, facts->device_count + 1, sizeof(*facts->devices));
        struct device_facts *device = &facts->devices[facts->device_count++];
        char *below = memory_format("%s/%s", path, entry->d_name);

        *device = (struct device_facts){.function = function};
        read_device(below, device);
        free(below);
    }
    closedir(folder);
    free(path);
    if (facts->device_count)
        qsort(facts->devices, facts->device_count, sizeof(*facts->devices), in_order);
    return NULL;
}

void doctor_free(struct doctor_facts *facts)
{
    for (size_t i = 0; i < facts->device_count; i++) {
        free(facts->devices[i].driver);
        free(facts->devices[i].owner_name);
        free(facts->devices[i].group);
    }
    for (size_t i = 0; i < facts->reserved_count; i++)
        free(facts->reserved[i].devices);
    free(facts->devices);
    free(facts->reserved);
    *facts = (struct doctor_facts){0};
}

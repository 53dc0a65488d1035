// SPDX-License-Identifier: Apache-2.0
//
// PCI functions through sysfs and domctl. A function is kept from drivers by a driver_override that
// names none. Errors name the function.
#include <toolstack/pci.h>
#include <toolstack/host.h>
#include <toolstack/memory.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYSFS "/sys/bus/pci/devices"
#define NO_DRIVER "toolstack-assignable"
#define CLASS_BRIDGE 0x06

static struct error *about(struct error *error, const struct pci_function *function)
{
    char text[PCI_TEXT_SIZE];

    pci_format(function, text);
    return error_in_device(error, "PCI function %s", text);
}

static int change(struct toolstack *toolstack, uint32_t command, unsigned int domid,
                  const struct pci_function *function)
{
    struct xen_domctl operation = {.cmd = command, .domain = (domid_t)domid};

    operation.u.assign_device.dev = XEN_DOMCTL_DEV_PCI;
    operation.u.assign_device.u.pci.machine_sbdf =
        (uint32_t)function->segment << 16 | (uint32_t)function->bus << 8 |
        (uint32_t)function->device << 3 | function->function;
    return hypervisor_domctl(toolstack->hypervisor, &operation);
}

struct error *pci_assign(struct toolstack *toolstack, unsigned int domid,
                         const struct pci_function *function)
{
    TRY(toolstack_open_hypervisor(toolstack));
    int result = change(toolstack, XEN_DOMCTL_assign_device, domid, function);

    if (result >= 0)
        return NULL;
    struct error *error = error_errno(ERROR_DEVICE, result, "the hypervisor does not give it");

    if (result == -ENODEV)
        error_advice(error, "There is no such function, or the machine has no IOMMU for it.");
    else if (result == -EBUSY)
        error_advice(error, "It, or a function of its group, belongs to another domain.");
    else
        error_advice(error, "xl dmesg says why.");
    return about(error, function);
}

struct error *pci_deassign(struct toolstack *toolstack, unsigned int domid,
                           const struct pci_function *function)
{
    TRY(toolstack_open_hypervisor(toolstack));
    int result = change(toolstack, XEN_DOMCTL_deassign_device, domid, function);

    if (result >= 0)
        return NULL;
    return about(error_errno(ERROR_DEVICE, result, "the hypervisor does not take it back"),
                 function);
}

struct error *pci_check_support(struct toolstack *toolstack)
{
    struct host_version *version = memory_zeroed(sizeof(*version));
    struct error *error = host_get_version(toolstack, version);
    bool supported = !error && strstr(version->extra, "bulkhead");

    free(version);
    if (error || supported)
        return error;
    return error_advice(
        error_new(ERROR_UNSUPPORTED, "this hypervisor shows no PCI functions to PVH domains"),
        "Bulkhead does.");
}

static struct error *write_attribute(const char *path, const char *text)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t size = (ssize_t)strlen(text);
    bool written = file >= 0 && write(file, text, (size_t)size) == size;
    struct error *error =
        written ? NULL : error_errno(ERROR_DEVICE, errno, "cannot write %s", path);

    if (file >= 0)
        close(file);
    return error;
}

static bool has_driver(const char *function)
{
    char *path = memory_format(SYSFS "/%s/driver", function);
    bool has = access(path, F_OK) == 0;

    free(path);
    return has;
}

struct choice {
    bool assignable;
    uint32_t code;
    uint32_t mask;
};

// Of nobody, or of domain 0 without a driver.
static bool is_assignable(struct toolstack *toolstack, const struct pci_function *function)
{
    char owner[PCI_FACT_SIZE];
    char text[PCI_TEXT_SIZE];

    pci_format(function, text);
    return !pci_read_fact(toolstack, function, "owner", owner) ||
           (!strcmp(owner, "0") && !has_driver(text));
}

static bool is_chosen(struct toolstack *toolstack, const struct pci_function *function,
                      const struct choice *choice)
{
    char text[PCI_FACT_SIZE];

    if (!pci_read_fact(toolstack, function, "class", text))
        return false;
    uint32_t class = (uint32_t)(strtoul(text, NULL, 16) >> 8);

    return class >> 8 != CLASS_BRIDGE && (class & choice->mask) == choice->code &&
           (!choice->assignable || is_assignable(toolstack, function));
}

static struct error *choose(struct toolstack *toolstack, const struct choice *choice,
                            struct pci_function **functions, size_t *count)
{
    size_t kept = 0;

    TRY(pci_list_machine(toolstack, functions, count));
    for (size_t i = 0; i < *count; i++)
        if (is_chosen(toolstack, &(*functions)[i], choice))
            (*functions)[kept++] = (*functions)[i];
    *count = kept;
    return NULL;
}

struct error *pci_list_assignable(struct toolstack *toolstack, struct pci_function **functions,
                                  size_t *count)
{
    return choose(toolstack, &(struct choice){.assignable = true}, functions, count);
}

struct error *pci_list_class(struct toolstack *toolstack, uint32_t code, uint32_t mask,
                             struct pci_function **functions, size_t *count)
{
    return choose(toolstack, &(struct choice){.code = code, .mask = mask}, functions, count);
}

static struct error *check_there(const char *text, const struct pci_function *function)
{
    char *path = memory_format(SYSFS "/%s", text);
    bool there = access(path, F_OK) == 0;

    free(path);
    if (there)
        return NULL;
    return about(error_new(ERROR_NO_DEVICE, "this domain has no such function"), function);
}

struct error *pci_make_assignable(const struct pci_function *function)
{
    char text[PCI_TEXT_SIZE];

    pci_format(function, text);
    TRY(check_there(text, function));
    char *override = memory_format(SYSFS "/%s/driver_override", text);
    char *unbind = memory_format(SYSFS "/%s/driver/unbind", text);
    struct error *error = write_attribute(override, NO_DRIVER);

    if (!error && has_driver(text))
        error = write_attribute(unbind, text);
    free(override);
    free(unbind);
    return about(error, function);
}

struct error *pci_make_ordinary(const struct pci_function *function)
{
    char text[PCI_TEXT_SIZE];

    pci_format(function, text);
    TRY(check_there(text, function));
    char *override = memory_format(SYSFS "/%s/driver_override", text);
    // A new line alone takes the override away.
    struct error *error = write_attribute(override, "\n");

    if (!error)
        error = write_attribute("/sys/bus/pci/drivers_probe", text);
    free(override);
    return about(error, function);
}

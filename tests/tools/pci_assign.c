// SPDX-License-Identifier: Apache-2.0
// Gives a PCI function to a domain that has been created and does not run yet, or takes it back, by
// the public interface; for scenarios, until a toolstack can do it for PVH domains.
//   pci_assign give DOMID FUNCTION    pci_assign take DOMID FUNCTION
// FUNCTION is SEGMENT:BUS:DEVICE.FUNCTION, hexadecimal. Prints what failed and exits 1.
#include <stdint.h> // before the public headers
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xen/xen.h>
#include <xen/domctl.h>
#include <xencall.h>

static int call(struct xen_domctl *op)
{
    xencall_handle *handle = xencall_open(NULL, 0);
    struct xen_domctl *buffer;
    int result;

    if (!handle) {
        perror("xencall_open");
        return -1;
    }
    buffer = xencall_alloc_buffer(handle, sizeof(*buffer));
    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    *buffer = *op;
    result = xencall1(handle, __HYPERVISOR_domctl, (uint64_t)(uintptr_t)buffer);
    *op = *buffer;
    xencall_free_buffer(handle, buffer);
    xencall_close(handle);
    return result;
}

static uint32_t parse_function(const char *text)
{
    unsigned int segment, bus, device, function;

    if (sscanf(text, "%x:%x:%x.%x", &segment, &bus, &device, &function) != 4) {
        fprintf(stderr, "%s is no PCI function\n", text);
        exit(2);
    }
    return segment << 16 | bus << 8 | device << 3 | function;
}

static int change(int give, const char *domain, const char *function)
{
    struct xen_domctl op = {
        .cmd = give ? XEN_DOMCTL_assign_device : XEN_DOMCTL_deassign_device,
        .domain = (domid_t)atoi(domain),
    };

    op.u.assign_device.dev = XEN_DOMCTL_DEV_PCI;
    op.u.assign_device.u.pci.machine_sbdf = parse_function(function);
    if (call(&op) < 0) {
        fprintf(stderr, "%s: %s\n", function, strerror(errno));
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && (!strcmp(argv[1], "give") || !strcmp(argv[1], "take"))) {
        return change(!strcmp(argv[1], "give"), argv[2], argv[3]);
    }
    fprintf(stderr, "usage: pci_assign give|take DOMID FUNCTION\n");
    return 2;
}

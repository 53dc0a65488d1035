// SPDX-License-Identifier: Apache-2.0
//
// Hypercalls over libxencall and libxenforeignmemory. One buffer per handle carries the operation
// structures, so that a listing allocates nothing per call. libxenforeignmemory is opened when the
// first mapping is asked for.
#include <toolstack/hypercall.h>
#include <toolstack/memory.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hypfs.h>
#include <xencall.h>
#include <xenforeignmemory.h>

struct hypervisor {
    xencall_handle *call;
    xenforeignmemory_handle *memory;
    void *operation; // OPERATION_SIZE bytes for the structure of one call
};

enum { OPERATION_SIZE = 1024 };

struct error *hypervisor_open(struct hypervisor **result)
{
    struct hypervisor *hypervisor = memory_zeroed(sizeof(*hypervisor));

    hypervisor->call = xencall_open(NULL, XENCALL_OPENFLAG_NON_REENTRANT);
    if (!hypervisor->call) {
        struct error *error = error_errno(ERROR_NOT_ON_XEN, errno, "cannot reach the hypervisor");

        free(hypervisor);
        return error_advice(error, "Run this as root in domain 0 of a machine that was started "
                                   "with the hypervisor; modprobe xen-privcmd may be missing.");
    }
    hypervisor->operation = hypervisor_buffer(hypervisor, OPERATION_SIZE);
    *result = hypervisor;
    return NULL;
}

void hypervisor_close(struct hypervisor *hypervisor)
{
    if (!hypervisor)
        return;
    hypervisor_buffer_free(hypervisor, hypervisor->operation);
    if (hypervisor->memory)
        xenforeignmemory_close(hypervisor->memory);
    xencall_close(hypervisor->call);
    free(hypervisor);
}

void *hypervisor_buffer(struct hypervisor *hypervisor, size_t size)
{
    void *buffer = xencall_alloc_buffer(hypervisor->call, size ? size : 1);

    if (!buffer) {
        fputs("out of memory for hypercalls\n", stderr);
        exit(1);
    }
    memset(buffer, 0, size);
    return buffer;
}

void hypervisor_buffer_free(struct hypervisor *hypervisor, void *buffer)
{
    if (buffer)
        xencall_free_buffer(hypervisor->call, buffer);
}

// The libraries return -1 with errno; the numbers of errno and of the hypervisor agree on Linux.
static int outcome(int result)
{
    return result < 0 ? -errno : result;
}

int hypervisor_domctl(struct hypervisor *hypervisor, struct xen_domctl *operation)
{
    operation->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    memcpy(hypervisor->operation, operation, sizeof(*operation));
    int result =
        outcome(xencall1(hypervisor->call, __HYPERVISOR_domctl, (uintptr_t)hypervisor->operation));
    memcpy(operation, hypervisor->operation, sizeof(*operation));
    return result;
}

int hypervisor_sysctl(struct hypervisor *hypervisor, struct xen_sysctl *operation)
{
    operation->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    memcpy(hypervisor->operation, operation, sizeof(*operation));
    int result =
        outcome(xencall1(hypervisor->call, __HYPERVISOR_sysctl, (uintptr_t)hypervisor->operation));
    memcpy(operation, hypervisor->operation, sizeof(*operation));
    return result;
}

// Calls number with a command and a structure that goes both ways.
static int call_with_structure(struct hypervisor *hypervisor, unsigned int number,
                               unsigned int command, void *argument, size_t size)
{
    bool large = size > OPERATION_SIZE;
    void *buffer = large ? hypervisor_buffer(hypervisor, size) : hypervisor->operation;

    if (argument)
        memcpy(buffer, argument, size);
    int result =
        outcome(xencall2(hypervisor->call, number, command, argument ? (uintptr_t)buffer : 0));
    if (argument)
        memcpy(argument, buffer, size);
    if (large)
        hypervisor_buffer_free(hypervisor, buffer);
    return result;
}

int hypervisor_read_hypfs(struct hypervisor *hypervisor, const char *path, void *entry, size_t size)
{
    size_t length = strlen(path) + 1;
    char *buffer = hypervisor_buffer(hypervisor, size + length);

    memcpy(buffer + size, path, length);
    int result = outcome(xencall5(hypervisor->call, __HYPERVISOR_hypfs_op, XEN_HYPFS_OP_read,
                                  (uintptr_t)(buffer + size), length, (uintptr_t)buffer, size));

    memcpy(entry, buffer, size);
    hypervisor_buffer_free(hypervisor, buffer);
    return result;
}

int hypervisor_memory_op(struct hypervisor *hypervisor, unsigned int command, void *argument,
                         size_t size)
{
    return call_with_structure(hypervisor, __HYPERVISOR_memory_op, command, argument, size);
}

int hypervisor_hvm_op(struct hypervisor *hypervisor, unsigned int command, void *argument,
                      size_t size)
{
    return call_with_structure(hypervisor, __HYPERVISOR_hvm_op, command, argument, size);
}

int hypervisor_event_op(struct hypervisor *hypervisor, unsigned int command, void *argument,
                        size_t size)
{
    return call_with_structure(hypervisor, __HYPERVISOR_event_channel_op, command, argument, size);
}

int hypervisor_sched_op(struct hypervisor *hypervisor, unsigned int command, void *argument,
                        size_t size)
{
    return call_with_structure(hypervisor, __HYPERVISOR_sched_op, command, argument, size);
}

int hypervisor_version(struct hypervisor *hypervisor, unsigned int command, void *argument,
                       size_t size)
{
    return call_with_structure(hypervisor, __HYPERVISOR_xen_version, command, argument, size);
}

int hypervisor_grant_op(struct hypervisor *hypervisor, unsigned int command, void *argument,
                        size_t size)
{
    memcpy(hypervisor->operation, argument, size);
    int result = outcome(xencall3(hypervisor->call, __HYPERVISOR_grant_table_op, command,
                                  (uintptr_t)hypervisor->operation, 1));
    memcpy(argument, hypervisor->operation, size);
    return result;
}

int hypervisor_set_param(struct hypervisor *hypervisor, uint16_t domid, uint32_t index,
                         uint64_t value)
{
    struct xen_hvm_param param = {.domid = domid, .index = index, .value = value};

    return hypervisor_hvm_op(hypervisor, HVMOP_set_param, &param, sizeof(param));
}

int hypervisor_get_param(struct hypervisor *hypervisor, uint16_t domid, uint32_t index,
                         uint64_t *value)
{
    struct xen_hvm_param param = {.domid = domid, .index = index};
    int result = hypervisor_hvm_op(hypervisor, HVMOP_get_param, &param, sizeof(param));

    *value = param.value;
    return result;
}

static bool open_memory(struct hypervisor *hypervisor)
{
    if (!hypervisor->memory)
        hypervisor->memory = xenforeignmemory_open(NULL, 0);
    return hypervisor->memory != NULL;
}

void *hypervisor_map(struct hypervisor *hypervisor, uint16_t domid, const xen_pfn_t *frames,
                     size_t count)
{
    if (!open_memory(hypervisor))
        return NULL;
    return xenforeignmemory_map(hypervisor->memory, domid, PROT_READ | PROT_WRITE, count, frames,
                                NULL);
}

void *hypervisor_map_range(struct hypervisor *hypervisor, uint16_t domid, xen_pfn_t first,
                           size_t count)
{
    xen_pfn_t *frames = memory_resized(NULL, count, sizeof(*frames));

    for (size_t i = 0; i < count; i++)
        frames[i] = first + i;
    void *address = hypervisor_map(hypervisor, domid, frames, count);
    free(frames);
    return address;
}

void hypervisor_unmap(struct hypervisor *hypervisor, void *address, size_t count)
{
    if (address)
        xenforeignmemory_unmap(hypervisor->memory, address, count);
}

struct error *hypervisor_map_grant_table(struct hypervisor *hypervisor, uint16_t domid,
                                         unsigned long count, void **address, void **resource)
{
    *resource = NULL;
    *address = NULL;
    if (open_memory(hypervisor))
        *resource = xenforeignmemory_map_resource(
            hypervisor->memory, domid, XENMEM_resource_grant_table,
            XENMEM_resource_grant_table_id_shared, 0, count, address, PROT_READ | PROT_WRITE, 0);
    if (!*resource)
        return error_errno(ERROR_HYPERVISOR, errno, "cannot map the grant table");
    return NULL;
}

void hypervisor_unmap_resource(struct hypervisor *hypervisor, void *resource)
{
    if (resource)
        xenforeignmemory_unmap_resource(hypervisor->memory, resource);
}

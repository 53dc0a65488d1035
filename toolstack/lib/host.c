// SPDX-License-Identifier: Apache-2.0
//
// What the hypervisor says of itself and of the machine. Each function is one or a few hypercalls;
// results that do not fit the caller's structure are allocated and given to the caller.
#include <toolstack/host.h>
#include <toolstack/memory.h>

#include <stdlib.h>
#include <string.h>

enum { LOG_SIZE = 16384, LOG_LIMIT = 16 << 20, BUILD_ID_ROOM = 64 };

static struct error *refused(int result, const char *what)
{
    return error_errno(ERROR_HYPERVISOR, result, "cannot %s", what);
}

static void read_build_id(struct hypervisor *hypervisor, char *text)
{
    // A build id's structure ends in as many bytes as it is long.
    union {
        xen_build_id_t head;
        uint8_t bytes[sizeof(xen_build_id_t) + BUILD_ID_ROOM];
    } id = {.head = {.len = BUILD_ID_ROOM}};
    int length = hypervisor_version(hypervisor, XENVER_build_id, &id, sizeof(id));

    for (int i = 0; i < length && i < BUILD_ID_ROOM; i++)
        snprintf(text + 2 * i, 3, "%02x", id.bytes[offsetof(xen_build_id_t, buf) + (size_t)i]);
}

struct error *host_get_version(struct toolstack *toolstack, struct host_version *version)
{
    TRY(toolstack_open_hypervisor(toolstack));
    struct hypervisor *hypervisor = toolstack->hypervisor;
    xen_platform_parameters_t platform = {0};
    int number = hypervisor_version(hypervisor, XENVER_version, NULL, 0);

    if (number < 0)
        return refused(number, "ask for the hypervisor's version");
    *version = (struct host_version){.major = (unsigned int)number >> 16,
                                     .minor = (unsigned int)number & 0xffff};
    // What is not told stays empty.
    hypervisor_version(hypervisor, XENVER_extraversion, version->extra, sizeof(version->extra));
    hypervisor_version(hypervisor, XENVER_compile_info, &version->compile,
                       sizeof(version->compile));
    hypervisor_version(hypervisor, XENVER_capabilities, version->capabilities,
                       sizeof(version->capabilities));
    hypervisor_version(hypervisor, XENVER_changeset, version->changeset,
                       sizeof(version->changeset));
    hypervisor_version(hypervisor, XENVER_commandline, version->command_line,
                       sizeof(version->command_line));
    hypervisor_version(hypervisor, XENVER_platform_parameters, &platform, sizeof(platform));
    version->virtual_start = platform.virt_start;
    version->page_size = (unsigned int)hypervisor_version(hypervisor, XENVER_pagesize, NULL, 0);
    read_build_id(hypervisor, version->build_id);
    return NULL;
}

struct error *host_get_physical(struct toolstack *toolstack, struct xen_sysctl_physinfo *physical)
{
    TRY(toolstack_open_hypervisor(toolstack));
    struct xen_sysctl operation = {.cmd = XEN_SYSCTL_physinfo};
    int result = hypervisor_sysctl(toolstack->hypervisor, &operation);

    if (result < 0)
        return refused(result, "ask for the machine's figures");
    *physical = operation.u.physinfo;
    return NULL;
}

struct error *host_cpu_limit(struct toolstack *toolstack, unsigned int *limit)
{
    struct xen_sysctl_physinfo physical = {0};

    TRY(host_get_physical(toolstack, &physical));
    *limit = physical.max_cpu_id + 1;
    return NULL;
}

struct error *host_get_nodes(struct toolstack *toolstack, uint32_t **nodes, unsigned int *count)
{
    TRY(host_cpu_limit(toolstack, count));
    struct hypervisor *hypervisor = toolstack->hypervisor;
    xen_sysctl_cputopo_t *places = hypervisor_buffer(hypervisor, *count * sizeof(*places));
    struct xen_sysctl operation = {.cmd = XEN_SYSCTL_cputopoinfo, .u.cputopoinfo.num_cpus = *count};

    set_xen_guest_handle_raw(operation.u.cputopoinfo.cputopo, places);
    int result = hypervisor_sysctl(hypervisor, &operation);

    *nodes = memory_resized(NULL, *count, sizeof(**nodes));
    for (unsigned int cpu = 0; cpu < *count; cpu++)
        (*nodes)[cpu] =
            cpu < operation.u.cputopoinfo.num_cpus ? places[cpu].node : XEN_INVALID_NODE_ID;
    hypervisor_buffer_free(hypervisor, places);
    if (result >= 0)
        return NULL;
    free(*nodes);
    return refused(result, "ask for the machine's nodes");
}

const char *host_scheduler_word(unsigned int scheduler)
{
    switch (scheduler) {
    case XEN_SCHEDULER_CREDIT:
        return "credit";
    case XEN_SCHEDULER_CREDIT2:
        return "credit2";
    case XEN_SCHEDULER_ARINC653:
        return "arinc653";
    case XEN_SCHEDULER_RTDS:
        return "rtds";
    case XEN_SCHEDULER_NULL:
        return "null";
    default:
        return "unknown";
    }
}

struct error *host_get_scheduler(struct toolstack *toolstack, unsigned int *scheduler)
{
    TRY(toolstack_open_hypervisor(toolstack));
    struct xen_sysctl operation = {.cmd = XEN_SYSCTL_sched_id};
    int result = hypervisor_sysctl(toolstack->hypervisor, &operation);

    if (result < 0)
        return refused(result, "ask for the scheduler");
    *scheduler = operation.u.sched_id.sched_id;
    return NULL;
}

struct error *host_read_log(struct toolstack *toolstack, bool clear, char **log)
{
    TRY(toolstack_open_hypervisor(toolstack));
    struct text text = {0};
    char *buffer = hypervisor_buffer(toolstack->hypervisor, LOG_SIZE);
    struct xen_sysctl operation = {.cmd = XEN_SYSCTL_readconsole};
    int result;

    do {
        operation.u.readconsole.incremental = 1;
        operation.u.readconsole.count = LOG_SIZE;
        set_xen_guest_handle_raw(operation.u.readconsole.buffer, buffer);
        result = hypervisor_sysctl(toolstack->hypervisor, &operation);
        if (result >= 0)
            text_add_bytes(&text, buffer, operation.u.readconsole.count);
    } while (result >= 0 && operation.u.readconsole.count && text.length < LOG_LIMIT);
    if (result >= 0 && clear) {
        operation.u.readconsole = (struct xen_sysctl_readconsole){.clear = 1, .count = LOG_SIZE};
        set_xen_guest_handle_raw(operation.u.readconsole.buffer, buffer);
        result = hypervisor_sysctl(toolstack->hypervisor, &operation);
    }
    hypervisor_buffer_free(toolstack->hypervisor, buffer);
    *log = text_take(&text);
    if (result >= 0)
        return NULL;
    free(*log);
    return refused(result, "read the hypervisor's log");
}

struct error *host_send_keys(struct toolstack *toolstack, const char *keys)
{
    TRY(toolstack_open_hypervisor(toolstack));
    size_t length = strlen(keys);
    char *buffer = hypervisor_buffer(toolstack->hypervisor, length);
    struct xen_sysctl operation = {.cmd = XEN_SYSCTL_debug_keys,
                                   .u.debug_keys.nr_keys = (uint32_t)length};

    memcpy(buffer, keys, length);
    set_xen_guest_handle_raw(operation.u.debug_keys.keys, buffer);
    int result = hypervisor_sysctl(toolstack->hypervisor, &operation);
    hypervisor_buffer_free(toolstack->hypervisor, buffer);
    return result < 0 ? refused(result, "send keys to the hypervisor") : NULL;
}

// SPDX-License-Identifier: Apache-2.0
//
// What the machine and the hypervisor say: info, dmesg, debug-keys. info collects its lines as
// pairs of name and value first, and prints them all, one by name, or as JSON.
#include "xl.h"

#include <toolstack/host.h>
#include <toolstack/memory.h>

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

enum { INFO_LINES_MAX = 64 };

struct info_lines {
    const char *names[INFO_LINES_MAX];
    char *values[INFO_LINES_MAX];
    size_t count;
};

static void add(struct info_lines *lines, const char *name, const char *format, ...)
    PRINTF_LIKE(3, 4);

static void add(struct info_lines *lines, const char *name, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    lines->names[lines->count] = name;
    lines->values[lines->count++] = memory_vformat(format, arguments);
    va_end(arguments);
}

static void add_kernel(struct info_lines *lines)
{
    struct utsname name;

    if (uname(&name) != 0)
        return;
    add(lines, "host", "%s", name.nodename);
    add(lines, "release", "%s", name.release);
    add(lines, "version", "%s", name.version);
    add(lines, "machine", "%s", name.machine);
}

static void add_capabilities(struct info_lines *lines, uint32_t bits)
{
    static const struct {
        uint32_t bits;
        const char *word;
    } words[] = {
        {XEN_SYSCTL_PHYSCAP_pv, "pv"},
        {XEN_SYSCTL_PHYSCAP_hvm, "hvm"},
        {XEN_SYSCTL_PHYSCAP_hvm | XEN_SYSCTL_PHYSCAP_directio, "hvm_directio"},
        {XEN_SYSCTL_PHYSCAP_pv | XEN_SYSCTL_PHYSCAP_directio, "pv_directio"},
        {XEN_SYSCTL_PHYSCAP_hap, "hap"},
        {XEN_SYSCTL_PHYSCAP_shadow, "shadow"},
        {XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share, "iommu_hap_pt_share"},
        {XEN_SYSCTL_PHYSCAP_vmtrace, "vmtrace"},
        {XEN_SYSCTL_PHYSCAP_vpmu, "vpmu"},
        {XEN_SYSCTL_PHYSCAP_gnttab_v1, "gnttab-v1"},
        {XEN_SYSCTL_PHYSCAP_gnttab_v2, "gnttab-v2"},
    };
    struct text text = {0};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if ((bits & words[i].bits) == words[i].bits)
            text_add(&text, "%s%s", text.length ? " " : "", words[i].word);
    add(lines, "virt_caps", "%s", text.bytes ? text.bytes : "");
    text_free(&text);
}

// How many processors are in no pool.
static unsigned int free_processors(struct xl *xl, unsigned int limit)
{
    struct cpu_set set;
    uint8_t *bits = hypervisor_buffer(xl->toolstack.hypervisor, (limit + 7) / 8);
    struct xen_sysctl_cpupool_op operation = {.op = XEN_SYSCTL_CPUPOOL_OP_FREEINFO,
                                              .cpumap.nr_bits = limit};
    unsigned int count = 0;

    set_xen_guest_handle_raw(operation.cpumap.bitmap, bits);
    error_ignore(host_pool_operation(&xl->toolstack, &operation));
    set = (struct cpu_set){bits, limit};
    for (unsigned int cpu = 0; cpu < limit; cpu++)
        count += cpu_set_has(&set, cpu);
    hypervisor_buffer_free(xl->toolstack.hypervisor, bits);
    return count;
}

static unsigned long sharing_mebibytes(struct xl *xl, unsigned int command)
{
    int pages = hypervisor_memory_op(xl->toolstack.hypervisor, command, NULL, 0);

    return pages > 0 ? (unsigned long)pages >> (20 - PAGE_SHIFT) : 0;
}

static void add_physical(struct xl *xl, struct info_lines *lines,
                         const struct xen_sysctl_physinfo *physical)
{
    const uint32_t *caps = physical->hw_cap;
    const unsigned int shift = 20 - PAGE_SHIFT;

    add(lines, "nr_cpus", "%u", physical->nr_cpus);
    add(lines, "max_cpu_id", "%u", physical->max_cpu_id);
    add(lines, "nr_nodes", "%u", physical->nr_nodes);
    add(lines, "cores_per_socket", "%u", physical->cores_per_socket);
    add(lines, "threads_per_core", "%u", physical->threads_per_core);
    add(lines, "cpu_mhz", "%u.%03u", physical->cpu_khz / 1000, physical->cpu_khz % 1000);
    add(lines, "hw_caps", "%08x:%08x:%08x:%08x:%08x:%08x:%08x:%08x", caps[0], caps[1], caps[2],
        caps[3], caps[4], caps[5], caps[6], caps[7]);
    add_capabilities(lines, physical->capabilities);
    add(lines, "total_memory", "%lu", (unsigned long)physical->total_pages >> shift);
    add(lines, "free_memory", "%lu",
        (unsigned long)(physical->free_pages - physical->outstanding_pages) >> shift);
    add(lines, "sharing_freed_memory", "%lu",
        sharing_mebibytes(xl, XENMEM_get_sharing_freed_pages));
    add(lines, "sharing_used_memory", "%lu",
        sharing_mebibytes(xl, XENMEM_get_sharing_shared_pages));
    add(lines, "outstanding_claims", "%lu", (unsigned long)physical->outstanding_pages >> shift);
    add(lines, "free_cpus", "%u", free_processors(xl, physical->max_cpu_id + 1));
}

static struct error *add_version(struct xl *xl, struct info_lines *lines)
{
    struct host_version *version = memory_zeroed(sizeof(*version));
    unsigned int scheduler = 0;
    struct error *error = host_get_version(&xl->toolstack, version);

    if (!error)
        error = host_get_scheduler(&xl->toolstack, &scheduler);
    if (!error) {
        add(lines, "xen_major", "%u", version->major);
        add(lines, "xen_minor", "%u", version->minor);
        add(lines, "xen_extra", "%s", version->extra);
        add(lines, "xen_version", "%u.%u%s", version->major, version->minor, version->extra);
        add(lines, "xen_caps", "%s", version->capabilities);
        add(lines, "xen_scheduler", "%s", host_scheduler_word(scheduler));
        add(lines, "xen_pagesize", "%u", version->page_size);
        add(lines, "platform_params", "virt_start=0x%lx", version->virtual_start);
        add(lines, "xen_changeset", "%s", version->changeset);
        add(lines, "xen_commandline", "%s", version->command_line);
        add(lines, "cc_compiler", "%s", version->compile.compiler);
        add(lines, "cc_compile_by", "%s", version->compile.compile_by);
        add(lines, "cc_compile_domain", "%s", version->compile.compile_domain);
        add(lines, "cc_compile_date", "%s", version->compile.compile_date);
        add(lines, "build_id", "%s", version->build_id);
        add(lines, "xend_config_format", "4");
    }
    free(version);
    return error;
}

static struct error *info_print(const struct info_lines *lines, const char *wanted, bool json)
{
    struct json_object *object = json ? json_object_new_object() : NULL;
    bool found = !wanted;

    for (size_t i = 0; i < lines->count; i++) {
        if (wanted && strcmp(wanted, lines->names[i]) != 0)
            continue;
        found = true;
        if (json)
            json_object_object_add(object, lines->names[i],
                                   json_object_new_string(lines->values[i]));
        else if (wanted)
            puts(lines->values[i]);
        else
            printf("%-23s: %s\n", lines->names[i], lines->values[i]);
    }
    if (json)
        xl_print_json(object);
    return found ? NULL
                 : error_advice(error_new(ERROR_USAGE, "xl info has no line called %s", wanted),
                                "xl info shows all.");
}

COMMAND(info)
{
    static const struct option longs[] = {
        {"help", no_argument, NULL, 'h'}, JSON_OPTION, END_OF_OPTIONS};
    struct xen_sysctl_physinfo physical = {0};
    struct info_lines lines = {.count = 0};
    bool json = false;
    int option;

    while ((option = xl_option(xl, argc, argv, "h", longs)) >= 0)
        json |= option == OPTION_JSON;
    TRY(xl_expect_arguments(xl, argc, 0, 1));
    TRY(host_get_physical(&xl->toolstack, &physical));
    add_kernel(&lines);
    add_physical(xl, &lines, &physical);
    struct error *error = add_version(xl, &lines);

    if (!error)
        error = info_print(&lines, optind < argc ? argv[optind] : NULL, json);
    for (size_t i = 0; i < lines.count; i++)
        free(lines.values[i]);
    return error;
}

COMMAND(dmesg)
{
    static const struct option longs[] = {
        {"clear", no_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'}, END_OF_OPTIONS};
    bool clear = false;
    char *log;
    int option;

    while ((option = xl_option(xl, argc, argv, "hc", longs)) >= 0)
        clear |= option == 'c';
    TRY(xl_expect_arguments(xl, argc, 0, 0));
    TRY(host_read_log(&xl->toolstack, clear, &log));
    fputs(log, stdout);
    free(log);
    return NULL;
}

COMMAND(debug_keys)
{
    while (xl_option(xl, argc, argv, "h", NULL) >= 0)
        ;
    TRY(xl_expect_arguments(xl, argc, 1, 1));
    return host_send_keys(&xl->toolstack, argv[optind]);
}

// SPDX-License-Identifier: Apache-2.0
// What stands in for the machine behind the control interface: console, IOMMU, PCI, the port's own
// commands, the command line, where the build comes from.

#include "control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bulkhead/arch/control.h>
#include <bulkhead/build_info.h>
#include <bulkhead/cmdline.h>
#include <bulkhead/console.h>
#include <bulkhead/iommu.h>
#include <bulkhead/pci.h>
#include <bulkhead/string.h>
#include <bulkhead/vpci.h>

char console_output[4096];
size_t console_output_length;
char console_ring[256];
bool iommu_is_there;
unsigned int ports_updated;
char cmdline_text[1024] = "sched=credit2 loglvl=all";

const char build_info_extra_version[] = "-bulkhead", build_info_compiler[] = "a compiler",
           build_info_by[] = "somebody", build_info_domain[] = "somewhere",
           build_info_date[] = "some day", build_info_revision[] = "0123456789ab",
           build_info_config[] = "-O2";

void log_message(enum log_level level, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    format_string_args(text, sizeof(text), format, args);
    va_end(args);
    // What guests caused is kept for the tests to read.
    if (level >= LOG_GUEST_ERROR) {
        size_t length = strlen(text);

        if (console_output_length + length + 1 < sizeof(console_output)) {
            memcpy(console_output + console_output_length, text, length);
            console_output_length += length;
            console_output[console_output_length++] = '\n';
        }
    }
}

void panic(const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    format_string_args(text, sizeof(text), format, args);
    va_end(args);
    fprintf(stderr, "panic: %s\n", text);
    abort();
}

void console_serve_input(void)
{
}

// core/string.c itself would take the place of the C library's functions.
size_t string_copy(char *to, const char *from, size_t size)
{
    return (size_t)snprintf(to, size, "%s", from);
}

void console_write_raw(const char *text, size_t count)
{
    count = MIN(count, sizeof(console_output) - console_output_length);
    memcpy(console_output + console_output_length, text, count);
    console_output_length += count;
}

size_t console_read(char *buffer, size_t size)
{
    size_t count = MIN(size, (size_t)5);

    memcpy(buffer, "input", count);
    return count;
}

size_t console_ring_read(uint32_t *index, char *buffer, size_t size, bool clear)
{
    size_t length = strlen(console_ring);
    size_t count = *index < length ? MIN(size, length - *index) : 0;

    if (count) {
        memcpy(buffer, console_ring + *index, count);
        *index += (uint32_t)count;
    }
    if (clear) {
        console_ring[0] = 0;
    }
    return count;
}

bool iommu_enabled(void)
{
    return iommu_is_there;
}

bool iommu_covers(const struct pci_device *pdev)
{
    (void)pdev;
    return iommu_is_there;
}

int iommu_assign(struct domain *d, struct pci_device *pdev)
{
    pdev->owner = d;
    return 0;
}

void iommu_deassign(struct pci_device *pdev)
{
    pdev->owner = NULL;
}

int vpci_assign(struct domain *d, struct pci_device *pdev)
{
    // The second function of the machine is one that cannot be shown.
    return d && pdev->sbdf.devfn == 1 ? -XEN_EBUSY : 0;
}

int vpci_change_begin(struct domain *d)
{
    (void)d;
    return 0;
}

void vpci_change_end(struct domain *d)
{
    (void)d;
}

// Device 3 has a line that can be bound.
int vpci_bind_line(struct domain *d, unsigned int device, unsigned int pin, uint32_t machine_gsi)
{
    (void)d;
    (void)pin;
    return device == 3 && machine_gsi == 17 ? 0 : -XEN_ENODEV;
}

int vpci_unbind_line(struct domain *d, unsigned int device, unsigned int pin)
{
    (void)d;
    (void)pin;
    return device == 3 ? 0 : -XEN_ENODEV;
}

void vpci_deassign(struct pci_device *pdev)
{
    (void)pdev;
}

// The machine: two functions on bus 0, and two conventional ones behind a bridge on bus 1.
static struct pci_device functions[] = {
    {.sbdf = {0, 0, 0}, .is_pcie = true},
    {.sbdf = {0, 0, 1}, .is_pcie = true},
    {.sbdf = {0, 1, 0}},
    {.sbdf = {0, 1, 8}},
};

struct pci_device *pci_device_find(pci_sbdf_t sbdf)
{
    for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
        if (pci_sbdf_equal(functions[i].sbdf, sbdf)) {
            return &functions[i];
        }
    }
    return NULL;
}

struct pci_device *pci_device_next(const struct pci_device *after)
{
    size_t next = after ? (size_t)(after - functions) + 1 : 0;

    return next < ARRAY_SIZE(functions) ? &functions[next] : NULL;
}

// Each function has its bus and device as facts.
const char *pci_describe(struct pci_device *pdev, unsigned int index, char text[PCI_FACT_SIZE])
{
    format_string(text, PCI_FACT_SIZE, "%u", index ? pdev->sbdf.bus : PCI_DEVICE(pdev->sbdf.devfn));
    return index == 0 ? "device" : index == 1 ? "bus" : NULL;
}

// The last function cannot be reset.
int pci_reset(struct pci_device *pdev)
{
    return pdev == &functions[3] ? -XEN_EIO : 0;
}

bool pci_same_group(const struct pci_device *a, const struct pci_device *b)
{
    return a == b || (a->sbdf.bus && a->sbdf.bus == b->sbdf.bus);
}

int arch_domctl(struct domain *d, struct xen_domctl *op, bool *copy_back)
{
    (void)d;
    (void)op;
    (void)copy_back;
    return -XEN_ENOSYS;
}

int arch_sysctl(struct xen_sysctl *op, bool *copy_back)
{
    (void)op;
    (void)copy_back;
    return -XEN_ENOSYS;
}

void arch_domain_info(struct domain *d, struct xen_domctl_getdomaininfo *info)
{
    (void)d;
    info->flags |= XEN_DOMINF_hvm_guest;
}

void arch_physinfo(struct xen_sysctl_physinfo *info)
{
    info->threads_per_core = 1;
    info->cores_per_socket = WORLD_CPUS;
}

void arch_cpu_topology(unsigned int cpu, struct xen_sysctl_cputopo *out)
{
    *out = (struct xen_sysctl_cputopo){.core = cpu, .socket = 0, .node = 0};
}

const char *arch_capabilities(void)
{
    return "sim-1.0";
}

uint32_t arch_features(const struct domain *d)
{
    (void)d;
    return 0;
}

int arch_vcpu_initialise(struct vcpu *v, gva_t context)
{
    (void)v;
    (void)context;
    return -XEN_EOPNOTSUPP;
}

uint64_t arch_cpu_physical_id(unsigned int cpu)
{
    return 0x100000000UL + cpu;
}

void arch_vcpu_get_context(struct vcpu *v, struct vcpu_guest_context *context)
{
    context->flags = v->id + 1;
}

int arch_vcpu_set_context(struct vcpu *v, const struct vcpu_guest_context *context)
{
    (void)v;
    return context->flags ? 0 : -XEN_EINVAL;
}

int arch_domain_update_ports(struct domain *d)
{
    (void)d;
    ports_updated++;
    return 0;
}

static char option_value[16] = "one";

static int set_option(const char *value)
{
    if (strlen(value) >= sizeof(option_value)) {
        return -XEN_EINVAL;
    }
    strcpy(option_value, value);
    return 0;
}

static const char *show_option(void)
{
    return option_value;
}

static const char *show_fixed(void)
{
    return "fixed";
}

static const struct cmdline_option options[] = {
    {.name = "boot-only", .parse = set_option},
    {.name = "changeable", .parse = set_option, .runtime = set_option, .show = show_option},
    {.name = "readable", .parse = set_option, .show = show_fixed},
};

const struct cmdline_option *cmdline_option_at(size_t index)
{
    return index < ARRAY_SIZE(options) ? &options[index] : NULL;
}

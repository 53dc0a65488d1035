// SPDX-License-Identifier: Apache-2.0
//
// Reading what a domain is started from, and making the empty domain: its limits, vcpus, maximum
// memory, processors and weight. When a step fails the domain that was made is destroyed at once.
#include "build.h"

#include <toolstack/host.h>

#include <errno.h>
#include <string.h>

// Beyond its RAM a domain has its ACPI tables and special pages, and what other toolstacks allow.
#define MEMORY_SLACK_KIB 1024
#define PAGING_PER_VCPU_KIB 1024
#define PAGING_PER_MIB_KIB 8

struct error *boot_image_read(const struct domain_config *config, struct boot_image *image)
{
    *image = (struct boot_image){0};
    TRY(file_map(config->kernel, "kernel", &image->kernel_file));
    struct error *error =
        kernel_read(image->kernel_file.bytes, image->kernel_file.size, &image->kernel);

    if (error)
        return error_in_device(error, "kernel %s", config->kernel);
    if (config->ramdisk) {
        TRY(file_map(config->ramdisk, "ramdisk", &image->modules[0]));
        image->module_sizes[0] = image->modules[0].size;
        image->module_count = 1;
    }
    return guest_lay_out(config->memory_kib << 10, config->function_count > 0, &image->kernel,
                         config->command_line, image->module_sizes, image->module_count,
                         &image->layout);
}

void boot_image_free(struct boot_image *image)
{
    kernel_free(&image->kernel);
    file_unmap(&image->kernel_file);
    for (size_t i = 0; i < image->module_count; i++)
        file_unmap(&image->modules[i]);
    *image = (struct boot_image){0};
}

static struct error *create_domain(struct toolstack *toolstack, const struct domain_config *config,
                                   unsigned int *domid)
{
    struct xen_sysctl_physinfo physical = {0};
    uint32_t pool = 0;

    TRY(host_get_physical(toolstack, &physical));
    if (config->pool)
        TRY(host_find_pool(toolstack, config->pool, &pool));
    if (!(physical.capabilities & XEN_SYSCTL_PHYSCAP_hap))
        return error_advice(error_new(ERROR_UNSUPPORTED, "the machine has no nested paging"),
                            "Switch virtualization on in the firmware's set-up.");
    uint32_t version = physical.capabilities & XEN_SYSCTL_PHYSCAP_gnttab_v2 ? 2 : 1;
    struct xen_domctl operation = {
        .cmd = XEN_DOMCTL_createdomain,
        .domain = (domid_t)config->domid,
        .u.createdomain =
            {
                .flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap |
                         (config->function_count ? XEN_DOMCTL_CDF_iommu : 0),
                .max_vcpus = (uint32_t)config->maxvcpus,
                .max_evtchn_port = (uint32_t)config->event_channels,
                .max_grant_frames = (int32_t)config->grant_frames,
                .max_maptrack_frames = (int32_t)config->maptrack_frames,
                .grant_opts = XEN_DOMCTL_GRANT_version(
                    config->grant_version ? (uint32_t)config->grant_version : version),
                .cpupool_id = pool,
                .arch.emulation_flags = XEN_X86_EMU_LAPIC,
            },
    };

    memcpy(operation.u.createdomain.handle, config->uuid, sizeof(config->uuid));
    int result = hypervisor_domctl(toolstack->hypervisor, &operation);
    if (result < 0)
        return error_errno(ERROR_HYPERVISOR, result, "the hypervisor does not make the domain");
    *domid = operation.domain;
    return NULL;
}

static struct error *set_limits(struct toolstack *toolstack, const struct domain_config *config,
                                unsigned int domid)
{
    struct hypervisor *hypervisor = toolstack->hypervisor;
    struct xen_domctl operation = {.cmd = XEN_DOMCTL_max_vcpus, .domain = (domid_t)domid};

    operation.u.max_vcpus.max = (uint32_t)config->maxvcpus;
    int result = hypervisor_domctl(hypervisor, &operation);
    if (result < 0)
        return error_errno(ERROR_HYPERVISOR, result, "cannot make %lu vcpus", config->maxvcpus);
    operation =
        (struct xen_domctl){.cmd = XEN_DOMCTL_set_paging_mempool_size, .domain = (domid_t)domid};
    operation.u.paging_mempool.size =
        (config->maxvcpus * PAGING_PER_VCPU_KIB + (config->maxmem_kib >> 10) * PAGING_PER_MIB_KIB)
        << 10;
    result = hypervisor_domctl(hypervisor, &operation);
    if (result == -ENOMEM)
        return error_errno(ERROR_HOST_MEMORY, result, "no memory for its page tables");
    if (result < 0 && result != -ENOSYS && result != -EOPNOTSUPP)
        return error_errno(ERROR_HYPERVISOR, result, "cannot set aside its page tables");
    operation = (struct xen_domctl){.cmd = XEN_DOMCTL_max_mem, .domain = (domid_t)domid};
    operation.u.max_mem.max_memkb = config->maxmem_kib + MEMORY_SLACK_KIB;
    result = hypervisor_domctl(hypervisor, &operation);
    if (result < 0)
        return error_errno(ERROR_HYPERVISOR, result, "cannot set its memory limit");
    return NULL;
}

static struct error *set_affinities(struct toolstack *toolstack, const struct domain_config *config,
                                    unsigned int domid)
{
    struct cpu_set hard = {0};
    struct cpu_set soft = {0};
    struct error *error = NULL;
    unsigned int cpus;

    if (!config->cpus && !config->cpus_soft)
        return NULL;
    TRY(host_cpu_limit(toolstack, &cpus));
    cpu_set_make(&hard, cpus);
    cpu_set_make(&soft, cpus);
    if (config->cpus)
        error = cpu_set_parse(&hard, config->cpus);
    if (!error && config->cpus_soft)
        error = cpu_set_parse(&soft, config->cpus_soft);
    for (unsigned int vcpu = 0; vcpu < config->maxvcpus && !error; vcpu++)
        error = domain_set_affinity(toolstack, domid, vcpu, config->cpus ? &hard : NULL,
                                    config->cpus_soft ? &soft : NULL, false);
    cpu_set_free(&hard);
    cpu_set_free(&soft);
    return error;
}

static struct error *set_weight(struct toolstack *toolstack, const struct domain_config *config,
                                unsigned int domid)
{
    struct xen_domctl_sched_credit2 parameters = {0};

    if (!config->weight && !config->cap)
        return NULL;
    TRY(domain_get_credit2(toolstack, domid, &parameters));
    if (config->weight)
        parameters.weight = (uint16_t)config->weight;
    parameters.cap = (uint16_t)config->cap;
    return domain_set_credit2(toolstack, domid, &parameters);
}

static struct error *give_functions(struct toolstack *toolstack, const struct domain_config *config,
                                    unsigned int domid)
{
    for (size_t i = 0; i < config->function_count; i++) {
        struct pci_function function = config->functions[i];

        TRY(pci_identify(toolstack, &function));
        TRY(pci_assign(toolstack, domid, &function));
    }
    return NULL;
}

struct error *build_make(struct toolstack *toolstack, const struct domain_config *config,
                         unsigned int *domid)
{
    if (config->function_count)
        TRY(pci_check_support(toolstack));
    TRY(create_domain(toolstack, config, domid));
    struct error *error = set_limits(toolstack, config, *domid);

    if (!error)
        error = set_affinities(toolstack, config, *domid);
    if (!error)
        error = set_weight(toolstack, config, *domid);
    if (!error)
        error = give_functions(toolstack, config, *domid);
    if (error)
        error_ignore(domain_destroy_only(toolstack, *domid));
    return error;
}

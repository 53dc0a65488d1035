// SPDX-License-Identifier: Apache-2.0
//
// What the hypervisor and the toolstack's own records know of the machine and its functions: by
// hypercalls whether there are virtualization, an IOMMU, reserved memory, which functions there are
// and belong together; by the kept configurations and pciback's nodes, who owns them. What the
// hypervisor does not answer stays unknown; only the machine's figures must be there.
#include <toolstack/doctor.h>
#include <toolstack/domain_config.h>
#include <toolstack/host.h>
#include <toolstack/memory.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ALL_FUNCTIONS = 1 << 16, GROUP_MAX = 256, REGIONS_MAX = 256 };

static enum answer answer(bool yes)
{
    return yes ? YES : NO;
}

static uint32_t address(const struct pci_function *function)
{
    return (uint32_t)function->segment << 16 | (uint32_t)function->bus << 8 |
           (uint32_t)function->device << 3 | function->function;
}

static struct pci_function function_at(uint32_t address)
{
    return (struct pci_function){.segment = (uint16_t)(address >> 16),
                                 .bus = (uint8_t)(address >> 8),
                                 .device = address >> 3 & 0x1f,
                                 .function = address & 7};
}

// Interrupt remapping is told nowhere but in the log, which may have lost its beginning. What
// domains have written there begins with their number in parentheses.
static enum answer remapping_in_log(char *log)
{
    enum answer found = UNKNOWN;
    char *rest = log;
    char *line;

    while (found == UNKNOWN && (line = strsep(&rest, "\n")) != NULL) {
        const char *word = strcasestr(line, "interrupt remapping");

        if (!word || strstr(line, "(d"))
            continue;
        bool refused = strcasestr(word, "not ") || strcasestr(word, "disabled");

        if (refused)
            found = NO;
        else if (strcasestr(word, "enabled") || strstr(line, "in use, with"))
            found = YES;
    }
    return found;
}

// Whether the hypervisor's option iommu= has a word that switches it off.
static bool names_off(const char *command_line)
{
    static const char *const offs[] = {"off", "no", "0", "false", "disable"};
    char *copy = memory_copy_text(command_line);
    char *rest = copy;
    char *option;
    bool off = false;

    while ((option = strsep(&rest, " ")) != NULL) {
        char *words = option + strlen("iommu=");
        char *word;

        if (strncmp(option, "iommu=", strlen("iommu=")) != 0)
            continue;
        while ((word = strsep(&words, ",")) != NULL)
            for (size_t i = 0; i < sizeof(offs) / sizeof(offs[0]); i++)
                off |= !strcmp(word, offs[i]);
    }
    free(copy);
    return off;
}

static struct error *ask_machine(struct toolstack *toolstack, struct machine_facts *machine)
{
    struct xen_sysctl_physinfo physical = {0};
    char *log = NULL;

    TRY(host_get_physical(toolstack, &physical));
    machine->virtualization = answer(physical.capabilities & XEN_SYSCTL_PHYSCAP_hvm);
    machine->nested_paging = answer(physical.capabilities & XEN_SYSCTL_PHYSCAP_hap);
    machine->iommu = answer(physical.capabilities & XEN_SYSCTL_PHYSCAP_directio);
    struct host_version *version = memory_zeroed(sizeof(*version));
    struct error *error = host_get_version(toolstack, version);

    if (!error) {
        machine->virtual_pci = answer(strstr(version->extra, "bulkhead"));
        machine->iommu_switched_off = names_off(version->command_line);
        error = host_read_log(toolstack, false, &log);
    }
    if (!error)
        machine->interrupt_remapping =
            machine->iommu == YES ? remapping_in_log(log) : machine->iommu;
    free(log);
    free(version);
    return error;
}

// Adds the functions of the first segment that only the hypervisor knows of.
static void add_unseen(struct toolstack *toolstack, struct doctor_facts *facts)
{
    struct hypervisor *hypervisor = toolstack->hypervisor;
    physdev_pci_device_t *asked = hypervisor_buffer(hypervisor, ALL_FUNCTIONS * sizeof(*asked));
    uint32_t *nodes = hypervisor_buffer(hypervisor, ALL_FUNCTIONS * sizeof(*nodes));
    uint32_t done = 0;

    for (uint32_t i = 0; i < ALL_FUNCTIONS; i++)
        asked[i] = (physdev_pci_device_t){.bus = (uint8_t)(i >> 8), .devfn = (uint8_t)i};
    while (done < ALL_FUNCTIONS) {
        struct xen_sysctl call = {.cmd = XEN_SYSCTL_pcitopoinfo,
                                  .u.pcitopoinfo.num_devs = ALL_FUNCTIONS - done};

        set_xen_guest_handle_raw(call.u.pcitopoinfo.devs, asked + done);
        set_xen_guest_handle_raw(call.u.pcitopoinfo.nodes, nodes + done);
        if (hypervisor_sysctl(hypervisor, &call) < 0 || !call.u.pcitopoinfo.num_devs)
            break;
        done += call.u.pcitopoinfo.num_devs;
    }
    for (uint32_t i = 0; i < done; i++) {
        struct pci_function function = function_at(i);

        if (nodes[i] == XEN_INVALID_DEV || doctor_find(facts, &function) < facts->device_count)
            continue;
        facts->devices =
            memory_resized(facts->devices, facts->device_count + 1, sizeof(*facts->devices));
        facts->devices[facts->device_count++] =
            (struct device_facts){.function = function, .owner = OWNER_NONE};
    }
    hypervisor_buffer_free(hypervisor, asked);
    hypervisor_buffer_free(hypervisor, nodes);
}

// Notes which functions of a domain the hypervisor puts into a device's group.
static void ask_group(struct toolstack *toolstack, struct doctor_facts *facts, size_t device,
                      unsigned int domid, uint32_t *buffer)
{
    const struct pci_function *function = &facts->devices[device].function;
    struct xen_domctl call = {.cmd = XEN_DOMCTL_get_device_group, .domain = (domid_t)domid};

    call.u.get_device_group.machine_sbdf = address(function);
    call.u.get_device_group.max_sdevs = GROUP_MAX;
    set_xen_guest_handle_raw(call.u.get_device_group.sdev_array, buffer);
    if (hypervisor_domctl(toolstack->hypervisor, &call) < 0)
        return;
    for (uint32_t i = 0; i < call.u.get_device_group.num_sdevs && i < GROUP_MAX; i++) {
        // Bus, device and function stand in bits 8 to 23 there; the segment is the one asked for.
        struct pci_function other =
            function_at((uint32_t)function->segment << 16 | (buffer[i] >> 8 & 0xffff));
        size_t place = doctor_find(facts, &other);

        if (place < facts->device_count)
            facts->devices[device].group[place] = true;
    }
}

static void ask_groups(struct toolstack *toolstack, struct doctor_facts *facts,
                       const domain_info *domains, size_t domain_count)
{
    uint32_t *buffer = hypervisor_buffer(toolstack->hypervisor, GROUP_MAX * sizeof(*buffer));

    for (size_t i = 0; i < facts->device_count; i++) {
        facts->devices[i].group = memory_zeroed(facts->device_count * sizeof(bool));
        for (size_t j = 0; j < domain_count; j++)
            ask_group(toolstack, facts, i, domains[j].domain, buffer);
    }
    hypervisor_buffer_free(toolstack->hypervisor, buffer);
}

static void set_owner(struct toolstack *toolstack, struct doctor_facts *facts,
                      const struct pci_function *function, unsigned int domid)
{
    size_t place = doctor_find(facts, function);

    if (place == facts->device_count)
        return;
    free(facts->devices[place].owner_name);
    facts->devices[place].owner = (int)domid;
    facts->devices[place].owner_name = domain_name(toolstack, domid);
}

// By the kept configuration of a domain, and by what pciback serves it.
static void find_owned(struct toolstack *toolstack, struct doctor_facts *facts,
                       const domain_info *domain)
{
    struct domain_config config = {0};
    struct error *error = domain_config_load(domain->handle, &config);
    static const char nodes[] = "/local/domain/0/backend/pci/%u/0";
    char path[sizeof(nodes) + 16];

    for (size_t i = 0; i < config.function_count && !error; i++)
        set_owner(toolstack, facts, &config.functions[i], domain->domain);
    error_ignore(error);
    domain_config_free(&config);
    snprintf(path, sizeof(path), nodes, domain->domain);
    long count = store_read_number(toolstack->store, 0, "%s/num_devs", path);

    for (long i = 0; i < count && i < ALL_FUNCTIONS; i++) {
        char *text = store_read(toolstack->store, "%s/dev-%ld", path, i);
        struct pci_function function;

        if (text && pci_parse(text, &function))
            set_owner(toolstack, facts, &function, domain->domain);
        free(text);
    }
}

// Whoever has made a domain without leaving a record: the hypervisor still says that a function is
// taken.
static void find_taken(struct toolstack *toolstack, struct doctor_facts *facts)
{
    for (size_t i = 0; i < facts->device_count; i++) {
        struct device_facts *device = &facts->devices[i];
        struct xen_domctl call = {.cmd = XEN_DOMCTL_test_assign_device, .domain = DOMID_INVALID};

        call.u.assign_device.dev = XEN_DOMCTL_DEV_PCI;
        call.u.assign_device.u.pci.machine_sbdf = address(&device->function);
        if (device->owner == OWNER_NONE &&
            hypervisor_domctl(toolstack->hypervisor, &call) == -EBUSY)
            device->owner = OWNER_HIDDEN;
    }
}

// Fills regions in, as many as the hypervisor has for one function, or for all if it is NULL.
static unsigned int ask_reserved(struct toolstack *toolstack, const struct pci_function *function,
                                 xen_reserved_device_memory_t *regions)
{
    struct xen_reserved_device_memory_map map = {.flags = function ? 0 : XENMEM_RDM_ALL,
                                                 .nr_entries = REGIONS_MAX};

    if (function)
        map.dev.pci = (physdev_pci_device_t){
            .seg = function->segment, .bus = function->bus, .devfn = (uint8_t)address(function)};
    set_xen_guest_handle_raw(map.buffer, regions);
    int result = hypervisor_memory_op(toolstack->hypervisor, XENMEM_reserved_device_memory_map,
                                      &map, sizeof(map));

    return result < 0 || map.nr_entries > REGIONS_MAX ? 0 : map.nr_entries;
}

static void find_reserved(struct toolstack *toolstack, struct doctor_facts *facts)
{
    xen_reserved_device_memory_t *regions =
        hypervisor_buffer(toolstack->hypervisor, REGIONS_MAX * sizeof(*regions));
    unsigned int count = ask_reserved(toolstack, NULL, regions);

    facts->reserved = memory_zeroed((count ? count : 1) * sizeof(*facts->reserved));
    facts->reserved_count = count;
    for (unsigned int i = 0; i < count; i++) {
        uint64_t first = regions[i].start_pfn << PAGE_SHIFT;

        facts->reserved[i] = (struct reserved_region){
            .first = first,
            .last = first + (regions[i].nr_pages << PAGE_SHIFT) - 1,
            .devices = memory_zeroed((facts->device_count + 1) * sizeof(bool)),
        };
    }
    for (size_t i = 0; i < facts->device_count && count; i++) {
        unsigned int own = ask_reserved(toolstack, &facts->devices[i].function, regions);

        for (unsigned int j = 0; j < own; j++)
            for (unsigned int k = 0; k < count; k++)
                facts->reserved[k].devices[i] |= facts->reserved[k].first == regions[j].start_pfn
                                                                                 << PAGE_SHIFT;
    }
    hypervisor_buffer_free(toolstack->hypervisor, regions);
}

struct error *doctor_ask_hypervisor(struct toolstack *toolstack, struct doctor_facts *facts)
{
    domain_info *domains;
    size_t count;

    TRY(toolstack_open(toolstack));
    TRY(ask_machine(toolstack, &facts->machine));
    TRY(domain_list(toolstack, &domains, &count));
    add_unseen(toolstack, facts);
    ask_groups(toolstack, facts, domains, count);
    for (size_t i = 0; i < count; i++)
        if (domains[i].domain)
            find_owned(toolstack, facts, &domains[i]);
    find_taken(toolstack, facts);
    find_reserved(toolstack, facts);
    free(domains);
    return NULL;
}

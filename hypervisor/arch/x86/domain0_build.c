// SPDX-License-Identifier: Apache-2.0
// Building domain 0: a PVH domain whose first program is the loader that the hypervisor carries
// (dom0-loader/), which unpacks the kernel module inside the domain. No file is parsed here.
//
// Boot modules become domain 0's memory where they lie, without a copy; all after the kernel are
// seen by it as one ramdisk, page by page behind each other. Devices: it gets the ports and the
// firmware's memory that are nobody's, every PCI function that is not hidden, and virtual I/O APICs
// for the machine's. Errors: a sentence on the console, and the machine halts.

#include <bulkhead/acpi.h>
#include <bulkhead/cmdline.h>
#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/heap.h>
#include <bulkhead/io.h>
#include <bulkhead/page.h>
#include <bulkhead/string.h>
#include <bulkhead/vpci.h>
#include <x86/features.h>
#include <x86/hvm.h>
#include <x86/vioapic.h>
#include <xen/arch-x86/hvm/start_info.h>
#include <xen/domctl.h>

#include "../../dom0-loader/dom0_loader.h"
#include "domain0.h"

#define ACPI_PAGES (ACPI_DOMAIN0_TABLES_MAX / PAGE_SIZE)
#define INFO_PAGES 32u
#define RESET_PORT 0xcf9

static unsigned int option_vcpus;
static bool option_verbose;

static int parse_max_vcpus(const char *value)
{
    const char *end;
    uint64_t n = string_to_number(value, &end, 0);

    if (*end || n == 0 || n > DOMAIN_MAX_VCPUS) {
        return -XEN_EINVAL;
    }
    option_vcpus = (unsigned int)n;
    return 0;
}

// dom0=[pvh][,verbose]: PVH is the only kind there is.
static int parse_dom0(const char *value)
{
    while (*value) {
        const char *comma = strchr(value, ',');
        size_t length = comma ? (size_t)(comma - value) : strlen(value);

        if (length == 7 && !memcmp(value, "verbose", 7)) {
            option_verbose = true;
        } else if (length != 3 || memcmp(value, "pvh", 3)) {
            return -XEN_EINVAL;
        }
        value += length + (comma != NULL);
    }
    return 0;
}

CMDLINE_OPTION(dom0_max_vcpus, .name = "dom0_max_vcpus", .parse = parse_max_vcpus);
CMDLINE_OPTION(dom0, .name = "dom0", .parse = parse_dom0);

static __attribute__((noreturn)) void give_up(const char *reason)
{
    log_error("Domain 0 cannot be built: %s", reason);
    log_error("Halted.");
    arch_halt_machine();
}

static void debug_port_write(struct vcpu *v, void *opaque, uint64_t addr, unsigned int size,
                             uint64_t value)
{
    char c = (char)value;

    (void)v;
    (void)opaque;
    (void)addr;
    (void)size;
    console_write_raw(&c, 1);
}

static void debug_port_read(struct vcpu *v, void *opaque, uint64_t addr, unsigned int size,
                            uint64_t *value)
{
    (void)v;
    (void)opaque;
    (void)addr;
    (void)size;
    *value = 0xe9;
}

// Domain 0 restarts the machine as it would a real one; the hypervisor does it in its own way.
static void reset_port_write(struct vcpu *v, void *opaque, uint64_t addr, unsigned int size,
                             uint64_t value)
{
    (void)v;
    (void)opaque;
    (void)addr;
    (void)size;
    if (value & 4) {
        log_info("Domain 0 resets the machine");
        arch_restart_machine();
    }
}

static void reset_port_read(struct vcpu *v, void *opaque, uint64_t addr, unsigned int size,
                            uint64_t *value)
{
    (void)v;
    (void)opaque;
    (void)addr;
    (void)size;
    *value = 0;
}

static struct io_handler debug_port = {.space = IO_PORT,
                                       .start = DOM0_LOADER_CONSOLE_PORT,
                                       .size = 1,
                                       .read = debug_port_read,
                                       .write = debug_port_write};
static struct io_handler reset_port = {.space = IO_PORT,
                                       .start = RESET_PORT,
                                       .size = 1,
                                       .read = reset_port_read,
                                       .write = reset_port_write};

static unsigned int cpu_count(void)
{
    return option_vcpus ? option_vcpus : MIN(cpumask_weight(&online_cpus), DOMAIN_MAX_VCPUS);
}

static struct domain *create(void)
{
    struct xen_domctl_createdomain config = {
        .flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap | XEN_DOMCTL_CDF_iommu,
        .max_vcpus = cpu_count(),
        .max_evtchn_port = UINT32_MAX,
        .max_grant_frames = 64,
        .max_maptrack_frames = 1024,
        .grant_opts = XEN_DOMCTL_GRANT_version(2),
        .arch.emulation_flags = XEN_X86_EMU_LAPIC | XEN_X86_EMU_IOAPIC | XEN_X86_EMU_VPCI,
    };
    struct domain *d;

    if (domain_create(0, &config, true, &d)) {
        give_up("no memory for the domain itself.");
    }
    domain0 = d;
    for (unsigned int i = 0; i < config.max_vcpus; i++) {
        if (vcpu_create(d, i)) {
            give_up("no memory for its vcpus.");
        }
    }
    return d;
}

// The ports that are the hypervisor's own, first and last.
static const struct {
    uint16_t first, last;
} own_ports[] = {
    {0x20, 0x21},   // interrupt controllers
    {0xa0, 0xa1},   //
    {0x40, 0x43},   // interval timer
    {0x3f8, 0x3ff}, // serial console
    {0xcf8, 0xcff}, // PCI configuration: virtual PCI
    {0x4d0, 0x4d1}, // interrupt trigger modes
};

static void give_ports(struct domain *d)
{
    int error = rangeset_add(d->io_ports, 0, 0xffff);

    for (size_t i = 0; i < ARRAY_SIZE(own_ports); i++) {
        error |= rangeset_remove(d->io_ports, own_ports[i].first, own_ports[i].last);
    }
    io_handler_add(d, &debug_port);
    io_handler_add(d, &reset_port);
    if (error || domain_update_ports(d)) {
        give_up("no memory for its I/O permissions.");
    }
}

static void deny_frames(struct domain *d, uint64_t address, uint64_t size)
{
    rangeset_remove(d->io_memory, address >> PAGE_SHIFT, (address + size - 1) >> PAGE_SHIFT);
}

// All that is no RAM may be given to other domains, BARs too; never the hypervisor's own devices.
// What domain 0 itself gets by touching it is less: hvm_map_on_demand.
static void give_io_memory(struct domain *d)
{
    rangeset_add(d->io_memory, 0, (1UL << (cpu_features.physical_bits - PAGE_SHIFT)) - 1);
    for (unsigned int i = 0; i < boot_info.region_count; i++) {
        const struct boot_region *r = &boot_info.regions[i];

        if (r->type == BOOT_REGION_RAM && r->size) {
            deny_frames(d, r->start, r->size);
        }
    }
    deny_frames(d, acpi_info.local_apic_address, PAGE_SIZE);
    for (unsigned int i = 0; i < acpi_info.io_apic_count; i++) {
        deny_frames(d, acpi_info.io_apics[i].address, PAGE_SIZE);
    }
    if (acpi_info.hpet_address) {
        deny_frames(d, acpi_info.hpet_address, PAGE_SIZE);
    }
    for (unsigned int i = 0; i < acpi_info.mcfg_count; i++) {
        const struct acpi_mcfg_segment *s = &acpi_info.mcfg[i];

        deny_frames(d, s->base + ((uint64_t)s->start_bus << 20),
                    ((uint64_t)s->end_bus - s->start_bus + 1) << 20);
    }
}

static uint64_t module_pages(const struct boot_module *module)
{
    return DIV_ROUND_UP(module->size, PAGE_SIZE);
}

// Gives the module's own frames to the domain, as its frames from gfn on.
static void give_module(struct domain0_memory *m, const struct boot_module *module, uint64_t gfn)
{
    uint64_t pages = module_pages(module);
    mfn_t mfn = maddr_to_mfn(module->start);

    if (module->start.a & (PAGE_SIZE - 1)) {
        give_up("the boot loader put a module off a page boundary.");
    }
    if (domain_donate_pages(m->d, mfn, pages)) {
        give_up("its memory (dom0_mem) is too small for the boot modules.");
    }
    for (uint64_t done = 0; done < pages;) {
        bool large = !(((gfn + done) | (mfn.n + done)) & 511) && pages - done >= 512;
        unsigned int order = large ? ORDER_2M : ORDER_4K;

        if (p2m_set(m->d, GFN(gfn + done), mfn_add(mfn, done), order, P2M_RAM)) {
            give_up("no memory for its tables.");
        }
        done += 1UL << order;
    }
}

// Makes the rest of the module's last page zero: a kernel that unpacks archives which follow each
// other skips zeros.
static void clear_rest(struct domain *d, const struct boot_module *module, uint64_t gfn)
{
    static const uint8_t zeros[PAGE_SIZE];
    uint64_t end = (gfn << PAGE_SHIFT) + module->size;

    if (copy_to_guest_physical(d, GPA(end), zeros, -end & (PAGE_SIZE - 1))) {
        give_up("its ramdisk cannot be put together.");
    }
}

// Gives boot modules to the domain, one behind the other: the first is followed by the pages of the
// next. Returns what they are together, as the domain sees it.
static struct hvm_modlist_entry give_modules(struct domain0_memory *m,
                                             const struct boot_module *modules, unsigned int count)
{
    uint64_t pages = 0, size = 0, gfn;

    for (unsigned int i = 0; i < count; i++) {
        size = (pages << PAGE_SHIFT) + modules[i].size;
        pages += module_pages(&modules[i]);
    }
    gfn = domain0_place(m, pages, maddr_to_mfn(modules->start).n & 511);
    if (!gfn) {
        give_up("its memory (dom0_mem) is too small for the boot modules.");
    }
    for (uint64_t i = 0, at = gfn; i < count; at += module_pages(&modules[i++])) {
        give_module(m, &modules[i], at);
        clear_rest(m->d, &modules[i], at);
    }
    return (struct hvm_modlist_entry){.paddr = gfn << PAGE_SHIFT, .size = size};
}

// Something that is written into domain 0's memory piece by piece.
struct writer {
    struct domain *d;
    uint64_t at, end;
};

static uint64_t append(struct writer *w, const void *data, size_t size)
{
    uint64_t at = ALIGN_UP(w->at, 8UL);

    if (at + size > w->end || copy_to_guest_physical(w->d, GPA(at), data, size)) {
        give_up("its start information does not fit.");
    }
    w->at = at + size;
    return at;
}

static unsigned int add_region(struct memory_map_entry *map, unsigned int count, uint64_t start,
                               uint64_t size, uint32_t type)
{
    if (size && count < DOMAIN_MAP_ENTRIES) {
        map[count++] = (struct memory_map_entry){start, size, type};
    }
    return count;
}

// The machine's map with its RAM cut to what the domain has, and the ACPI tables' place taken out.
static unsigned int make_memory_map(const struct domain0_memory *m, uint64_t acpi,
                                    struct memory_map_entry *map)
{
    uint64_t acpi_size = ACPI_PAGES * PAGE_SIZE;
    unsigned int count = 0;

    for (unsigned int i = 0, range = 0; i < boot_info.region_count; i++) {
        const struct boot_region *r = &boot_info.regions[i];
        uint64_t start, size;

        if (r->type != BOOT_REGION_RAM) {
            count = add_region(map, count, r->start, r->size, r->type);
            continue;
        }
        if (range == m->range_count ||
            m->ranges[range].start != DIV_ROUND_UP(r->start, PAGE_SIZE)) {
            continue;
        }
        start = m->ranges[range].start << PAGE_SHIFT;
        size = m->ranges[range].count << PAGE_SHIFT;
        range++;
        if (acpi >= start && acpi < start + size) {
            count = add_region(map, count, start, acpi - start, BOOT_REGION_RAM);
            count = add_region(map, count, acpi, acpi_size, BOOT_REGION_ACPI);
            size = start + size - (acpi + acpi_size);
            start = acpi + acpi_size;
        }
        count = add_region(map, count, start, size, BOOT_REGION_RAM);
    }
    return count;
}

static void write_acpi_tables(struct domain *d, uint64_t at)
{
    struct acpi_domain0_machine machine = {.vcpu_count = d->max_vcpus};
    struct acpi_region regions[32];
    unsigned int count = acpi_domain0_regions(regions, ARRAY_SIZE(regions));
    void *buffer = heap_alloc(ACPI_DOMAIN0_TABLES_MAX);
    size_t size =
        buffer ? acpi_build_domain0_tables(buffer, ACPI_DOMAIN0_TABLES_MAX, at, &machine) : 0;

    if (!size || copy_to_guest_physical(d, GPA(at), buffer, size)) {
        give_up("its ACPI tables cannot be made.");
    }
    heap_free(buffer);
    for (unsigned int i = 0; i < count; i++) {
        for (uint64_t offset = 0; offset < regions[i].size; offset += PAGE_SIZE) {
            uint64_t frame = (regions[i].start + offset) >> PAGE_SHIFT;

            // What is RAM for the domain stays RAM.
            p2m_set_new(d, GFN(frame), MFN(frame), 0, P2M_MMIO);
        }
    }
}

static uint64_t write_start_info(struct domain0_memory *m, uint64_t info, uint64_t acpi,
                                 struct hvm_modlist_entry *modules, unsigned int module_count)
{
    struct writer w = {m->d, info, info + INFO_PAGES * PAGE_SIZE};
    struct hvm_start_info start = {.magic = XEN_HVM_START_MAGIC_VALUE,
                                   .version = 1,
                                   .flags = SIF_INITDOMAIN | SIF_PRIVILEGED,
                                   .nr_modules = module_count,
                                   .rsdp_paddr = acpi};
    struct memory_map_entry map[DOMAIN_MAP_ENTRIES];
    uint64_t at = append(&w, &start, sizeof(start));
    const char *text = boot_info.modules[0].command_line;

    modules[0].cmdline_paddr = append(&w, text, strlen(text) + 1);
    start.modlist_paddr = append(&w, modules, module_count * sizeof(modules[0]));
    start.memmap_entries = make_memory_map(m, acpi, map);
    if (domain_set_memory_map(m->d, map, start.memmap_entries)) {
        give_up("no memory for its memory map.");
    }
    for (unsigned int i = 0; i < start.memmap_entries; i++) {
        struct hvm_memmap_table_entry entry = {map[i].start, map[i].size, map[i].type, 0};
        uint64_t place = append(&w, &entry, sizeof(entry));

        start.memmap_paddr = i ? start.memmap_paddr : place;
    }
    w.at = at;
    append(&w, &start, sizeof(start));
    return at;
}

static uint64_t place_or_give_up(struct domain0_memory *m, uint64_t pages)
{
    uint64_t gfn = domain0_place(m, pages, 512);

    if (!gfn) {
        give_up("its memory (dom0_mem) is too small.");
    }
    return gfn << PAGE_SHIFT;
}

static void build_memory(struct domain *d, uint32_t *entry, uint32_t *start_info)
{
    const struct dom0_loader_header *header =
        (const void *)(dom0_loader_start + DOM0_LOADER_HEADER_OFFSET);
    struct domain0_memory m = {.d = d};
    struct hvm_modlist_entry given[2]; // the kernel, and all others as its ramdisk
    unsigned int given_count = MIN(boot_info.module_count, 2u);
    uint64_t acpi, info, loader, pages = 0;

    for (unsigned int i = 0; i < boot_info.module_count; i++) {
        pages += module_pages(&boot_info.modules[i]);
    }
    d->max_pages = ~0UL;
    pages = domain0_pages(pages);
    if (!domain0_choose_ranges(&m, pages)) {
        give_up("there is no memory below 4 GiB.");
    }
    acpi = place_or_give_up(&m, ACPI_PAGES);
    given[0] = give_modules(&m, boot_info.modules, 1);
    if (given_count == 2) {
        given[1] = give_modules(&m, boot_info.modules + 1, boot_info.module_count - 1);
    }
    info = place_or_give_up(&m, INFO_PAGES);
    loader = place_or_give_up(&m, DIV_ROUND_UP(header->memory_size, PAGE_SIZE));
    if (!domain0_populate(&m)) {
        give_up("memory ran out; give dom0_mem a smaller size.");
    }
    d->max_pages = MAX(domain0_max_pages(), d->total_pages);
    write_acpi_tables(d, acpi);
    *start_info = (uint32_t)write_start_info(&m, info, acpi, given, given_count);
    if (copy_to_guest_physical(d, GPA(loader), dom0_loader_start, header->image_size)) {
        give_up("the loader does not fit.");
    }
    *entry = (uint32_t)loader;
    if (option_verbose) {
        log_info("Domain 0: loader at %lx, start information at %lx, ACPI tables at %lx", loader,
                 info, acpi);
    }
}

void domain0_build(void)
{
    uint32_t entry, start_info;
    struct domain *d;

    if (!boot_info.module_count) {
        give_up("there is no module; the first boot module has to be its kernel.");
    }
    d = create();
    if (vioapic_create_domain0(d) || vpci_domain_init(d)) {
        give_up("no memory for its virtual devices.");
    }
    give_ports(d);
    give_io_memory(d);
    build_memory(d, &entry, &start_info);
    if (vpci_assign_hardware_domain(d)) {
        give_up("its devices cannot be given to it.");
    }
    arch_domain_update_wallclock(d);
    hvm_set_pvh_entry(d->vcpus[0], entry, start_info);
    log_info("Domain 0: %lu MiB, %u vcpus", d->total_pages >> (20 - PAGE_SHIFT), d->max_vcpus);
    __atomic_fetch_and(&d->vcpus[0]->pause_flags, ~VCPU_DOWN, __ATOMIC_SEQ_CST);
    domain_unpause_by_toolstack(d);
}

// SPDX-License-Identifier: Apache-2.0
//
// Where things lie in a new domain: the kernel where it wants to be, after it the modules and the
// start information, page by page, all below LOW_RAM_END. The memory map lists RAM first.
#include <toolstack/guest_image.h>

#include <stdbool.h>
#include <string.h>
#include <xen/xen.h>
#include <xen/arch-x86/hvm/start_info.h>

#define PAGE 4096ul
#define TO_PAGE(bytes) (((bytes) + PAGE - 1) & ~(PAGE - 1))

static void add_range(struct guest_layout *layout, uint64_t address, uint64_t size, uint32_t type)
{
    layout->map[layout->map_count++] = (struct guest_range){address, size, type};
}

static void make_map(struct guest_layout *layout, uint64_t memory, bool pci)
{
    uint64_t low = memory < LOW_RAM_END ? memory : LOW_RAM_END;

    add_range(layout, 0, low, XEN_HVM_MEMMAP_TYPE_RAM);
    if (memory > low)
        add_range(layout, HIGH_RAM, memory - low, XEN_HVM_MEMMAP_TYPE_RAM);
    layout->ram_count = layout->map_count;
    add_range(layout, ACPI_ADDRESS, ACPI_SIZE, XEN_HVM_MEMMAP_TYPE_ACPI);
    add_range(layout, SPECIAL_ADDRESS, SPECIAL_PAGES * PAGE, XEN_HVM_MEMMAP_TYPE_RESERVED);
    layout->backed_count = layout->map_count;
    if (pci)
        add_range(layout, ECAM_ADDRESS, ECAM_SIZE, XEN_HVM_MEMMAP_TYPE_RESERVED);
}

static size_t start_info_size(const struct guest_layout *layout, const char *command_line,
                              size_t module_count)
{
    return sizeof(struct hvm_start_info) + module_count * sizeof(struct hvm_modlist_entry) +
           layout->map_count * sizeof(struct hvm_memmap_table_entry) + strlen(command_line) + 1;
}

struct error *guest_lay_out(uint64_t memory, bool pci, const struct kernel *kernel,
                            const char *command_line, const size_t *module_sizes,
                            size_t module_count, struct guest_layout *layout)
{
    *layout = (struct guest_layout){0};
    if (memory > GUEST_MEMORY_MAX || module_count > GUEST_MODULES_MAX)
        return error_new(ERROR_VALUE, "a domain has at most 1 TiB of memory and %d modules",
                         GUEST_MODULES_MAX);
    make_map(layout, memory, pci);
    uint64_t end = kernel->high;

    for (size_t i = 0; i < module_count; i++) {
        layout->modules[i] = end;
        end += TO_PAGE(module_sizes[i]);
    }
    layout->start_info = end;
    layout->start_info_size = TO_PAGE(start_info_size(layout, command_line, module_count));
    end += layout->start_info_size;
    if (end > layout->map[0].size)
        return error_advice(
            error_new(ERROR_VALUE, "%lu MiB of memory is too little for the kernel and its modules",
                      (unsigned long)(memory >> 20)),
            "They need %lu MiB before the kernel has any for itself.",
            (unsigned long)((end + (1 << 20) - 1) >> 20));
    return NULL;
}

void guest_write_start_info(const struct guest_layout *layout, const char *command_line,
                            const size_t *module_sizes, size_t module_count, uint8_t *buffer)
{
    struct hvm_start_info info = {
        .magic = XEN_HVM_START_MAGIC_VALUE,
        .version = 1,
        .nr_modules = (uint32_t)module_count,
        .rsdp_paddr = ACPI_ADDRESS,
        .memmap_entries = (uint32_t)layout->map_count,
    };
    size_t at = sizeof(info);

    info.modlist_paddr = module_count ? layout->start_info + at : 0;
    for (size_t i = 0; i < module_count; i++) {
        struct hvm_modlist_entry entry = {.paddr = layout->modules[i], .size = module_sizes[i]};

        memcpy(buffer + at, &entry, sizeof(entry));
        at += sizeof(entry);
    }
    info.memmap_paddr = layout->start_info + at;
    for (size_t i = 0; i < layout->map_count; i++) {
        struct hvm_memmap_table_entry entry = {.addr = layout->map[i].address,
                                               .size = layout->map[i].size,
                                               .type = layout->map[i].type};

        memcpy(buffer + at, &entry, sizeof(entry));
        at += sizeof(entry);
    }
    info.cmdline_paddr = layout->start_info + at;
    memcpy(buffer + at, command_line, strlen(command_line) + 1);
    memcpy(buffer, &info, sizeof(info));
}

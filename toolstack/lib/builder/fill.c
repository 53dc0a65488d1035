// SPDX-License-Identifier: Apache-2.0
//
// Filling a new domain: its kernel and modules, tables, event channels, first grants, and the state
// of its vcpus. Pieces of guest memory are mapped, written and unmapped one after the other.
// Nothing is undone here on an error: the caller destroys the domain.
#include "build.h"

#include <toolstack/memory.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/hvm/params.h>

#define PIECE_PAGES 4096u

// A run of bytes for guest memory, followed by zeroes.
struct content {
    const uint8_t *bytes;
    uint64_t file_size;
    uint64_t size;
};

// Writes the part of the content from offset on that lies in a mapped piece of guest memory.
static void write_piece(uint8_t *at, const struct content *content, uint64_t offset,
                        uint64_t length)
{
    uint64_t copied = 0;

    if (offset < content->file_size) {
        copied = content->file_size - offset;
        if (copied > length)
            copied = length;
        memcpy(at, content->bytes + offset, copied);
    }
    memset(at + copied, 0, length - copied);
}

static struct error *write_guest(struct hypervisor *hypervisor, unsigned int domid,
                                 uint64_t address, const struct content *content)
{
    uint64_t offset = 0;

    while (offset < content->size) {
        uint64_t frame = (address + offset) >> PAGE_SHIFT;
        uint64_t start = (address + offset) % PAGE_SIZE;
        uint64_t length = content->size - offset;

        if (length > (uint64_t)PIECE_PAGES * PAGE_SIZE - start)
            length = (uint64_t)PIECE_PAGES * PAGE_SIZE - start;
        size_t pages = (start + length + PAGE_SIZE - 1) >> PAGE_SHIFT;
        uint8_t *mapped = hypervisor_map_range(hypervisor, (uint16_t)domid, frame, pages);

        if (!mapped)
            return error_errno(ERROR_HYPERVISOR, errno, "cannot write to its memory");
        write_piece(mapped + start, content, offset, length);
        hypervisor_unmap(hypervisor, mapped, pages);
        offset += length;
    }
    return NULL;
}

static struct error *write_bytes(struct hypervisor *hypervisor, unsigned int domid,
                                 uint64_t address, const uint8_t *bytes, size_t size)
{
    return write_guest(hypervisor, domid, address, &(struct content){bytes, size, size});
}

static struct error *load_image(struct hypervisor *hypervisor, unsigned int domid,
                                const struct boot_image *image)
{
    for (size_t i = 0; i < image->kernel.count; i++) {
        const struct kernel_segment *segment = &image->kernel.segments[i];
        struct content content = {segment->bytes, segment->file_size, segment->size};

        TRY(write_guest(hypervisor, domid, segment->address, &content));
    }
    for (size_t i = 0; i < image->module_count; i++)
        TRY(write_bytes(hypervisor, domid, image->layout.modules[i], image->modules[i].bytes,
                        image->modules[i].size));
    return NULL;
}

static struct error *load_tables(struct hypervisor *hypervisor, unsigned int domid,
                                 const struct domain_config *config, const struct boot_image *image)
{
    const struct guest_layout *layout = &image->layout;
    uint8_t *start_info = memory_zeroed(layout->start_info_size);
    uint8_t *acpi = memory_zeroed(ACPI_SIZE);

    guest_write_start_info(layout, config->command_line, image->module_sizes, image->module_count,
                           start_info);
    guest_write_acpi((unsigned int)config->maxvcpus, config->function_count > 0, acpi);
    struct error *error =
        write_bytes(hypervisor, domid, layout->start_info, start_info, layout->start_info_size);

    if (!error)
        error = write_bytes(hypervisor, domid, ACPI_ADDRESS, acpi, ACPI_SIZE);
    // Special pages begin empty.
    if (!error)
        error = write_guest(hypervisor, domid, SPECIAL_ADDRESS,
                            &(struct content){NULL, 0, SPECIAL_PAGES * PAGE_SIZE});
    free(start_info);
    free(acpi);
    return error;
}

// Tells the hypervisor of the memory map, for guests that ask it instead of their start
// information.
static struct error *set_memory_map(struct hypervisor *hypervisor, unsigned int domid,
                                    const struct guest_layout *layout)
{
    struct entry {
        uint64_t address;
        uint64_t size;
        uint32_t type;
    } __attribute__((packed));
    struct entry *entries = hypervisor_buffer(hypervisor, layout->map_count * sizeof(*entries));
    struct xen_foreign_memory_map map = {.domid = (domid_t)domid,
                                         .map.nr_entries = (unsigned int)layout->map_count};

    for (size_t i = 0; i < layout->map_count; i++)
        entries[i] =
            (struct entry){layout->map[i].address, layout->map[i].size, layout->map[i].type};
    set_xen_guest_handle_raw(map.map.buffer, entries);
    int result = hypervisor_memory_op(hypervisor, XENMEM_set_memory_map, &map, sizeof(map));
    hypervisor_buffer_free(hypervisor, entries);
    return result < 0 ? error_errno(ERROR_HYPERVISOR, result, "cannot set its memory map") : NULL;
}

static struct error *allocate_port(struct hypervisor *hypervisor, unsigned int domid,
                                   unsigned int remote, uint32_t *port)
{
    struct evtchn_alloc_unbound operation = {.dom = (domid_t)domid, .remote_dom = (domid_t)remote};
    int result =
        hypervisor_event_op(hypervisor, EVTCHNOP_alloc_unbound, &operation, sizeof(operation));

    *port = operation.port;
    if (result >= 0)
        return NULL;
    return error_errno(ERROR_HYPERVISOR, result, "cannot make its event channels");
}

static struct error *set_params(struct hypervisor *hypervisor, unsigned int domid,
                                const struct domain_ports *ports)
{
    const struct {
        uint32_t index;
        uint64_t value;
    } params[] = {
        {HVM_PARAM_STORE_PFN, STORE_FRAME},
        {HVM_PARAM_STORE_EVTCHN, ports->store},
        {HVM_PARAM_CONSOLE_PFN, CONSOLE_FRAME},
        {HVM_PARAM_CONSOLE_EVTCHN, ports->console},
    };

    for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++) {
        int result =
            hypervisor_set_param(hypervisor, (uint16_t)domid, params[i].index, params[i].value);

        if (result < 0)
            return error_errno(ERROR_HYPERVISOR, result, "cannot set its parameter %u",
                               params[i].index);
    }
    return NULL;
}

// The first two grants let xenstored and xenconsoled map their rings.
static struct error *seed_grants(struct hypervisor *hypervisor, unsigned int domid,
                                 unsigned int backend)
{
    void *table;
    void *resource;

    TRY(hypervisor_map_grant_table(hypervisor, (uint16_t)domid, 1, &table, &resource));
    grant_entry_v1_t *entries = table;

    entries[GNTTAB_RESERVED_CONSOLE].domid = (domid_t)backend;
    entries[GNTTAB_RESERVED_CONSOLE].frame = CONSOLE_FRAME;
    entries[GNTTAB_RESERVED_XENSTORE].domid = (domid_t)backend;
    entries[GNTTAB_RESERVED_XENSTORE].frame = STORE_FRAME;
    __atomic_store_n(&entries[GNTTAB_RESERVED_CONSOLE].flags, GTF_permit_access, __ATOMIC_RELEASE);
    __atomic_store_n(&entries[GNTTAB_RESERVED_XENSTORE].flags, GTF_permit_access, __ATOMIC_RELEASE);
    hypervisor_unmap_resource(hypervisor, resource);
    return NULL;
}

// Reads the domain's own state; its size is asked for first.
static int read_state(struct hypervisor *hypervisor, unsigned int domid, uint8_t **state,
                      size_t *size)
{
    struct xen_domctl operation = {.cmd = XEN_DOMCTL_gethvmcontext, .domain = (domid_t)domid};
    int result = hypervisor_domctl(hypervisor, &operation);

    *state = NULL;
    if (result < 0)
        return result;
    *state = hypervisor_buffer(hypervisor, operation.u.hvmcontext.size);
    set_xen_guest_handle_raw(operation.u.hvmcontext.buffer, *state);
    result = hypervisor_domctl(hypervisor, &operation);
    *size = operation.u.hvmcontext.size;
    return result;
}

static struct error *set_state(struct hypervisor *hypervisor, unsigned int domid,
                               const struct domain_config *config, const struct boot_image *image)
{
    uint8_t *own = NULL;
    uint8_t *state = NULL;
    size_t own_size = 0;
    size_t size = 0;
    int result = read_state(hypervisor, domid, &own, &own_size);
    struct error *error =
        result < 0
            ? error_errno(ERROR_HYPERVISOR, result, "cannot read its state")
            : guest_make_state(own, own_size, (unsigned int)config->maxvcpus, image->kernel.entry,
                               (uint32_t)image->layout.start_info, &state, &size);

    hypervisor_buffer_free(hypervisor, own);
    if (error)
        return error;
    uint8_t *buffer = hypervisor_buffer(hypervisor, size);
    struct xen_domctl operation = {.cmd = XEN_DOMCTL_sethvmcontext, .domain = (domid_t)domid};

    memcpy(buffer, state, size);
    operation.u.hvmcontext.size = (uint32_t)size;
    set_xen_guest_handle_raw(operation.u.hvmcontext.buffer, buffer);
    result = hypervisor_domctl(hypervisor, &operation);
    hypervisor_buffer_free(hypervisor, buffer);
    free(state);
    return result < 0 ? error_errno(ERROR_HYPERVISOR, result, "cannot set its state") : NULL;
}

struct error *build_fill(struct toolstack *toolstack, const struct domain_config *config,
                         const struct boot_image *image, unsigned int domid, unsigned int backend,
                         struct domain_ports *ports)
{
    struct hypervisor *hypervisor = toolstack->hypervisor;

    TRY(build_cpu_policy(hypervisor, domid, (unsigned int)config->maxvcpus));
    TRY(build_populate(hypervisor, domid, &image->layout));
    TRY(set_memory_map(hypervisor, domid, &image->layout));
    TRY(load_image(hypervisor, domid, image));
    TRY(load_tables(hypervisor, domid, config, image));
    TRY(allocate_port(hypervisor, domid, backend, &ports->store));
    TRY(allocate_port(hypervisor, domid, backend, &ports->console));
    TRY(set_params(hypervisor, domid, ports));
    TRY(seed_grants(hypervisor, domid, backend));
    return set_state(hypervisor, domid, config, image);
}

// SPDX-License-Identifier: Apache-2.0
// One AMD IOMMU: its registers, its command ring, turning it on. The ring is under amd_unit.lock;
// every use of it waits for completion before the lock is dropped, so it never fills up.
#include <bulkhead/console.h>
#include <bulkhead/errno.h>
#include <bulkhead/heap.h>
#include <x86/io_port.h>
#include <x86/paging.h>

#include "../pci/pci_private.h"
#include "amd.h"

uint64_t amd_read(const struct amd_unit *unit, unsigned int offset)
{
    return mmio_read64(unit->registers + offset);
}

void amd_write(const struct amd_unit *unit, unsigned int offset, uint64_t value)
{
    mmio_write64(unit->registers + offset, value);
}

static void put_command(struct amd_unit *unit, struct amd_command command)
{
    unit->commands[unit->command_tail] = command;
    unit->command_tail = (unit->command_tail + 1) % AMD_RING_ENTRIES;
}

// Adds a completion wait, starts the ring, and waits for it. The unit's lock is held.
static bool finish_commands(struct amd_unit *unit)
{
    uint64_t value = ++unit->completions;

    put_command(unit, amd_completion_wait(heap_maddr((void *)(uintptr_t)unit->completion), value));
    // Commands are in memory before the register tells of them: stores are not reordered here, but
    // the compiler must not either.
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    amd_write(unit, AMD_REG_COMMAND_TAIL, unit->command_tail * sizeof(struct amd_command));
    return iommu_wait_completion(unit->completion, value);
}

void amd_run_commands(struct amd_unit *unit, const struct amd_command *commands, unsigned int count)
{
    spin_lock(&unit->lock);
    for (unsigned int i = 0; i < count; i++) {
        put_command(unit, commands[i]);
    }
    if (!finish_commands(unit)) {
        panic("IOMMU %u does not answer: isolation of devices cannot be kept up", unit->index);
    }
    spin_unlock(&unit->lock);
}

bool amd_try_command(struct amd_unit *unit, struct amd_command command)
{
    bool done;

    spin_lock(&unit->lock);
    put_command(unit, command);
    done = finish_commands(unit);
    spin_unlock(&unit->lock);
    return done;
}

// What IVRS says must not make us write into memory, and the function must be an IOMMU.
static bool description_plausible(const struct amd_unit *unit)
{
    const struct ivrs_unit *ivrs = unit->ivrs;
    uint32_t header = pci_read32(unit->sbdf, ivrs->capability);

    if (iommu_overlaps_memory(ivrs->address, AMD_REG_SIZE)) {
        log_error("IOMMU: IVRS lies: registers at %lx would be in memory", ivrs->address);
        return false;
    }
    if ((header & 0xff) != PCI_CAP_SECURE || (header >> 16 & 7) != 3) {
        log_error("IOMMU: IVRS lies: " PCI_FORMAT " is no IOMMU", PCI_ARGUMENTS(unit->sbdf));
        return false;
    }
    return true;
}

static int allocate_rings(struct amd_unit *unit)
{
    unit->commands = heap_alloc_pages(0, 0);
    unit->events = heap_alloc_pages(0, 0);
    unit->completion = heap_new(uint64_t);
    if (!unit->commands || !unit->events || !unit->completion) {
        log_error("IOMMU: no memory for its queues");
        return -XEN_ENOMEM;
    }
    return 0;
}

int amd_unit_init(struct amd_unit *unit)
{
    int error;

    spin_lock_init(&unit->lock);
    if (!description_plausible(unit)) {
        return -XEN_EINVAL;
    }
    error = allocate_rings(unit);
    if (error) {
        return error;
    }
    unit->registers = hv_ioremap(MADDR(unit->ivrs->address), AMD_REG_SIZE);
    if (!unit->registers) {
        log_error("IOMMU: its registers could not be mapped");
        return -XEN_ENOMEM;
    }
    unit->features = amd_read(unit, AMD_REG_FEATURES);
    if (amd_read(unit, AMD_REG_STATUS) == ~0UL || unit->features == ~0UL) {
        log_error("IOMMU: IVRS lies: no registers at %lx", unit->ivrs->address);
        return -XEN_EINVAL;
    }
    if (iommu_verbose) {
        log_info("IOMMU %u: " PCI_FORMAT ", registers at %lx, IVRS block type %x, flags %02x, "
                 "features %lx",
                 unit->index, PCI_ARGUMENTS(unit->sbdf), unit->ivrs->address,
                 unit->ivrs->block_type, unit->ivrs->flags, unit->features);
    }
    return 0;
}

static uint64_t control_bits(const struct ivrs_unit *ivrs)
{
    uint64_t control = AMD_CONTROL_EVENT_LOG | AMD_CONTROL_COMMANDS;

    control |= ivrs->flags & IVRS_UNIT_HT_TUNNEL ? AMD_CONTROL_HT_TUNNEL : 0;
    control |= ivrs->flags & IVRS_UNIT_PASS_PW ? AMD_CONTROL_PASS_PW : 0;
    control |= ivrs->flags & IVRS_UNIT_RESPONSE_PASSPW ? AMD_CONTROL_RESPONSE_PASSPW : 0;
    control |= ivrs->flags & IVRS_UNIT_ISOCHRONOUS ? AMD_CONTROL_ISOCHRONOUS : 0;
    control |= ivrs->flags & IVRS_UNIT_COHERENT ? AMD_CONTROL_COHERENT : 0;
    return control;
}

void amd_unit_enable(struct amd_unit *unit, maddr_t table, size_t table_size)
{
    amd_write(unit, AMD_REG_CONTROL, 0); // whatever firmware did with it
    amd_write(unit, AMD_REG_DEVICE_TABLE, table.a | (table_size / PAGE_SIZE - 1));
    amd_write(unit, AMD_REG_COMMAND_BASE, heap_maddr(unit->commands).a | AMD_RING_LENGTH);
    amd_write(unit, AMD_REG_COMMAND_HEAD, 0);
    amd_write(unit, AMD_REG_COMMAND_TAIL, 0);
    amd_write(unit, AMD_REG_EVENT_BASE, heap_maddr(unit->events).a | AMD_RING_LENGTH);
    amd_write(unit, AMD_REG_EVENT_HEAD, 0);
    amd_write(unit, AMD_REG_EVENT_TAIL, 0);
    unit->control = control_bits(unit->ivrs);
    amd_write(unit, AMD_REG_CONTROL, unit->control);
    unit->control |= AMD_CONTROL_ENABLE;
    amd_write(unit, AMD_REG_CONTROL, unit->control);
}

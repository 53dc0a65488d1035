// SPDX-License-Identifier: Apache-2.0
// One Intel IOMMU: its registers, its invalidation queue, turning it on. The queue is under
// intel_unit.lock; every use of it waits for completion before the lock is dropped, so it never
// fills up. Registers that answer late are waited for with a limit.
#include <bulkhead/console.h>
#include <bulkhead/errno.h>
#include <bulkhead/heap.h>
#include <x86/io_port.h>
#include <x86/paging.h>

#include "intel.h"

#define CACHE_LINE 64u
#define DESCRIPTOR_TYPE 0xfu
#define TYPE_TRANSLATIONS 2u

static bool not_coherent; // one unit at least reads memory past the caches

uint32_t intel_read(const struct intel_unit *unit, unsigned int offset)
{
    return mmio_read32(unit->registers + offset);
}

void intel_write(const struct intel_unit *unit, unsigned int offset, uint32_t value)
{
    mmio_write32(unit->registers + offset, value);
}

void intel_write_back(const void *p, size_t size)
{
    for (size_t i = 0; not_coherent && i < size; i += CACHE_LINE) {
        __asm__ volatile("clflush %0" : : "m"(*((const char *)p + i)) : "memory");
    }
}

// Waits until the bits of a register are as wanted.
static bool wait_for(const struct intel_unit *unit, unsigned int offset, uint32_t mask,
                     uint32_t wanted)
{
    ns_t limit = now() + IOMMU_ANSWER_TIMEOUT;

    while ((intel_read(unit, offset) & mask) != wanted) {
        if (now() > limit) {
            return (intel_read(unit, offset) & mask) == wanted;
        }
        __builtin_ia32_pause();
    }
    return true;
}

// One command at a time, with what lasts repeated; the status register shows that it was done.
static bool command(const struct intel_unit *unit, uint32_t bit, bool on)
{
    uint32_t lasting = intel_read(unit, INTEL_REG_STATUS) & INTEL_LASTING & ~bit;

    intel_write(unit, INTEL_REG_COMMAND, on ? lasting | bit : lasting);
    return wait_for(unit, INTEL_REG_STATUS, bit, on && bit != INTEL_WRITE_BUFFER ? bit : 0);
}

static void put(struct intel_unit *unit, struct intel_entry descriptor)
{
    if ((descriptor.q[0] & DESCRIPTOR_TYPE) == TYPE_TRANSLATIONS) {
        descriptor.q[0] |= (unit->cap & INTEL_CAP_DRAIN_WRITES ? INTEL_DRAIN_WRITES : 0) |
                           (unit->cap & INTEL_CAP_DRAIN_READS ? INTEL_DRAIN_READS : 0);
    }
    unit->queue[unit->queue_tail] = descriptor;
    unit->queue_tail = (unit->queue_tail + 1) % INTEL_QUEUE_ENTRIES;
}

// Adds a wait, starts the queue, and waits for it. The unit's lock is held.
static bool finish(struct intel_unit *unit)
{
    uint32_t value = ++unit->completions;

    put(unit, intel_wait(heap_maddr((void *)(uintptr_t)unit->completion), value));
    // Descriptors are in memory before the register tells of them: stores are not reordered here,
    // but the compiler must not either.
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    intel_write(unit, INTEL_REG_QUEUE_TAIL, unit->queue_tail * sizeof(struct intel_entry));
    return iommu_wait_completion(unit->completion, value);
}

static bool try_run(struct intel_unit *unit, const struct intel_entry *descriptors,
                    unsigned int count)
{
    bool done = true;

    spin_lock(&unit->lock);
    if (unit->cap & INTEL_CAP_WRITE_BUFFER) {
        done = command(unit, INTEL_WRITE_BUFFER, true);
    }
    for (unsigned int i = 0; i < count; i++) {
        put(unit, descriptors[i]);
    }
    done = done && finish(unit);
    spin_unlock(&unit->lock);
    return done;
}

void intel_run(struct intel_unit *unit, const struct intel_entry *descriptors, unsigned int count)
{
    if (!try_run(unit, descriptors, count)) {
        panic("IOMMU %u does not answer (fault status %x): isolation of devices cannot be kept up",
              unit->index, intel_read(unit, INTEL_REG_FAULT_STATUS));
    }
}

static int refuse(const struct intel_unit *unit, const char *why)
{
    log_error("IOMMU: the one at %lx cannot be used: it %s", unit->dmar->address, why);
    return -XEN_ENODEV;
}

static int check_capabilities(struct intel_unit *unit)
{
    uint64_t sizes = INTEL_CAP_2M | INTEL_CAP_1G;

    if (unit->cap == ~0UL || unit->ecap == ~0UL || unit->cap == 0) {
        log_error("IOMMU: DMAR lies: no registers at %lx", unit->dmar->address);
        return -XEN_EINVAL;
    }
    if (!(unit->ecap & INTEL_ECAP_QUEUE)) {
        return refuse(unit, "has no invalidation queue");
    }
    if (!(unit->ecap & INTEL_ECAP_REMAPPING)) {
        return refuse(unit, "cannot remap interrupts");
    }
    if ((unit->cap & sizes) != sizes) {
        return refuse(unit, "cannot translate by pages of 2 MiB and 1 GiB");
    }
    if (!(unit->cap & (INTEL_CAP_39BIT | INTEL_CAP_48BIT))) {
        return refuse(unit, "walks tables of neither 3 nor 4 levels");
    }
    unit->levels = unit->cap & INTEL_CAP_48BIT ? 4 : 3;
    return 0;
}

static int allocate(struct intel_unit *unit)
{
    unsigned int irt_order = 0;

    while (PAGE_SIZE << irt_order < INTEL_IRT_ENTRIES * sizeof(struct intel_entry)) {
        irt_order++;
    }
    unit->queue = heap_alloc_pages(0, 0);
    unit->root = heap_alloc_pages(0, 0);
    unit->interrupts = heap_alloc_pages(irt_order, 0);
    unit->completion = heap_new(uint64_t);
    if (!unit->queue || !unit->root || !unit->interrupts || !unit->completion) {
        log_error("IOMMU: no memory for its tables");
        return -XEN_ENOMEM;
    }
    return 0;
}

int intel_unit_init(struct intel_unit *unit)
{
    uint64_t address = unit->dmar->address;
    int error;

    spin_lock_init(&unit->lock);
    if (iommu_overlaps_memory(address, unit->dmar->size)) {
        log_error("IOMMU: DMAR lies: registers at %lx would be in memory", address);
        return -XEN_EINVAL;
    }
    error = allocate(unit);
    if (error) {
        return error;
    }
    unit->registers = hv_ioremap(MADDR(address), INTEL_REG_SIZE);
    if (!unit->registers) {
        log_error("IOMMU: its registers could not be mapped");
        return -XEN_ENOMEM;
    }
    unit->cap = mmio_read64(unit->registers + INTEL_REG_CAP);
    unit->ecap = mmio_read64(unit->registers + INTEL_REG_ECAP);
    error = check_capabilities(unit);
    if (error) {
        return error;
    }
    unit->records = hv_ioremap(MADDR(address + intel_cap_record_offset(unit->cap)),
                               intel_cap_records(unit->cap) * sizeof(struct intel_entry));
    not_coherent = not_coherent || !(unit->ecap & INTEL_ECAP_COHERENT);
    if (iommu_verbose) {
        log_info("IOMMU %u: registers at %lx, capabilities %lx %lx, %u levels%s", unit->index,
                 address, unit->cap, unit->ecap, unit->levels,
                 unit->dmar->include_all ? ", all devices that no other names" : "");
    }
    return unit->records ? 0 : -XEN_ENOMEM;
}

// Whatever firmware did with it ends; DMA is not let through in between, because firmware's
// protected regions are opened last.
static bool stop(const struct intel_unit *unit)
{
    return command(unit, INTEL_TRANSLATION, false) && command(unit, INTEL_REMAPPING, false) &&
           command(unit, INTEL_QUEUE, false) && command(unit, INTEL_COMPATIBILITY, false);
}

static bool set_tables(struct intel_unit *unit)
{
    const struct intel_entry forget[] = {intel_forget_contexts(), intel_forget_translations(),
                                         intel_forget_interrupts()};
    uint64_t irt = heap_maddr(unit->interrupts).a | (intel_wide ? 1u << 11 : 0) | INTEL_IRT_SIZE;

    intel_write_back(unit->root, PAGE_SIZE);
    intel_write_back(unit->interrupts, INTEL_IRT_ENTRIES * sizeof(struct intel_entry));
    mmio_write64(unit->registers + INTEL_REG_ROOT, heap_maddr(unit->root).a);
    mmio_write64(unit->registers + INTEL_REG_IRT_ADDRESS, irt);
    mmio_write64(unit->registers + INTEL_REG_QUEUE_ADDRESS, heap_maddr(unit->queue).a);
    intel_write(unit, INTEL_REG_QUEUE_TAIL, 0);
    return command(unit, INTEL_SET_ROOT, true) && command(unit, INTEL_QUEUE, true) &&
           command(unit, INTEL_SET_IRT, true) && try_run(unit, forget, ARRAY_SIZE(forget));
}

int intel_unit_enable(struct intel_unit *unit)
{
    bool protects = unit->cap & (INTEL_CAP_PROTECTED_LOW | INTEL_CAP_PROTECTED_HIGH);
    bool works = stop(unit) && set_tables(unit) && command(unit, INTEL_TRANSLATION, true) &&
                 command(unit, INTEL_REMAPPING, true);

    if (works && protects) {
        intel_write(unit, INTEL_REG_PROTECTED, 0);
        works = wait_for(unit, INTEL_REG_PROTECTED, INTEL_PROTECTED_STATUS, 0);
    }
    if (!works) {
        log_error("IOMMU: the one at %lx does not answer", unit->dmar->address);
        return -XEN_EIO;
    }
    return 0;
}

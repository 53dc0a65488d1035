// SPDX-License-Identifier: Apache-2.0
// The fault records of an Intel IOMMU, reported in words. They are read when the unit's interrupt
// comes, or once a second when that came too often. A unit has few records (QEMU's has one) and
// drops what finds none free, so floods are noticed by the overflow too.
// One reader at a time (intel_unit.fault_busy); who finds it taken leaves, for the reader sees his
// records too or the next poll does. A device that floods the records is silenced in its context
// entry.
#include <bulkhead/console.h>
#include <bulkhead/errno.h>
#include <x86/io_port.h>
#include <x86/irq.h>

#include "../pci/msi.h"
#include "intel.h"

#define SECOND 1000000000L
#define TOO_MANY 1000u // faults in a second: no more interrupts
#define PASSES 64u     // over all records in one go
#define INDEX_SHIFT 48 // of an interrupt's entry in a record's address

static const char *reason_name(unsigned int reason)
{
    static const char *const names[] = {
        [0x01] = "refused DMA (no device is known on that bus)",
        [0x02] = "refused DMA",
        [0x03] = "illegal context entry",
        [0x04] = "refused DMA (beyond the address width)",
        [0x05] = "refused DMA",
        [0x06] = "refused DMA",
        [0x07] = "page table out of reach",
        [0x08] = "root table out of reach",
        [0x09] = "context table out of reach",
        [0x0a] = "illegal root entry",
        [0x0b] = "illegal context entry",
        [0x0c] = "illegal page table entry",
        [0x0d] = "refused translation request",
        [0x20] = "illegal interrupt request",
        [0x21] = "refused interrupt (no such entry)",
        [0x22] = "refused interrupt (entry not in use)",
        [0x23] = "interrupt table out of reach",
        [0x24] = "illegal interrupt entry",
        [0x25] = "refused interrupt (not remappable)",
        [0x26] = "refused interrupt (another device's entry)",
    };

    return reason < ARRAY_SIZE(names) && names[reason] ? names[reason] : "unknown fault";
}

static void handle_record(struct intel_unit *unit, uint64_t low, uint64_t high)
{
    unsigned int reason = high >> 32 & 0xff;
    bool interrupt = reason >= INTEL_REASON_INTERRUPT;
    uint16_t id = (uint16_t)high;
    struct fault fault = {
        .what = reason_name(reason),
        .access = interrupt        ? "interrupt entry"
                  : high >> 62 & 1 ? "read from address"
                                   : "write to address",
        .sbdf = PCI_SBDF(unit->dmar->segment, id >> 8, id & 0xff),
        .owner = intel_context_owner(unit, id),
        .address = interrupt ? low >> INDEX_SHIFT : low & ~(PAGE_SIZE - 1),
    };

    if (fault_report(&unit->window, unit->index, &fault)) {
        spin_lock(&intel_lock);
        intel_context_silence(unit, id);
        spin_unlock(&intel_lock);
    }
}

// Reads and frees every record in use; how many those were.
static unsigned int read_records(struct intel_unit *unit)
{
    unsigned int found = 0;

    for (unsigned int i = 0; i < intel_cap_records(unit->cap); i++) {
        volatile uint8_t *record = unit->records + i * sizeof(struct intel_entry);
        uint64_t high = mmio_read64(record + 8);

        if (high >> 32 & INTEL_RECORD_VALID) {
            handle_record(unit, mmio_read64(record), high);
            mmio_write32(record + 12, INTEL_RECORD_VALID);
            found++;
        }
    }
    return found;
}

static void check_faults(struct intel_unit *unit)
{
    uint32_t status;

    if (__atomic_exchange_n(&unit->fault_busy, true, __ATOMIC_ACQUIRE)) {
        return;
    }
    fault_window_update(&unit->window, unit->index);
    for (unsigned int i = 0; i < PASSES && read_records(unit); i++) {
    }
    status = intel_read(unit, INTEL_REG_FAULT_STATUS);
    if (status & INTEL_FAULT_OVERFLOW && fault_may_be_said(&unit->window)) {
        log_warning("IOMMU %u: more faults than it could record", unit->index);
    }
    intel_write(unit, INTEL_REG_FAULT_STATUS, status & INTEL_FAULT_ALL);
    __atomic_store_n(&unit->fault_busy, false, __ATOMIC_RELEASE);
}

static void mask_interrupt(const struct intel_unit *unit, bool masked)
{
    intel_write(unit, INTEL_REG_FAULT_CONTROL, masked ? INTEL_FAULT_MASK : 0);
}

static void fault_interrupt(void *data)
{
    struct intel_unit *unit = data;

    check_faults(unit);
    if (unit->window.faults > TOO_MANY && !unit->polling) {
        unit->polling = true;
        mask_interrupt(unit, true);
        timer_set(&unit->poll, now() + SECOND);
    }
}

static void poll_faults(void *data)
{
    struct intel_unit *unit = data;

    check_faults(unit);
    if (unit->irq && fault_window_is_calm(&unit->window)) {
        unit->polling = false;
        mask_interrupt(unit, false);
        check_faults(unit); // what came between
        return;
    }
    timer_set(&unit->poll, now() + SECOND);
}

static void program_interrupt(struct irq *irq, void *data)
{
    const struct intel_unit *unit = data;
    struct interrupt_target target = msi_target(irq);
    struct msi_message message;

    iommu_plain_message(&target, &message);
    mask_interrupt(unit, true);
    intel_write(unit, INTEL_REG_FAULT_DATA, message.data);
    intel_write(unit, INTEL_REG_FAULT_ADDRESS, (uint32_t)message.address);
    intel_write(unit, INTEL_REG_FAULT_UPPER, intel_wide ? target.apic_id & ~0xffu : 0);
    mask_interrupt(unit, false);
}

int intel_faults_init(struct intel_unit *unit)
{
    int error = timer_reserve(1);

    if (error) {
        log_error("IOMMU: no memory for its timer");
        return error;
    }
    timer_init(&unit->poll, 0, poll_faults, unit);
    unit->irq = irq_create(fault_interrupt, unit);
    if (!unit->irq) {
        log_info("IOMMU %u: no vector for its interrupt, faults are polled", unit->index);
        unit->polling = true;
        timer_set(&unit->poll, now() + SECOND);
        return 0;
    }
    irq_set_reprogram(unit->irq, program_interrupt);
    program_interrupt(unit->irq, unit);
    check_faults(unit); // what firmware left
    return 0;
}

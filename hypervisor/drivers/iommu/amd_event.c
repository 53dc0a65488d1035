// SPDX-License-Identifier: Apache-2.0
// The event log of an AMD IOMMU, reported in words. It is read when the unit's interrupt comes, or
// once a second when it has none or when it came too often. Entries are recognized by their
// contents (a first word that is not zero) and cleared when they have been read. QEMU 7.2 puts a
// refused access together wrongly (amd_format.h): who and how can be told all the same, but not
// where. One reader at a time (amd_unit.event_busy); who finds it taken leaves, for the reader sees
// his entries too or the next poll does. Messages are limited for each second; a device that floods
// the log is silenced in its device table entry.
#include <bulkhead/console.h>
#include <bulkhead/errno.h>
#include <bulkhead/heap.h>
#include <x86/irq.h>

#include "../pci/msi.h"
#include "../pci/pci_private.h"
#include "amd.h"

#define SECOND 1000000000L
#define TOO_MANY 1000u // events in a second: no more interrupts
#define STOP_POLLS 100000u

static const char *event_name(unsigned int code)
{
    static const char *const names[] = {
        [AMD_EVENT_MISPLACED] = "refused DMA",
        [AMD_EVENT_ILLEGAL_DTE] = "illegal device table entry",
        [AMD_EVENT_PAGE_FAULT] = "refused DMA",
        [AMD_EVENT_DTE_HARDWARE] = "hardware error reading the device table",
        [AMD_EVENT_PAGE_TABLE_HARDWARE] = "hardware error reading a page table",
        [AMD_EVENT_ILLEGAL_COMMAND] = "illegal command",
        [AMD_EVENT_COMMAND_HARDWARE] = "hardware error reading a command",
        [AMD_EVENT_IOTLB_TIMEOUT] = "a device does not answer invalidation",
        [AMD_EVENT_INVALID_REQUEST] = "invalid request",
        [AMD_EVENT_INVALID_PPR] = "invalid page request",
        [AMD_EVENT_COUNTER] = "performance counter",
    };

    return code < ARRAY_SIZE(names) && names[code] ? names[code] : "unknown event";
}

static void control(struct amd_unit *unit, uint64_t set, uint64_t clear)
{
    spin_lock(&unit->lock);
    unit->control = (unit->control & ~clear) | set;
    amd_write(unit, AMD_REG_CONTROL, unit->control);
    spin_unlock(&unit->lock);
}

// A full log stops for good: it is turned off, emptied and turned on again (section 2.5.2).
static void restart_log(struct amd_unit *unit)
{
    control(unit, 0, AMD_CONTROL_EVENT_LOG);
    for (unsigned int i = 0; i < STOP_POLLS; i++) {
        if (!(amd_read(unit, AMD_REG_STATUS) & AMD_STATUS_EVENT_RUNNING)) {
            break;
        }
        __builtin_ia32_pause();
    }
    for (unsigned int i = 0; i < AMD_RING_ENTRIES; i++) {
        unit->events[i] = (struct amd_event){{0, 0}};
    }
    unit->event_head = 0;
    amd_write(unit, AMD_REG_STATUS, AMD_STATUS_EVENT_OVERFLOW | AMD_STATUS_EVENT_INTERRUPT);
    amd_write(unit, AMD_REG_EVENT_BASE, heap_maddr(unit->events).a | AMD_RING_LENGTH);
    amd_write(unit, AMD_REG_EVENT_HEAD, 0);
    amd_write(unit, AMD_REG_EVENT_TAIL, 0);
    control(unit, AMD_CONTROL_EVENT_LOG, 0);
}

static void handle_event(struct amd_unit *unit, const struct amd_event *event)
{
    unsigned int code = amd_event_code(event);
    uint16_t id = amd_event_device(event);
    struct fault fault = {
        .what = event_name(code),
        .access = amd_event_is_interrupt(event) ? "interrupt at"
                  : amd_event_is_write(event)   ? "write to address"
                                                : "read from address",
        .sbdf = PCI_SBDF(unit->ivrs->segment, id >> 8, id & 0xff),
        .owner = amd_table_owner(id),
        .address = code == AMD_EVENT_MISPLACED ? FAULT_NOWHERE : event->q[1],
    };

    if (code == AMD_EVENT_ILLEGAL_COMMAND || code == AMD_EVENT_COMMAND_HARDWARE) {
        if (fault_may_be_said(&unit->window)) {
            log_error("IOMMU %u: %s at %lx", unit->index, event_name(code), event->q[1]);
        }
    } else if (fault_report(&unit->window, unit->index, &fault)) {
        spin_lock(&amd_lock);
        amd_table_silence(id);
        spin_unlock(&amd_lock);
    }
}

static void read_log(struct amd_unit *unit)
{
    uint64_t status = amd_read(unit, AMD_REG_STATUS);

    fault_window_update(&unit->window, unit->index);
    amd_write(unit, AMD_REG_STATUS, AMD_STATUS_EVENT_INTERRUPT | AMD_STATUS_WAIT_INTERRUPT);
    for (unsigned int i = 0; i < AMD_RING_ENTRIES; i++) {
        struct amd_event *slot = &unit->events[unit->event_head];
        struct amd_event event = {{__atomic_load_n(&slot->q[0], __ATOMIC_ACQUIRE), slot->q[1]}};

        if (!event.q[0]) {
            break;
        }
        slot->q[1] = 0;
        __atomic_store_n(&slot->q[0], 0, __ATOMIC_RELEASE);
        unit->event_head = (unit->event_head + 1) % AMD_RING_ENTRIES;
        handle_event(unit, &event);
    }
    amd_write(unit, AMD_REG_EVENT_HEAD, unit->event_head * sizeof(struct amd_event));
    if (status & AMD_STATUS_EVENT_OVERFLOW) {
        log_warning("IOMMU %u: event log overflowed, events were lost", unit->index);
        restart_log(unit);
    }
}

static void check_log(struct amd_unit *unit)
{
    if (__atomic_exchange_n(&unit->event_busy, true, __ATOMIC_ACQUIRE)) {
        return;
    }
    read_log(unit);
    __atomic_store_n(&unit->event_busy, false, __ATOMIC_RELEASE);
}

static void event_interrupt(void *data)
{
    struct amd_unit *unit = data;

    check_log(unit);
    if (unit->window.faults > TOO_MANY && !unit->polling) {
        unit->polling = true;
        control(unit, 0, AMD_CONTROL_EVENT_INTERRUPT);
        timer_set(&unit->poll, now() + SECOND);
    }
}

static void poll_log(void *data)
{
    struct amd_unit *unit = data;

    check_log(unit);
    if (unit->irq && fault_window_is_calm(&unit->window)) {
        unit->polling = false;
        control(unit, AMD_CONTROL_EVENT_INTERRUPT, 0);
        check_log(unit); // what came between
        return;
    }
    timer_set(&unit->poll, now() + SECOND);
}

static void program_interrupt(struct irq *irq, void *data)
{
    struct amd_unit *unit = data;
    struct interrupt_target target = msi_target(irq);
    struct msi_message message;

    iommu_plain_message(&target, &message);
    msi_enable(unit->sbdf, pci_find_capability(unit->sbdf, PCI_CAP_MSI), &message, 0);
}

// The unit's own interrupt is not remapped. It needs an APIC id below 256, as legacy tables do.
static bool use_interrupt(struct amd_unit *unit)
{
    uint16_t command = pci_read16(unit->sbdf, PCI_COMMAND);

    if (!pci_find_capability(unit->sbdf, PCI_CAP_MSI)) {
        return false;
    }
    unit->irq = irq_create(event_interrupt, unit);
    if (!unit->irq) {
        return false;
    }
    irq_set_reprogram(unit->irq, program_interrupt);
    pci_config_write(unit->sbdf, PCI_COMMAND, 2, command | PCI_COMMAND_MASTER);
    program_interrupt(unit->irq, unit);
    control(unit, AMD_CONTROL_EVENT_INTERRUPT, 0);
    return true;
}

int amd_events_init(struct amd_unit *unit)
{
    int error = timer_reserve(1);

    if (error) {
        log_error("IOMMU: no memory for its timer");
        return error;
    }
    timer_init(&unit->poll, 0, poll_log, unit);
    if (!use_interrupt(unit)) {
        log_info("IOMMU %u: has no interrupt, its event log is polled", unit->index);
        unit->polling = true;
        timer_set(&unit->poll, now() + SECOND);
    }
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
// The machine's I/O APICs (Intel 82093AA data sheet; the EOI register of version 0x20 and later).
// One struct line for each pin; ioapic_lock covers the index/window registers, the lines' state and
// the remapping hook. irqs are created and destroyed outside the lock, because a handler takes it:
// the line is marked bound meanwhile. Registers are only touched at well-known offsets; there is
// nothing to poll.
#include <x86/ioapic.h>

#include <bulkhead/acpi.h>
#include <bulkhead/console.h>
#include <bulkhead/debug_key.h>
#include <bulkhead/heap.h>
#include <bulkhead/spinlock.h>
#include <xen/errno.h>
#include <x86/io_port.h>
#include <x86/irq.h>
#include <x86/paging.h>

#define WINDOW_SIZE 0x44u
#define OFFSET_INDEX 0x00u
#define OFFSET_WINDOW 0x10u
#define OFFSET_EOI 0x40u
#define REGISTER_ID 0x00u
#define REGISTER_VERSION 0x01u
#define REGISTER_ENTRY(pin) (0x10u + 2 * (pin))

#define VERSION_WITH_EOI 0x20u
#define MAX_PINS 240u
#define NO_IO_APIC 0xffffffffu // an absent device reads so

#define ENTRY_ACTIVE_LOW (1ull << 13)
#define ENTRY_REMOTE_IRR (1ull << 14)
#define ENTRY_LEVEL (1ull << 15)
#define ENTRY_MASKED (1ull << 16)
#define ENTRY_DESTINATION 56

enum line_state { LINE_FREE, LINE_CHANGING, LINE_BOUND };

struct line {
    struct ioapic *ioapic;
    unsigned int pin;
    enum line_state state;
    bool reserved; // for the hypervisor
    bool level, active_low, masked;
    struct irq *irq;
    void (*handler)(void *data);
    void *data;
    uint64_t entry; // as last written, mask bit clear
};

struct ioapic {
    struct ioapic_info info;
    volatile uint8_t *registers;
    struct line *lines; // info.pins
};

int (*ioapic_remap)(uint8_t ioapic_id, unsigned int pin, const struct ioapic_route *route,
                    uint64_t *rte);

static struct spinlock ioapic_lock = SPINLOCK_INIT;
static struct ioapic ioapics[ACPI_MAX_IO_APICS];
static unsigned int ioapic_number;

static uint32_t read_register(const struct ioapic *ioapic, unsigned int index)
{
    mmio_write32(ioapic->registers + OFFSET_INDEX, index);
    return mmio_read32(ioapic->registers + OFFSET_WINDOW);
}

static void write_register(const struct ioapic *ioapic, unsigned int index, uint32_t value)
{
    mmio_write32(ioapic->registers + OFFSET_INDEX, index);
    mmio_write32(ioapic->registers + OFFSET_WINDOW, value);
}

// Writes a redirection entry, the half with the mask bit last when it opens and first when it
// closes, so that no interrupt goes to half a destination.
static void write_entry(const struct ioapic *ioapic, unsigned int pin, uint64_t entry)
{
    unsigned int index = REGISTER_ENTRY(pin);

    if (entry & ENTRY_MASKED) {
        write_register(ioapic, index, (uint32_t)entry);
        write_register(ioapic, index + 1, (uint32_t)(entry >> 32));
    } else {
        write_register(ioapic, index + 1, (uint32_t)(entry >> 32));
        write_register(ioapic, index, (uint32_t)entry);
    }
}

// Only the low half, whose other bits the line remembers: one pair of writes.
static void write_mask(const struct line *line)
{
    uint32_t low = (uint32_t)line->entry;

    write_register(line->ioapic, REGISTER_ENTRY(line->pin),
                   line->masked ? low | (uint32_t)ENTRY_MASKED : low);
}

static struct line *find_line(uint32_t gsi)
{
    for (unsigned int i = 0; i < ioapic_number; i++) {
        uint32_t pin = gsi - ioapics[i].info.gsi_base;

        if (gsi >= ioapics[i].info.gsi_base && pin < ioapics[i].info.pins) {
            return &ioapics[i].lines[pin];
        }
    }
    return NULL;
}

// Makes the entry for the line's irq and writes it. The old one is masked first: with remapping its
// table entry changes under it.
static int program(struct line *line)
{
    const struct ioapic *ioapic = line->ioapic;
    struct ioapic_route route = {
        .vector = irq_vector(line->irq),
        .destination = irq_destination_apic_id(line->irq),
        .level = line->level,
        .active_low = line->active_low,
    };
    int error = 0;

    write_entry(ioapic, line->pin, line->entry | ENTRY_MASKED);
    if (ioapic_remap) {
        error = ioapic_remap(ioapic->info.id, line->pin, &route, &line->entry);
    } else {
        line->entry = route.vector | (uint64_t)route.destination << ENTRY_DESTINATION;
    }
    if (error) {
        return error;
    }
    line->entry &= ~(ENTRY_MASKED | ENTRY_LEVEL | ENTRY_ACTIVE_LOW | ENTRY_REMOTE_IRR);
    line->entry |= (line->level ? ENTRY_LEVEL : 0) | (line->active_low ? ENTRY_ACTIVE_LOW : 0);
    write_entry(ioapic, line->pin, line->entry | (line->masked ? ENTRY_MASKED : 0));
    return 0;
}

// Ends the interrupt at the I/O APIC itself. Needed with remapping: the local APIC's EOI carries
// the vector that was delivered, which the entry does not hold. Old ones forget the interrupt when
// the entry turns edge-triggered for a moment.
static void end_interrupt(const struct line *line)
{
    const struct ioapic *ioapic = line->ioapic;
    uint32_t low = (uint32_t)line->entry | (uint32_t)ENTRY_MASKED;

    if (ioapic->info.version >= VERSION_WITH_EOI) {
        mmio_write32(ioapic->registers + OFFSET_EOI, (uint8_t)line->entry);
        return;
    }
    write_register(ioapic, REGISTER_ENTRY(line->pin), low & ~(uint32_t)ENTRY_LEVEL);
    write_register(ioapic, REGISTER_ENTRY(line->pin), low);
}

static void line_interrupt(void *data)
{
    struct line *line = data;

    if (line->level) {
        spin_lock(&ioapic_lock);
        line->masked = true;
        write_mask(line);
        if (ioapic_remap) {
            end_interrupt(line);
        }
        spin_unlock(&ioapic_lock);
    }
    line->handler(line->data);
}

static void line_moved(struct irq *irq, void *data)
{
    struct line *line = data;

    (void)irq;
    spin_lock(&ioapic_lock);
    if (program(line)) {
        log_error("I/O APIC %u pin %u: its interrupt cannot be remapped", line->ioapic->info.id,
                  line->pin);
    }
    spin_unlock(&ioapic_lock);
}

// Makes a free line this caller's to change.
static int claim(struct line *line, bool for_guest)
{
    int error = 0;

    if (!line) {
        return -XEN_ENOENT;
    }
    spin_lock(&ioapic_lock);
    if (for_guest && line->reserved) {
        error = -XEN_EPERM;
    } else if (line->state != LINE_FREE) {
        error = -XEN_EBUSY;
    } else {
        line->state = LINE_CHANGING;
    }
    spin_unlock(&ioapic_lock);
    return error;
}

// Gives a line that was claimed, and is masked, back.
static void release(struct line *line)
{
    if (line->irq) {
        irq_destroy(line->irq);
        line->irq = NULL;
    }
    __atomic_store_n(&line->state, LINE_FREE, __ATOMIC_RELEASE);
}

static int bind(uint32_t gsi, const struct line *wanted, bool for_guest)
{
    struct line *line = find_line(gsi);
    int error = claim(line, for_guest);

    if (error) {
        return error;
    }
    line->level = wanted->level;
    line->active_low = wanted->active_low;
    line->handler = wanted->handler;
    line->data = wanted->data;
    line->masked = false;
    line->irq = irq_create(line_interrupt, line);
    if (!line->irq) {
        release(line);
        return -XEN_ENOSPC;
    }
    irq_set_reprogram(line->irq, line_moved);
    spin_lock(&ioapic_lock);
    error = program(line);
    if (!error) {
        line->state = LINE_BOUND;
    }
    spin_unlock(&ioapic_lock);
    if (error) {
        release(line);
    }
    return error;
}

int ioapic_bind(uint32_t gsi, bool level, bool active_low, void (*handler)(void *data), void *data)
{
    const struct line wanted = {
        .level = level, .active_low = active_low, .handler = handler, .data = data};

    return bind(gsi, &wanted, false);
}

int ioapic_bind_guest(uint32_t gsi, bool level, bool active_low, void (*handler)(void *data),
                      void *data)
{
    const struct line wanted = {
        .level = level, .active_low = active_low, .handler = handler, .data = data};

    return bind(gsi, &wanted, true);
}

// The line if it is bound, with the lock held; else NULL without it.
static struct line *lock_bound_line(uint32_t gsi)
{
    struct line *line = find_line(gsi);

    if (!line) {
        return NULL;
    }
    spin_lock(&ioapic_lock);
    if (line->state == LINE_BOUND) {
        return line;
    }
    spin_unlock(&ioapic_lock);
    return NULL;
}

void ioapic_unbind(uint32_t gsi)
{
    struct line *line = lock_bound_line(gsi);

    if (!line) {
        return;
    }
    line->state = LINE_CHANGING;
    line->masked = true;
    write_mask(line);
    end_interrupt(line); // or a level that was never served blocks the pin for its next owner
    if (ioapic_remap) {
        ioapic_remap(line->ioapic->info.id, line->pin, NULL, NULL);
    }
    line->entry = 0;
    write_entry(line->ioapic, line->pin, ENTRY_MASKED);
    spin_unlock(&ioapic_lock);
    release(line);
}

int ioapic_set_trigger(uint32_t gsi, bool level, bool active_low)
{
    struct line *line = lock_bound_line(gsi);
    int error = 0;

    if (!line) {
        return -XEN_ENOENT;
    }
    if (line->level != level || line->active_low != active_low) {
        line->masked = true;
        write_mask(line);
        end_interrupt(line); // of the old kind
        line->level = level;
        line->active_low = active_low;
        line->masked = false;
        error = program(line);
    }
    spin_unlock(&ioapic_lock);
    return error;
}

static void set_masked(uint32_t gsi, bool masked)
{
    struct line *line = lock_bound_line(gsi);

    if (!line) {
        return;
    }
    if (line->masked != masked) {
        line->masked = masked;
        write_mask(line);
    }
    spin_unlock(&ioapic_lock);
}

void ioapic_mask(uint32_t gsi)
{
    set_masked(gsi, true);
}

void ioapic_unmask(uint32_t gsi)
{
    set_masked(gsi, false);
}

int ioapic_set_affinity(uint32_t gsi, unsigned int cpu)
{
    struct line *line = lock_bound_line(gsi);
    struct irq *irq;

    if (!line) {
        return -XEN_ENOENT;
    }
    irq = line->irq;
    spin_unlock(&ioapic_lock);
    return irq_set_affinity(irq, cpu);
}

void ioapic_reserve(uint32_t gsi)
{
    struct line *line = find_line(gsi);

    if (line) {
        line->reserved = true;
    }
}

void ioapic_reprogram(void)
{
    spin_lock(&ioapic_lock);
    for (unsigned int i = 0; i < ioapic_number; i++) {
        for (unsigned int pin = 0; pin < ioapics[i].info.pins; pin++) {
            struct line *line = &ioapics[i].lines[pin];

            if (line->state == LINE_BOUND && program(line)) {
                log_error("I/O APIC %u pin %u: its interrupt cannot be remapped",
                          ioapics[i].info.id, pin);
            }
        }
    }
    spin_unlock(&ioapic_lock);
}

unsigned int ioapic_count(void)
{
    return ioapic_number;
}

const struct ioapic_info *ioapic_get(unsigned int index)
{
    return index < ioapic_number ? &ioapics[index].info : NULL;
}

static bool overlaps_another(const struct ioapic_info *info)
{
    for (unsigned int i = 0; i < ioapic_number; i++) {
        const struct ioapic_info *other = &ioapics[i].info;

        if (other->address.a == info->address.a ||
            (info->gsi_base < other->gsi_base + other->pins &&
             other->gsi_base < info->gsi_base + info->pins)) {
            return true;
        }
    }
    return false;
}

// Looks at one I/O APIC that the firmware names; false with a message when it is not usable.
static bool probe(const struct acpi_io_apic *table, struct ioapic *ioapic)
{
    uint32_t version;

    ioapic->registers = hv_ioremap(MADDR(table->address), WINDOW_SIZE);
    if (!ioapic->registers) {
        return false;
    }
    version = read_register(ioapic, REGISTER_VERSION);
    ioapic->info = (struct ioapic_info){
        .id = table->id,
        .version = (uint8_t)version,
        .address = MADDR(table->address),
        .gsi_base = table->gsi_base,
        .pins = (version >> 16 & 0xff) + 1,
    };
    if (version == NO_IO_APIC || ioapic->info.pins > MAX_PINS ||
        ioapic->info.gsi_base > UINT32_MAX - MAX_PINS || overlaps_another(&ioapic->info)) {
        log_warning("I/O APIC %u at 0x%x is not usable", table->id, table->address);
        hv_iounmap((void *)ioapic->registers, WINDOW_SIZE);
        return false;
    }
    ioapic->lines = heap_alloc_array(ioapic->info.pins, sizeof(struct line));
    if (!ioapic->lines) {
        hv_iounmap((void *)ioapic->registers, WINDOW_SIZE);
        return false;
    }
    return true;
}

static void dump(void)
{
    static const char *const states[] = {"free", "changing", "bound"};

    spin_lock(&ioapic_lock);
    for (unsigned int i = 0; i < ioapic_number; i++) {
        for (unsigned int pin = 0; pin < ioapics[i].info.pins; pin++) {
            const struct line *line = &ioapics[i].lines[pin];

            if (line->state != LINE_FREE || line->reserved) {
                log_info("GSI %u: %s, entry %08x%08x%s%s", ioapics[i].info.gsi_base + pin,
                         states[line->state], read_register(&ioapics[i], REGISTER_ENTRY(pin) + 1),
                         read_register(&ioapics[i], REGISTER_ENTRY(pin)),
                         line->masked ? ", masked" : "", line->reserved ? ", reserved" : "");
            }
        }
    }
    spin_unlock(&ioapic_lock);
}

void ioapic_init(void)
{
    bool level, active_low;
    uint32_t gsi;

    for (unsigned int i = 0; i < acpi_info.io_apic_count; i++) {
        struct ioapic *ioapic = &ioapics[ioapic_number];

        if (!probe(&acpi_info.io_apics[i], ioapic)) {
            continue;
        }
        for (unsigned int pin = 0; pin < ioapic->info.pins; pin++) {
            ioapic->lines[pin].ioapic = ioapic;
            ioapic->lines[pin].pin = pin;
            write_entry(ioapic, pin, ENTRY_MASKED);
        }
        log_info("I/O APIC %u: version 0x%x, GSI %u to %u", ioapic->info.id, ioapic->info.version,
                 ioapic->info.gsi_base, ioapic->info.gsi_base + ioapic->info.pins - 1);
        ioapic_number++;
    }
    // The interval timer is the hypervisor's.
    acpi_isa_irq_to_gsi(0, &gsi, &level, &active_low);
    ioapic_reserve(gsi);
    debug_key_register('z', "show I/O APICs", dump);
}

// SPDX-License-Identifier: Apache-2.0
// Virtual I/O APICs (Intel 82093AA: version 0x11, no EOI register). A domain has one or more chips;
// one lock for all of them covers pins and index registers, also in interrupt handlers. It is outer
// to the I/O APIC driver's lock and to whatever waking a vcpu takes.
// A level-triggered pin is up while its wire is asserted or a physical interrupt waits for the
// guest. It is delivered once (remote IRR) until the guest's EOI, which also takes the physical
// interrupt as served and lets the physical line in again; if the device still asserts it, the line
// fires anew. A physical line is bound when the guest first unmasks its pin, and stays bound.
#include <x86/vioapic.h>

#include <bulkhead/console.h>
#include <bulkhead/debug_key.h>
#include <bulkhead/domain.h>
#include <bulkhead/heap.h>
#include <bulkhead/io.h>
#include <xen/hvm/save.h>
#include <x86/ioapic.h>
#include <x86/vlapic.h>

#define VERSION 0x11u
#define WINDOW_SIZE 0x400u
#define OFFSET_INDEX 0x00u
#define OFFSET_WINDOW 0x10u
#define INDEX_ID 0x00u
#define INDEX_VERSION 0x01u
#define INDEX_ARBITRATION 0x02u
#define INDEX_ENTRIES 0x10u
#define ID_BITS 0x0f000000u

#define ENTRY_LOGICAL (1ull << 11)
#define ENTRY_STATUS (1ull << 12)
#define ENTRY_ACTIVE_LOW (1ull << 13)
#define ENTRY_REMOTE_IRR (1ull << 14)
#define ENTRY_LEVEL (1ull << 15)
#define ENTRY_MASKED (1ull << 16)
#define ENTRY_READ_ONLY (ENTRY_STATUS | ENTRY_REMOTE_IRR)
#define ENTRY_WRITABLE (0xff0000000001afffull & ~ENTRY_READ_ONLY)

struct vioapic_pin {
    struct vioapic_chip *chip;
    uint64_t entry; // as the guest reads it
    uint32_t machine_gsi;
    bool mirrors;  // the physical line is bound when the guest unmasks the pin
    bool bound;    // to machine_gsi
    bool asserted; // the virtual wire
    bool physical; // a physical level interrupt waits for the guest's EOI
};

struct vioapic_chip {
    struct domain *domain;
    struct io_handler handler;
    uint32_t index, id;
    uint32_t gsi_base;
    unsigned int pin_count;
    struct vioapic_pin pins[];
};

struct vioapic {
    struct spinlock lock;
    unsigned int chip_count;
    struct vioapic_chip *chips[];
};

static struct vioapic_pin *find_pin(const struct vioapic *vioapic, uint32_t gsi)
{
    for (unsigned int i = 0; vioapic && i < vioapic->chip_count; i++) {
        struct vioapic_chip *chip = vioapic->chips[i];

        if (gsi >= chip->gsi_base && gsi - chip->gsi_base < chip->pin_count) {
            return &chip->pins[gsi - chip->gsi_base];
        }
    }
    return NULL;
}

static bool deliver(const struct vioapic_pin *pin)
{
    uint8_t mode = pin->entry >> 8 & 7;

    if (mode != VLAPIC_FIXED && mode != VLAPIC_LOWEST_PRIORITY && mode != VLAPIC_NMI) {
        return false; // nothing is wired that wants SMI, INIT or ExtINT
    }
    return vlapic_deliver(pin->chip->domain, (uint32_t)(pin->entry >> 56),
                          pin->entry & ENTRY_LOGICAL, mode, (uint8_t)pin->entry,
                          pin->entry & ENTRY_LEVEL) > 0;
}

// Delivers a level-triggered pin that is up and may be delivered.
static void update_level(struct vioapic_pin *pin)
{
    if ((pin->entry & (ENTRY_LEVEL | ENTRY_MASKED | ENTRY_REMOTE_IRR)) == ENTRY_LEVEL &&
        (pin->asserted || pin->physical) && deliver(pin)) {
        pin->entry |= ENTRY_REMOTE_IRR;
    }
}

// The guest has served what was delivered.
static void end_service(struct vioapic_pin *pin)
{
    pin->entry &= ~ENTRY_REMOTE_IRR;
    if (pin->physical) {
        pin->physical = false;
        ioapic_unmask(pin->machine_gsi);
    }
    update_level(pin);
}

static void physical_interrupt(void *data)
{
    struct vioapic_pin *pin = data;
    struct vioapic *vioapic = pin->chip->domain->arch.vioapic;

    spin_lock(&vioapic->lock);
    // While it is being unbound nothing is taken: whose line this is next must not depend on our
    // guest's EOI.
    if (pin->bound && (pin->entry & ENTRY_LEVEL)) {
        pin->physical = true;
        update_level(pin);
    } else if (pin->bound && !(pin->entry & ENTRY_MASKED)) {
        deliver(pin);
    }
    spin_unlock(&vioapic->lock);
}

// Binds the physical line behind a pin that the guest has unmasked, or follows its trigger.
static void connect(struct vioapic_pin *pin)
{
    bool level = pin->entry & ENTRY_LEVEL, active_low = pin->entry & ENTRY_ACTIVE_LOW;
    int error;

    if (pin->bound) {
        pin->physical = pin->physical && level; // or the line would wait for an EOI for ever
        error = ioapic_set_trigger(pin->machine_gsi, level, active_low);
    } else {
        error = ioapic_bind_guest(pin->machine_gsi, level, active_low, physical_interrupt, pin);
        pin->bound = !error;
    }
    if (error) {
        log_message(LOG_GUEST_INFO, "d%u: GSI %u stays unconnected (%d)", pin->chip->domain->id,
                    pin->machine_gsi, error);
    }
}

static void write_entry(struct vioapic_pin *pin, uint64_t value)
{
    uint64_t old = pin->entry;

    pin->entry = (value & ENTRY_WRITABLE) | (old & ENTRY_READ_ONLY);
    // An edge-triggered pin has no remote IRR; software clears a stuck one that way.
    if (!(pin->entry & ENTRY_LEVEL)) {
        pin->entry &= ~ENTRY_REMOTE_IRR;
    }
    if (pin->mirrors && !(pin->entry & ENTRY_MASKED)) {
        connect(pin);
    }
    if ((old & ENTRY_REMOTE_IRR) && !(pin->entry & ENTRY_REMOTE_IRR)) {
        end_service(pin);
    } else {
        update_level(pin);
    }
}

static uint32_t read_register(const struct vioapic_chip *chip)
{
    unsigned int half = chip->index - INDEX_ENTRIES;

    switch (chip->index) {
    case INDEX_ID:
    case INDEX_ARBITRATION:
        return chip->id;
    case INDEX_VERSION:
        return VERSION | (chip->pin_count - 1) << 16;
    default:
        if (chip->index < INDEX_ENTRIES || half / 2 >= chip->pin_count) {
            return 0;
        }
        return (uint32_t)(chip->pins[half / 2].entry >> half % 2 * 32);
    }
}

static void write_register(struct vioapic_chip *chip, uint32_t value)
{
    unsigned int half = chip->index - INDEX_ENTRIES;
    struct vioapic_pin *pin;

    if (chip->index == INDEX_ID) {
        chip->id = value & ID_BITS;
        return;
    }
    if (chip->index < INDEX_ENTRIES || half / 2 >= chip->pin_count) {
        return;
    }
    pin = &chip->pins[half / 2];
    if (half % 2) {
        write_entry(pin, (uint64_t)value << 32 | (uint32_t)pin->entry);
    } else {
        write_entry(pin, (pin->entry & ~0xffffffffull) | value);
    }
}

static void read_window(struct vcpu *v, void *opaque, uint64_t addr, unsigned int size,
                        uint64_t *value)
{
    struct vioapic_chip *chip = opaque;
    struct vioapic *vioapic = v->domain->arch.vioapic;
    uint64_t offset = addr - chip->handler.start;
    uint32_t whole = 0;

    spin_lock(&vioapic->lock);
    if ((offset & ~3ull) == OFFSET_INDEX) {
        whole = chip->index;
    } else if ((offset & ~3ull) == OFFSET_WINDOW) {
        whole = read_register(chip);
    }
    spin_unlock(&vioapic->lock);
    *value = offset % 4 + size <= 4 ? whole >> offset % 4 * 8 : 0;
}

static void write_window(struct vcpu *v, void *opaque, uint64_t addr, unsigned int size,
                         uint64_t value)
{
    struct vioapic_chip *chip = opaque;
    struct vioapic *vioapic = v->domain->arch.vioapic;
    uint64_t offset = addr - chip->handler.start;

    spin_lock(&vioapic->lock);
    if (offset == OFFSET_INDEX) {
        chip->index = (uint8_t)value;
    } else if (offset == OFFSET_WINDOW && size == 4) {
        write_register(chip, (uint32_t)value);
    }
    spin_unlock(&vioapic->lock);
}

void vioapic_set_line(struct domain *d, uint32_t gsi, bool asserted)
{
    struct vioapic *vioapic = d->arch.vioapic;
    struct vioapic_pin *pin = find_pin(vioapic, gsi);
    bool rises;

    if (!pin) {
        return;
    }
    spin_lock(&vioapic->lock);
    rises = asserted && !pin->asserted;
    pin->asserted = asserted;
    if (pin->entry & ENTRY_LEVEL) {
        update_level(pin);
    } else if (rises && !(pin->entry & ENTRY_MASKED)) {
        deliver(pin);
    }
    spin_unlock(&vioapic->lock);
}

void vioapic_eoi(struct domain *d, uint8_t vector)
{
    struct vioapic *vioapic = d->arch.vioapic;

    if (!vioapic) {
        return;
    }
    spin_lock(&vioapic->lock);
    for (unsigned int i = 0; i < vioapic->chip_count; i++) {
        struct vioapic_chip *chip = vioapic->chips[i];

        for (unsigned int n = 0; n < chip->pin_count; n++) {
            struct vioapic_pin *pin = &chip->pins[n];

            if ((pin->entry & ENTRY_REMOTE_IRR) && (uint8_t)pin->entry == vector) {
                end_service(pin);
            }
        }
    }
    spin_unlock(&vioapic->lock);
}

int vioapic_bind_line(struct domain *d, uint32_t guest_gsi, uint32_t machine_gsi)
{
    struct vioapic *vioapic = d->arch.vioapic;
    struct vioapic_pin *pin = find_pin(vioapic, guest_gsi);
    int error = -XEN_EEXIST;

    if (!pin) {
        return -XEN_ENOENT;
    }
    spin_lock(&vioapic->lock);
    if (!pin->bound && !pin->mirrors) {
        pin->machine_gsi = machine_gsi;
        error = ioapic_bind_guest(machine_gsi, true, true, physical_interrupt, pin);
        pin->bound = !error;
    }
    spin_unlock(&vioapic->lock);
    return error;
}

// Without the lock held: the handler, which takes it, is waited for.
static void unbind(struct vioapic_pin *pin)
{
    struct vioapic *vioapic = pin->chip->domain->arch.vioapic;
    bool bound;

    spin_lock(&vioapic->lock);
    bound = pin->bound;
    pin->bound = false;
    pin->physical = false;
    spin_unlock(&vioapic->lock);
    if (bound) {
        ioapic_unbind(pin->machine_gsi);
    }
}

void vioapic_unbind_line(struct domain *d, uint32_t guest_gsi)
{
    struct vioapic_pin *pin = find_pin(d->arch.vioapic, guest_gsi);

    if (pin && !pin->mirrors) {
        unbind(pin);
    }
}

uint32_t vioapic_gsi_count(const struct domain *d)
{
    const struct vioapic *vioapic = d->arch.vioapic;
    uint32_t count = 0;

    for (unsigned int i = 0; vioapic && i < vioapic->chip_count; i++) {
        count = MAX(count, vioapic->chips[i]->gsi_base + vioapic->chips[i]->pin_count);
    }
    return count;
}

static void reset_chip(struct vioapic_chip *chip)
{
    chip->index = 0;
    for (unsigned int i = 0; i < chip->pin_count; i++) {
        chip->pins[i].entry = ENTRY_MASKED;
    }
}

void vioapic_reset(struct domain *d)
{
    struct vioapic *vioapic = d->arch.vioapic;

    for (unsigned int i = 0; vioapic && i < vioapic->chip_count; i++) {
        for (unsigned int n = 0; n < vioapic->chips[i]->pin_count; n++) {
            struct vioapic_pin *pin = &vioapic->chips[i]->pins[n];

            if (pin->mirrors) {
                unbind(pin);
            }
        }
        reset_chip(vioapic->chips[i]);
    }
}

static struct vioapic_chip *create_chip(struct domain *d, uint64_t address, uint8_t id,
                                        uint32_t gsi_base, unsigned int pins)
{
    struct vioapic_chip *chip = heap_alloc(sizeof(*chip) + pins * sizeof(struct vioapic_pin));

    if (!chip) {
        return NULL;
    }
    chip->domain = d;
    chip->id = (uint32_t)id << 24;
    chip->gsi_base = gsi_base;
    chip->pin_count = pins;
    for (unsigned int i = 0; i < pins; i++) {
        chip->pins[i].chip = chip;
        chip->pins[i].machine_gsi = gsi_base + i;
    }
    reset_chip(chip);
    chip->handler = (struct io_handler){
        .space = IO_MEMORY,
        .start = address,
        .size = WINDOW_SIZE,
        .opaque = chip,
        .read = read_window,
        .write = write_window,
    };
    io_handler_add(d, &chip->handler);
    return chip;
}

static struct vioapic *create_empty(unsigned int chips)
{
    struct vioapic *vioapic = heap_alloc(sizeof(*vioapic) + chips * sizeof(struct vioapic_chip *));

    if (vioapic) {
        spin_lock_init(&vioapic->lock);
    }
    return vioapic;
}

// Debug key: what domain 0 has made of its lines.
static void dump_domain0(void)
{
    struct vioapic *vioapic = domain0->arch.vioapic;

    spin_lock(&vioapic->lock);
    for (unsigned int i = 0; i < vioapic->chip_count; i++) {
        const struct vioapic_chip *chip = vioapic->chips[i];

        for (unsigned int n = 0; n < chip->pin_count; n++) {
            const struct vioapic_pin *pin = &chip->pins[n];

            if (pin->entry != ENTRY_MASKED || pin->bound) {
                log_info("GSI %u: entry %016llx%s%s%s", chip->gsi_base + n,
                         (unsigned long long)pin->entry, pin->asserted ? ", asserted" : "",
                         pin->physical ? ", waits for EOI" : "", pin->bound ? ", bound" : "");
            }
        }
    }
    spin_unlock(&vioapic->lock);
}

int vioapic_create_domain0(struct domain *d)
{
    unsigned int count = ioapic_count();
    struct vioapic *vioapic = create_empty(count);

    if (!vioapic) {
        return -XEN_ENOMEM;
    }
    d->arch.vioapic = vioapic;
    for (unsigned int i = 0; i < count; i++) {
        const struct ioapic_info *info = ioapic_get(i);
        struct vioapic_chip *chip =
            create_chip(d, info->address.a, info->id, info->gsi_base, info->pins);

        if (!chip) {
            vioapic_destroy(d);
            return -XEN_ENOMEM;
        }
        for (unsigned int n = 0; n < chip->pin_count; n++) {
            chip->pins[n].mirrors = true;
        }
        vioapic->chips[vioapic->chip_count++] = chip;
    }
    debug_key_register('Z', "show domain 0's I/O APICs", dump_domain0);
    return 0;
}

int vioapic_create(struct domain *d)
{
    struct vioapic *vioapic = create_empty(1);

    if (!vioapic) {
        return -XEN_ENOMEM;
    }
    d->arch.vioapic = vioapic;
    vioapic->chips[0] = create_chip(d, VIOAPIC_DEFAULT_BASE, 0, 0, VIOAPIC_DEFAULT_PINS);
    if (!vioapic->chips[0]) {
        vioapic_destroy(d);
        return -XEN_ENOMEM;
    }
    vioapic->chip_count = 1;
    return 0;
}

void vioapic_destroy(struct domain *d)
{
    struct vioapic *vioapic = d->arch.vioapic;

    if (!vioapic) {
        return;
    }
    for (unsigned int i = 0; i < vioapic->chip_count; i++) {
        struct vioapic_chip *chip = vioapic->chips[i];

        for (unsigned int n = 0; n < chip->pin_count; n++) {
            unbind(&chip->pins[n]);
        }
        io_handler_remove(&chip->handler);
        heap_free(chip);
    }
    d->arch.vioapic = NULL;
    heap_free(vioapic);
}

// The one chip of a domain made by vioapic_create, or NULL.
static struct vioapic_chip *public_chip(const struct domain *d)
{
    const struct vioapic *vioapic = d->arch.vioapic;

    return vioapic && vioapic->chip_count == 1 && !vioapic->chips[0]->pins[0].mirrors
               ? vioapic->chips[0]
               : NULL;
}

int vioapic_save(struct domain *d, struct hvm_hw_vioapic *record)
{
    const struct vioapic_chip *chip = public_chip(d);

    _Static_assert(VIOAPIC_NUM_PINS == VIOAPIC_DEFAULT_PINS, "the record holds our pins");
    if (!chip) {
        return -XEN_ENODEV;
    }
    *record = (struct hvm_hw_vioapic){
        .base_address = chip->handler.start,
        .ioregsel = chip->index,
        .id = chip->id >> 24,
    };
    for (unsigned int i = 0; i < VIOAPIC_DEFAULT_PINS; i++) {
        record->redirtbl[i].bits = chip->pins[i].entry;
    }
    return 0;
}

int vioapic_load_check(struct domain *d, const struct hvm_hw_vioapic *record)
{
    if (!public_chip(d)) {
        return -XEN_ENODEV;
    }
    return record->base_address != VIOAPIC_DEFAULT_BASE || record->ioregsel > 0xff ? -XEN_EINVAL
                                                                                   : 0;
}

int vioapic_load(struct domain *d, const struct hvm_hw_vioapic *record)
{
    struct vioapic_chip *chip = public_chip(d);
    int error = vioapic_load_check(d, record);

    if (error) {
        return error;
    }
    spin_lock(&d->arch.vioapic->lock);
    chip->index = record->ioregsel;
    chip->id = record->id << 24 & ID_BITS;
    for (unsigned int i = 0; i < VIOAPIC_DEFAULT_PINS; i++) {
        uint64_t entry = record->redirtbl[i].bits & (ENTRY_WRITABLE | ENTRY_REMOTE_IRR);

        chip->pins[i].entry = entry & ENTRY_LEVEL ? entry : entry & ~ENTRY_REMOTE_IRR;
    }
    spin_unlock(&d->arch.vioapic->lock);
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
// The fake Intel IOMMU; see fake_intel.h.
#include "fake_intel.h"

#include <x86/io_port.h>

#include <assert.h>
#include <string.h>

#define RECORDS_OFFSET 0x220u
#define ADDRESS 0xffffffffff000UL
#define ONE_SHOT (INTEL_SET_ROOT | INTEL_SET_IRT)

struct intel_entry fake_descriptors[FAKE_DESCRIPTORS];
unsigned int fake_descriptor_count;

static uint32_t get32(unsigned int offset)
{
    uint32_t value;

    memcpy(&value, fake_registers + offset, sizeof(value));
    return value;
}

static void set32(unsigned int offset, uint32_t value)
{
    memcpy(fake_registers + offset, &value, sizeof(value));
}

static void execute(const struct intel_entry *d)
{
    if (fake_descriptor_count < FAKE_DESCRIPTORS) {
        fake_descriptors[fake_descriptor_count++] = *d;
    }
    if ((d->q[0] & 15) == 5) {
        *(uint32_t *)d->q[1] = (uint32_t)(d->q[0] >> 32);
    }
}

static void run_queue(void)
{
    const struct intel_entry *queue =
        (const void *)(fake_register(INTEL_REG_QUEUE_ADDRESS) & ADDRESS);
    uint64_t head = fake_register(INTEL_REG_QUEUE_HEAD);

    while (head != get32(INTEL_REG_QUEUE_TAIL)) {
        execute(&queue[head / sizeof(*queue)]);
        head = (head + sizeof(*queue)) % PAGE_SIZE;
    }
    fake_set_register(INTEL_REG_QUEUE_HEAD, head);
}

static void work(void)
{
    uint32_t command = get32(INTEL_REG_COMMAND), status = get32(INTEL_REG_STATUS);

    if (fake_dead) {
        return;
    }
    set32(INTEL_REG_STATUS, (command & (INTEL_LASTING | ONE_SHOT)) | (status & ONE_SHOT));
    set32(INTEL_REG_PROTECTED, 0);
    if (command & INTEL_QUEUE) {
        run_queue();
    }
}

// Bits that are cleared by writing ones.
static void written(volatile void *address, unsigned int size, uint64_t old)
{
    unsigned int offset = (unsigned int)((volatile uint8_t *)address - fake_registers);
    bool is_record = offset >= RECORDS_OFFSET && offset < RECORDS_OFFSET + FAKE_RECORDS * 16;

    if (is_record) {
        assert(offset % 16 == 12 && size == 4);
        set32(offset, (uint32_t)old & ~get32(offset));
    } else if (offset == INTEL_REG_FAULT_STATUS) {
        set32(offset, (uint32_t)old & ~get32(offset));
    }
    work();
}

void fake_intel_start(uint64_t cap, uint64_t ecap)
{
    memset(fake_registers, 0, sizeof(fake_registers));
    cap |= (uint64_t)(RECORDS_OFFSET / 16) << 24 | (uint64_t)(FAKE_RECORDS - 1) << 40;
    fake_set_register(INTEL_REG_CAP, cap);
    fake_set_register(INTEL_REG_ECAP, ecap);
    fake_written = written;
    fake_work = work;
}

struct intel_entry fake_context(uint16_t id)
{
    const struct intel_entry *root = (const void *)(fake_register(INTEL_REG_ROOT) & ADDRESS);
    const struct intel_entry *table = (const void *)(root[id >> 8].q[0] & ADDRESS);

    return root[id >> 8].q[0] & 1 ? table[id & 0xff] : (struct intel_entry){{0, 0}};
}

uint64_t fake_interrupt_entry(uint16_t id, uint64_t address, uint32_t data)
{
    uint64_t irta = fake_register(INTEL_REG_IRT_ADDRESS);
    const struct intel_entry *table = (const void *)(irta & ADDRESS);
    unsigned int index = (address >> 5 & 0x7fff) | (address & 4 ? 0x8000 : 0);
    const struct intel_entry *e;

    if (!(address & 0x10)) {
        return 0; // not remappable
    }
    index += address & 8 ? data & 0xffff : 0;
    if (index >= 2u << (irta & 15)) {
        return 0;
    }
    e = &table[index];
    switch (e->q[1] >> 18 & 3) {
    case 1:
        return e->q[0] & 1 && (uint16_t)e->q[1] == id ? e->q[0] : 0;
    case 2:
        return e->q[0] & 1 && id >> 8 >= (e->q[1] >> 8 & 0xff) && id >> 8 <= (e->q[1] & 0xff)
                   ? e->q[0]
                   : 0;
    default:
        return 0;
    }
}

void fake_fault(uint16_t id, uint8_t reason, uint64_t address, bool write)
{
    for (unsigned int i = 0; i < FAKE_RECORDS; i++) {
        unsigned int offset = RECORDS_OFFSET + i * 16;

        if (!(fake_register(offset + 8) >> 63)) {
            fake_set_register(offset, address);
            fake_set_register(offset + 8,
                              1UL << 63 | (write ? 0 : 1UL << 62) | (uint64_t)reason << 32 | id);
            set32(INTEL_REG_FAULT_STATUS, get32(INTEL_REG_FAULT_STATUS) | INTEL_FAULT_PENDING);
            return;
        }
    }
    set32(INTEL_REG_FAULT_STATUS, get32(INTEL_REG_FAULT_STATUS) | INTEL_FAULT_OVERFLOW);
}

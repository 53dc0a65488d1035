// SPDX-License-Identifier: Apache-2.0
// The fake AMD IOMMU; see fake_unit.h.
#include "fake_unit.h"

#include <assert.h>
#include <string.h>

struct amd_command fake_commands[FAKE_COMMANDS];
unsigned int fake_command_count;

static void execute(const struct amd_command *c)
{
    if (fake_command_count < FAKE_COMMANDS) {
        fake_commands[fake_command_count++] = *c;
    }
    if (c->q[0] >> 60 == 1) {
        *(uint64_t *)(c->q[0] & 0xffffffffffff8) = c->q[1];
    }
}

void fake_amd_work(void)
{
    const struct amd_command *ring =
        (const void *)(fake_register(AMD_REG_COMMAND_BASE) & 0xffffffffff000);
    uint64_t head = fake_register(AMD_REG_COMMAND_HEAD);
    uint64_t needed = AMD_CONTROL_ENABLE | AMD_CONTROL_COMMANDS;

    if (fake_dead || (fake_register(AMD_REG_CONTROL) & needed) != needed) {
        return;
    }
    while (head != fake_register(AMD_REG_COMMAND_TAIL)) {
        execute(&ring[head / sizeof(*ring)]);
        head = (head + sizeof(*ring)) % 4096;
    }
    fake_set_register(AMD_REG_COMMAND_HEAD, head);
}

const struct amd_dte *fake_dte(uint16_t id)
{
    const struct amd_dte *table =
        (const void *)(fake_register(AMD_REG_DEVICE_TABLE) & 0xffffffffff000);
    uint64_t entries = ((fake_register(AMD_REG_DEVICE_TABLE) & 0x1ff) + 1) * 4096 / 32;

    assert(id < entries);
    return &table[id];
}

uint32_t fake_remap(uint16_t id, unsigned int index)
{
    const struct amd_dte *dte = fake_dte(id);
    const uint32_t *entries = (const void *)(dte->q[2] & 0xfffffffffffc0);
    uint32_t entry;

    if (!(dte->q[2] & 1) || (dte->q[2] >> 60 & 3) != 2 || index >= 1u << (dte->q[2] >> 1 & 15)) {
        return 0;
    }
    entry = entries[index];
    return entry & 1 ? entry : 0;
}

void fake_log_event(uint64_t first, uint64_t second)
{
    struct amd_event *log = (void *)(fake_register(AMD_REG_EVENT_BASE) & 0xffffffffff000);
    uint64_t tail = fake_register(AMD_REG_EVENT_TAIL);

    log[tail / sizeof(*log)] = (struct amd_event){{first, second}};
    fake_set_register(AMD_REG_EVENT_TAIL, (tail + sizeof(*log)) % 4096);
}

// SPDX-License-Identifier: Apache-2.0
// Random hypercalls: most have a known number and operation and an argument of the right shape,
// whose fields are nearly right; some are random altogether, some are batches. Interrupts stay off,
// so that nothing here depends on what the hypercalls do to shared_info or to event channels.
// Arguments and lists lie outside the arena, whose pages the hypercalls lose and replace, and are
// pointed to through the window, where nothing follows them.

#include "hostile.h"
#include "shapes.h"
#include "window.h"

#define SLOTS 8u
#define SLOT_SIZE 512u
#define NUMBERS 64u
#define FIRST_FREE_PORT 3u // 1 and 2 are the toolstack's
#define WINDOW_SLOTS 0u
#define WINDOW_LIST 2u

static uint8_t slots[SLOTS][SLOT_SIZE] __attribute__((aligned(4096)));
static uint8_t grant_frame[PAGE_SIZE] __attribute__((aligned(4096)));
static uint64_t list[PAGE_SIZE / 8] __attribute__((aligned(4096)));
static struct multicall_entry calls[SLOTS];
static uint64_t started; // hypervisor's time

static uint64_t random_gfn(void)
{
    switch (random_below(12)) {
    case 0:
        return random64();
    case 1:
        return HOLE_GFN + (1ul << random_below(40));
    case 2 ... 4:
        return HOLE_GFN + random_below(HOLE_PAGES);
    default:
        return arena_gfn((unsigned int)random_below(ARENA_PAGES));
    }
}

static uint64_t random_pointer(void)
{
    static const uint64_t odd[] = {0, HOLE_GFN * PAGE_SIZE, 0xfee00000, -8ul, 1ul << 47, 1ul << 32};

    switch (random_below(12)) {
    case 0:
        return odd[random_below(ARRAY_SIZE(odd))];
    case 1:
        return random64() | 1ul << 40;
    case 2: // across the end of a page that may be missing
        return (uint64_t)arena[1 + random_below(ARENA_PAGES - 1)] - random_below(64);
    case 3:
        return (uint64_t)arena[random_below(ARENA_PAGES)] + random_below(PAGE_SIZE);
    default:
        return window_address(WINDOW_LIST) + 8 * random_below(512);
    }
}

// Frames that a call loses or replaces are read from the list, or from nowhere.
static uint64_t random_list_pointer(void)
{
    uint64_t list_page = window_address(WINDOW_LIST);

    switch (random_below(12)) {
    case 0:
        return random64() | 1ul << 40;
    case 1: // across the end of a page, behind which nothing is
        return list_page + PAGE_SIZE - 8 * random_below(8);
    default:
        return list_page + 8 * random_below(512);
    }
}

static domid_t random_domid(void)
{
    static const domid_t special[] = {0, DOMID_IO, DOMID_XEN, DOMID_COW, DOMID_INVALID, DOMID_IDLE};

    switch (random_below(8)) {
    case 0:
        return special[random_below(ARRAY_SIZE(special))];
    case 1:
        return (domid_t)random64();
    case 2:
        return random_partner();
    default:
        return random_once_in(2) ? DOMID_SELF : own_domid();
    }
}

static unsigned int field_size(char field)
{
    switch (field) {
    case 'b':
        return 1;
    case 'd':
    case 'w':
    case 's':
        return 2;
    case 'n':
    case 'k':
    case 'p':
    case 'v':
    case 'r':
    case 'H':
    case 'f':
    case 'i':
    case 'o':
        return 4;
    default:
        return 8;
    }
}

static uint64_t small_field(char field)
{
    switch (field) {
    case 'd':
        return random_domid();
    case 's':
        return random_once_in(8) ? random64() : random_below(5);
    case 'w':
        return random_once_in(4) ? random64() : random_below(PAGE_SIZE + 1);
    case 'k':
        return random_once_in(8) ? random_number() : random_below(7);
    case 'p':
        return random_once_in(8) ? random64() | 64 : FIRST_FREE_PORT + random_below(40);
    case 'v':
        return random_once_in(8) ? random_number() : random_below(2);
    case 'f':
        return random_once_in(2) ? 1ul << random_below(32) : random_below(32);
    case 'i':
        return 1 + random_below(60);
    case 'o': // no extent that begins in the arena, or at a small number, includes the program
        return random_once_in(8) ? 24 + random_below(1u << 31) : random_below(5);
    default: // b n r H
        return random_number();
    }
}

static uint64_t field_value(char field)
{
    switch (field) {
    case 'c':
        return random_once_in(8) ? random_number() : random_below(9);
    case 'g':
        return random_gfn();
    case 'a':
        return random_gfn() * PAGE_SIZE + (random_once_in(16) ? random_below(PAGE_SIZE) : 0);
    case 'h':
        return random_pointer();
    case 'l':
        return random_list_pointer();
    case 't': // past: a poll has to end
        return 1 + random_below(started);
    case 'x':
        return random_once_in(2) ? random_gfn() : random_below(16);
    case 'N':
        return random_number();
    default:
        return small_field(field);
    }
}

static void fill(uint8_t *at, const char *fields)
{
    unsigned int offset = 0;

    for (; *fields; fields++) {
        unsigned int size = field_size(*fields);
        uint64_t value;

        offset = (offset + size - 1) & ~(size - 1);
        if (*fields == '_') {
            continue;
        }
        value = field_value(*fields);
        memcpy(at + offset, &value, size);
        offset += size;
    }
}

static void prepare_shape(const struct shape *shape, unsigned int slot_index,
                          struct multicall_entry *call)
{
    uint8_t *slot = slots[slot_index];
    uint64_t count = random_below(9);
    uint64_t pointer = random_once_in(24) ? random_pointer()
                                          : window_address(WINDOW_SLOTS) + slot_index * SLOT_SIZE;

    if (shape->form == POINTER_SECOND_COUNT) {
        for (unsigned int i = 0; i < count && (i + 1) * shape->size <= SLOT_SIZE; i++) {
            fill(slot + i * shape->size, shape->fields);
        }
        count = random_once_in(64) ? random_number() : count;
    } else {
        fill(slot, shape->fields);
    }
    call->op = shape->number;
    call->args[0] = shape->operation;
    call->args[1] = pointer;
    call->args[2] = count;
    switch (shape->form) {
    case POINTER_THIRD:
        call->args[1] = random_once_in(8) ? random_number() : random_below(2);
        call->args[2] = pointer;
        break;
    case POINTER_FIRST:
        call->args[0] = pointer;
        break;
    case PLAIN:
        call->args[1] = random_number();
        call->args[2] = random_pointer();
    }
}

// Calls that are random altogether must not end the guest, wait for what does not come, or lose a
// page that they happen to name.
static bool is_harmless(const struct multicall_entry *call)
{
    switch (call->op) {
    case __HYPERVISOR_sched_op:
    case __HYPERVISOR_vcpu_op:
    case __HYPERVISOR_event_channel_op:
    case __HYPERVISOR_multicall:
        return false;
    case __HYPERVISOR_memory_op:
        return (call->args[0] & 63) > XENMEM_acquire_resource;
    default:
        return true;
    }
}

static void prepare(unsigned int slot, struct multicall_entry *call)
{
    if (!random_once_in(8)) {
        prepare_shape(&shapes[random_below(shapes_number)], slot, call);
        return;
    }
    do {
        call->op = random_once_in(4) ? random_number() : random_below(NUMBERS);
        for (unsigned int i = 0; i < ARRAY_SIZE(call->args); i++) {
            call->args[i] = random_once_in(2) ? random_pointer() : random_number();
        }
    } while (!is_harmless(call));
}

static long execute(const struct multicall_entry *call)
{
    if (call->op < NUMBERS) {
        return hypercall((unsigned int)call->op, call->args[0], call->args[1], call->args[2],
                         call->args[3], call->args[4]);
    }
    return hypercall_instruction(call->op, cpuid(0, 0).ecx == 0x6c65746e);
}

// What the guest itself may write at any time: grant entries, lists.
static void write_memory(void)
{
    grant_entry_v1_t *entry = (grant_entry_v1_t *)grant_frame + random_below(32);

    for (unsigned int i = 0; i < 32; i++) {
        list[random_below(ARRAY_SIZE(list))] = random_gfn();
    }
    entry->frame = (uint32_t)random_gfn();
    entry->domid = random_once_in(2) ? own_domid() : random_partner();
    __atomic_store_n(&entry->flags, random_once_in(8) ? (uint16_t)random64() : GTF_permit_access,
                     __ATOMIC_SEQ_CST);
}

// A page that was lost comes back, so that later calls find something.
static void restore_arena(void)
{
    for (unsigned int i = 0; i < ARENA_PAGES; i++) {
        xen_pfn_t frame = arena_gfn(i);
        struct xen_memory_reservation request = {.nr_extents = 1, .domid = DOMID_SELF};

        set_xen_guest_handle(request.extent_start, &frame);
        hypercall2(__HYPERVISOR_memory_op, XENMEM_populate_physmap, &request);
    }
}

static void batch(void)
{
    unsigned int count = 1 + (unsigned int)random_below(SLOTS);

    for (unsigned int i = 0; i < count; i++) {
        prepare(i, &calls[i]);
    }
    hypercall(__HYPERVISOR_multicall, (unsigned long)calls, count, 0, 0, 0);
}

void storm_hypercalls(void)
{
    uint64_t worst = 0, worst_call = 0, succeeded = 0, step;

    started = xen_time();
    window_map(WINDOW_SLOTS, (uint64_t)slots, WINDOW_WRITABLE);
    window_map(WINDOW_LIST, (uint64_t)list, WINDOW_WRITABLE);
    for (unsigned int i = 0; i < ARRAY_SIZE(list); i++) {
        list[i] = random_gfn();
    }
    xen_add_to_physmap(XENMAPSPACE_grant_table, 0, grant_frame);
    for (step = 0; !finished(step); step++) {
        struct multicall_entry call;
        uint64_t begin;

        if (step % 16 == 0) {
            write_memory();
        }
        if (step % 1024 == 0) {
            restore_arena();
        }
        if (random_once_in(64)) {
            batch();
            continue;
        }
        prepare(0, &call);
        begin = rdtsc();
        succeeded += execute(&call) >= 0;
        begin = rdtsc() - begin;
        if (begin > worst) {
            worst = begin;
            worst_call = call.op << 16 | (call.args[0] & 0xffff);
        }
    }
    say("hostile: %lu hypercalls, %lu succeeded; the longest took %lu ticks: number %lu, "
        "operation %lu",
        step, succeeded, worst, worst_call >> 16, worst_call & 0xffff);
}

// SPDX-License-Identifier: Apache-2.0
// Areas that guests register to be kept up to date.
//
// A registration is one or two lasting mappings with a reference on each frame, built aside and
// then exchanged under the area's lock, so that writers (the scheduler, time updates) see all of
// it or nothing. The old one is unmapped after the lock is dropped. A failure leaves the old one.

#include <bulkhead/arch/domain.h>
#include <bulkhead/arch/mm.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_area.h>
#include <bulkhead/mapping.h>
#include <bulkhead/page.h>
#include <bulkhead/string.h>

static void unmap_parts(struct guest_area *area)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(area->part); i++) {
        if (area->part[i]) {
            unmap_frame_lasting((void *)((uintptr_t)area->part[i] & PAGE_MASK));
            p2m_put_page(area->page[i]);
            area->part[i] = NULL;
            area->page[i] = NULL;
        }
    }
}

// Maps the part that begins at address; the caller unmaps on failure.
static int map_part(struct domain *d, struct guest_area *area, unsigned int i, gpa_t address)
{
    enum p2m_type type;
    struct page *page = p2m_get_page(d, gpa_to_gfn(address), true, &type);
    uint8_t *mapped;

    if (!page) {
        return -XEN_EFAULT;
    }
    mapped = map_frame_lasting(page_to_mfn(page));
    if (!mapped) {
        p2m_put_page(page);
        return -XEN_ENOMEM;
    }
    area->page[i] = page;
    area->part[i] = mapped + (address.a & ~PAGE_MASK);
    return 0;
}

// Makes `fresh` the registration; what was there before is unmapped.
static void exchange(struct guest_area *area, struct guest_area *fresh)
{
    struct guest_area old;

    spin_lock(&area->lock);
    old = *area;
    area->versioned_always = fresh->versioned_always;
    area->size = fresh->size;
    area->first_size = fresh->first_size;
    memcpy(area->part, fresh->part, sizeof(area->part));
    memcpy(area->page, fresh->page, sizeof(area->page));
    spin_unlock(&area->lock);
    unmap_parts(&old);
}

int guest_area_register_linear(struct domain *d, struct guest_area *area, gva_t address,
                               uint32_t size)
{
    uint32_t room = (uint32_t)(PAGE_SIZE - (address.a & ~PAGE_MASK));
    struct guest_area fresh = {.size = size, .first_size = MIN(size, room)};
    gpa_t first, second = {0};
    int error;

    if (arch_walk_guest(current_vcpu(), address, true, &first)) {
        return -XEN_EFAULT;
    }
    if (fresh.first_size < size &&
        arch_walk_guest(current_vcpu(), GVA(address.a + room), true, &second)) {
        return -XEN_EFAULT;
    }
    error = map_part(d, &fresh, 0, first);
    if (!error && fresh.first_size < size) {
        error = map_part(d, &fresh, 1, second);
    }
    if (error) {
        unmap_parts(&fresh);
        return error;
    }
    exchange(area, &fresh);
    return 0;
}

int guest_area_register_physical(struct domain *d, struct guest_area *area, gpa_t address,
                                 uint32_t size)
{
    struct guest_area fresh = {.size = size, .first_size = size, .versioned_always = true};
    int error;

    if ((address.a & ~PAGE_MASK) > PAGE_SIZE - size) {
        return -XEN_ENXIO;
    }
    error = map_part(d, &fresh, 0, address);
    if (!error) {
        exchange(area, &fresh);
    }
    return error;
}

void guest_area_release(struct guest_area *area)
{
    struct guest_area nothing = {.size = 0};

    exchange(area, &nothing);
}

void guest_area_write_locked(struct guest_area *area, uint32_t offset, const void *from,
                             uint32_t count)
{
    uint32_t first;

    if (!area->part[0] || offset > area->size || count > area->size - offset) {
        return;
    }
    first = offset < area->first_size ? MIN(count, area->first_size - offset) : 0;
    memcpy(area->part[0] + offset, from, first);
    if (first < count) {
        memcpy(area->part[1] + (offset + first - area->first_size), (const char *)from + first,
               count - first);
    }
}

void guest_area_publish_time(struct vcpu *v)
{
    struct guest_area *area = &v->time_area;
    const struct vcpu_time_info *time;
    struct vcpu_time_info copy;
    uint32_t version, marked;

    if (!__atomic_load_n(&area->part[0], __ATOMIC_RELAXED)) {
        return;
    }
    spin_lock(&area->lock);
    time = &__atomic_load_n(&v->info, __ATOMIC_ACQUIRE)->time;
    version = __atomic_load_n(&time->version, __ATOMIC_ACQUIRE);
    // Who is writing the original just now publishes it afterwards.
    if (!(version & 1)) {
        copy = *time;
        marked = version + 1;
        guest_area_write_locked(area, offsetof(struct vcpu_time_info, version), &marked,
                                sizeof(marked));
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        copy.version = marked;
        guest_area_write_locked(area, 0, &copy, sizeof(copy));
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        marked = version + 2;
        guest_area_write_locked(area, offsetof(struct vcpu_time_info, version), &marked,
                                sizeof(marked));
    }
    spin_unlock(&area->lock);
}

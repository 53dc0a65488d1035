// SPDX-License-Identifier: Apache-2.0
// XENMEM_exchange: gives frames of a domain back for as many others, of another extent size or
// below an address limit.
//
// The lists are worked off in chunks: as many extents as make up one of the larger size, at most
// 2 MiB. A chunk is exchanged as a whole or not at all: memory for it is allocated, the old frames
// are taken out of the p2m, the places of the new ones are prepared; all that may fail and is
// undone then. Putting the new ones in cannot fail. A frame that somebody else uses (through a
// grant, the toolstack) cannot be exchanged, for it would go on counting. Between chunks the
// operation may make way; nr_exchanged says how far it has come, as the ABI has it. A chunk of 512
// single frames takes about 200000 instructions, and the cleaning of 2 MiB where none was clean.
// Locking: the p2m's batch, and inside it page accounting. Who changes the same part of his memory
// by another vcpu meanwhile may lose frames of it, and nobody else does.

#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/heap.h>
#include <bulkhead/memory_op.h>
#include <bulkhead/page.h>
#include <xen/memory.h>

#define CHUNK_FRAMES (1UL << ORDER_2M)

struct chunk {
    struct domain *d;
    unsigned int in_order, out_order, flags;
    uint64_t in_count, out_count;     // extents
    uint64_t taken;                   // old frames that have been looked up
    uint64_t cleared;                 // and of these, the ones whose entries are gone
    struct page *old[CHUNK_FRAMES];   // of each frame; NULL when it has been put back
    struct page *fresh[CHUNK_FRAMES]; // the first of each new extent
    xen_pfn_t in[CHUNK_FRAMES], out[CHUNK_FRAMES];
};

static gfn_t old_gfn(const struct chunk *c, uint64_t frame)
{
    return GFN(c->in[frame >> c->in_order] + (frame & ((1UL << c->in_order) - 1)));
}

static void free_fresh(struct chunk *c, uint64_t count)
{
    while (count) {
        page_free(c->fresh[--count], c->out_order);
    }
}

static int allocate_fresh(struct chunk *c)
{
    for (uint64_t i = 0; i < c->out_count; i++) {
        c->fresh[i] = page_alloc(c->out_order, 0, c->flags);
        if (!c->fresh[i]) {
            free_fresh(c, i);
            return -XEN_ENOMEM;
        }
    }
    return 0;
}

// References the old frames, which have to be the domain's own RAM.
static int take_old(struct chunk *c)
{
    while (c->taken < c->in_count << c->in_order) {
        enum p2m_type type;
        struct page *page = p2m_get_page(c->d, old_gfn(c, c->taken), true, &type);

        if (!page) {
            return -XEN_EINVAL;
        }
        c->old[c->taken++] = page;
        if (type != P2M_RAM) {
            return -XEN_EINVAL;
        }
    }
    return 0;
}

static int clear_old(struct chunk *c)
{
    int error = 0;

    p2m_batch_begin(c->d);
    while (c->cleared < c->taken && !error) {
        error = p2m_clear_match(c->d, old_gfn(c, c->cleared), page_to_mfn(c->old[c->cleared]));
        c->cleared += !error;
    }
    p2m_batch_end(c->d);
    for (uint64_t i = 0; i < c->taken && !error; i++) {
        // Ours is the last reference, or there is another user.
        error = __atomic_load_n(&c->old[i]->count, __ATOMIC_ACQUIRE) == 1 ? 0 : -XEN_EBUSY;
    }
    return error;
}

static void put_old_back(struct chunk *c)
{
    while (c->cleared) {
        uint64_t i = --c->cleared;

        if (!p2m_set(c->d, old_gfn(c, i), page_to_mfn(c->old[i]), ORDER_4K, P2M_RAM)) {
            c->old[i] = NULL; // the reference is the entry's now
        }
    }
}

// Calls fn for each mapping that the new extents are made of, until one fails.
static int for_each_place(struct chunk *c,
                          int (*fn)(struct domain *d, gfn_t gfn, mfn_t mfn, unsigned int order))
{
    for (uint64_t i = 0; i < c->out_count; i++) {
        bool large = c->out_order == ORDER_2M && !(c->out[i] & (CHUNK_FRAMES - 1));
        unsigned int order = large ? ORDER_2M : ORDER_4K;

        for (uint64_t frame = 0; frame < 1UL << c->out_order; frame += 1UL << order) {
            int error = fn(c->d, GFN(c->out[i] + frame), page_to_mfn(c->fresh[i] + frame), order);

            if (error) {
                return error;
            }
        }
    }
    return 0;
}

static int prepare_place(struct domain *d, gfn_t gfn, mfn_t mfn, unsigned int order)
{
    (void)mfn;
    return p2m_prepare(d, gfn, order);
}

static int fill_place(struct domain *d, gfn_t gfn, mfn_t mfn, unsigned int order)
{
    // Prepared, so this can only fail where the list names a place twice: then the memory is lost.
    if (p2m_set(d, gfn, mfn, order, P2M_RAM)) {
        page_put_range(mfn_to_page(mfn), 1UL << order);
    }
    return 0;
}

static int exchange_chunk(struct chunk *c)
{
    int error = allocate_fresh(c);

    if (error) {
        return error;
    }
    c->taken = c->cleared = 0;
    error = take_old(c);
    if (!error) {
        error = clear_old(c);
    }
    p2m_batch_begin(c->d);
    if (!error) {
        error = for_each_place(c, prepare_place);
    }
    if (!error) {
        error = domain_adopt_pages(c->d, c->fresh, c->out_count, c->out_order);
    }
    if (!error) {
        for_each_place(c, fill_place);
    } else {
        put_old_back(c);
    }
    p2m_batch_end(c->d);
    for (uint64_t i = 0; i < c->taken; i++) {
        if (c->old[i]) {
            page_put(c->old[i]);
        }
    }
    if (error) {
        free_fresh(c, c->out_count);
    }
    return error;
}

// How many extents of one order make up one of the other, or 1.
static uint64_t per_chunk(unsigned int order, unsigned int other)
{
    return other > order ? 1UL << (other - order) : 1;
}

static int64_t work_chunks(struct hypercall *call, struct chunk *c, struct xen_memory_exchange *x)
{
    int error = 0;

    while (x->nr_exchanged < x->in.nr_extents && !error) {
        uint64_t first = x->nr_exchanged / c->in_count * c->out_count;

        if (copy_from_handle(c->in, x->in.extent_start, x->nr_exchanged, c->in_count) ||
            copy_from_handle(c->out, x->out.extent_start, first, c->out_count)) {
            error = -XEN_EFAULT;
            break;
        }
        error = exchange_chunk(c);
        x->nr_exchanged += error ? 0 : c->in_count;
        if (!error && x->nr_exchanged < x->in.nr_extents && preempt_needed()) {
            error = -XEN_ERESTART;
        }
    }
    // The list of the new frames stays as it is: their names are what the caller gave.
    if (copy_to_guest(GVA(call->arg[1]), x, sizeof(*x))) {
        return -XEN_EFAULT;
    }
    return error == -XEN_ERESTART ? hypercall_restart(call) : error;
}

static bool is_sound(const struct xen_memory_exchange *x)
{
    const struct xen_memory_reservation *in = &x->in, *out = &x->out;

    return in->domid == out->domid && in->extent_order <= ORDER_2M &&
           out->extent_order <= ORDER_2M && in->nr_extents <= ~0UL >> (2 * ORDER_2M) &&
           out->nr_extents <= ~0UL >> (2 * ORDER_2M) &&
           in->nr_extents << in->extent_order == out->nr_extents << out->extent_order &&
           x->nr_exchanged <= in->nr_extents;
}

int64_t memory_exchange(struct hypercall *call)
{
    struct xen_memory_exchange x;
    struct chunk *c;
    unsigned int bits;
    int64_t result;
    int error;

    if (copy_from_guest(&x, GVA(call->arg[1]), sizeof(x))) {
        return -XEN_EFAULT;
    }
    if (!is_sound(&x)) {
        return -XEN_EINVAL;
    }
    c = heap_new(struct chunk);
    if (!c) {
        return -XEN_ENOMEM;
    }
    c->d = domain_get_controlled(x.in.domid, &error);
    if (!c->d) {
        heap_free(c);
        return error;
    }
    bits = XENMEMF_get_address_bits(x.out.mem_flags);
    c->flags = bits && bits <= 32 ? ALLOC_DMA32 : 0;
    c->in_order = x.in.extent_order;
    c->out_order = x.out.extent_order;
    c->in_count = per_chunk(c->in_order, c->out_order);
    c->out_count = per_chunk(c->out_order, c->in_order);
    result = x.nr_exchanged % c->in_count ? -XEN_EINVAL : work_chunks(call, c, &x);
    domain_put(c->d);
    heap_free(c);
    return result;
}

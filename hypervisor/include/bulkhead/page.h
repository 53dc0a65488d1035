// SPDX-License-Identifier: Apache-2.0
// Machine memory. One 16-byte struct page for every 4 KiB frame (0.4 % of memory). A buddy
// allocator hands frames to domains; the heap takes 2 MiB blocks from it, maps them and serves
// the hypervisor's own needs. Frames that domains own are not mapped anywhere in the hypervisor:
// all access goes through mapping.h.
// References: a frame in use has count >= 1; the p2m entry of its owner holds the first one, every
// foreign or grant mapping a further one; the frame is free when the last is dropped.
#ifndef BULKHEAD_PAGE_H
#define BULKHEAD_PAGE_H

#include <bulkhead/types.h>

struct domain;

enum page_state {
    PAGE_STATE_NONE, // not memory, or the firmware's: never allocated
    PAGE_STATE_FREE, // in the buddy allocator
    PAGE_STATE_HEAP, // the hypervisor's own, mapped
    PAGE_STATE_DOMAIN,
};

struct page {
    // References. 0 while the frame is free, too, and never raised from 0 but by who allocates it:
    // whoever finds a frame through an entry that may be old takes a reference if there is one.
    uint32_t count;
    union {
        struct {
            uint32_t next, prev; // free lists, as frame numbers; valid in the head of a free block
        } free;
        struct {
            uint32_t private; // heap: the slab's word; domain: unused
            uint16_t owner;   // struct domain.page_owner, for a domain's and for shared heap pages
            uint16_t entries; // second-level table: how many of its entries are present
        } used;
    };
    uint8_t order; // of the free block that begins here
    uint8_t state; // enum page_state
    uint8_t dirty; // free block: holds old contents
    uint8_t head;  // free block begins here
};

_Static_assert(sizeof(struct page) == 16, "the frame table's budget is 0.4 % of memory");

extern struct page *frame_table;
extern uint64_t frame_table_frames; // frames that the table covers

static inline bool mfn_in_table(mfn_t mfn)
{
    return mfn.n < frame_table_frames;
}

static inline struct page *mfn_to_page(mfn_t mfn)
{
    return &frame_table[mfn.n];
}

// Readers of old p2m entries look at the state of frames that they hold no reference on.
static inline void page_set_state(struct page *page, enum page_state state)
{
    __atomic_store_n(&page->state, state, __ATOMIC_RELAXED);
}

static inline enum page_state page_get_state(const struct page *page)
{
    return (enum page_state)__atomic_load_n(&page->state, __ATOMIC_RELAXED);
}

static inline uint16_t page_owner(const struct page *page)
{
    return __atomic_load_n(&page->used.owner, __ATOMIC_RELAXED);
}

static inline mfn_t page_to_mfn(const struct page *page)
{
    return MFN((uint64_t)(page - frame_table));
}

#define ALLOC_DMA32 1u    // below 4 GiB
#define ALLOC_NO_SCRUB 2u // the contents may be old (only for domain 0's boot memory, or the heap)
#define ALLOC_BEGIN_1G 4u // if possible the beginning of a free 1 GiB: more will follow

// Sets up the frame table for machine frames below `frames`, with nothing free yet.
void page_alloc_init(uint64_t frames);
// Gives a range of free frames to the allocator at boot. The frame table must cover it.
void page_alloc_add(mfn_t start, uint64_t count, bool dirty);
// A block of 2^order frames, naturally aligned, owned by nobody yet; NULL if there is none.
struct page *page_alloc(unsigned int order, unsigned int node, unsigned int flags);
// The same, at `want` (if that is not INVALID_MFN) when that is free.
struct page *page_alloc_near(mfn_t want, unsigned int order, unsigned int flags);
void page_free(struct page *page, unsigned int order);
void page_free_range(struct page *first, uint64_t count); // any consecutive frames
uint64_t page_free_count(void);                           // free frames
uint64_t page_unscrubbed_count(void);
// Says how much memory the machine has, with what was in use before the allocator got the rest.
void page_alloc_set_total(uint64_t frames);
uint64_t page_total_count(void); // the machine's memory: set, or all that was added
// Cleans one dirty free block (at most 2 MiB); false when there is none. From the idle loop.
bool page_scrub_some(void);

// Frames for a domain: accounted against max_pages (-E2BIG via NULL and *error), cleaned, count 1
// each, order from 0 to ORDER_1G.
struct page *domain_page_alloc(struct domain *d, unsigned int order, unsigned int flags);
struct page *domain_page_alloc_near(struct domain *d, mfn_t want, unsigned int order,
                                    unsigned int flags);
// Sets aside memory for d so that its allocations up to `frames` in all cannot fail for want of
// it; 0 gives up the claim. 0, -XEN_ENOMEM, or -XEN_EINVAL when it has more already.
int domain_claim_pages(struct domain *d, uint64_t frames);
uint64_t page_claimed_count(void); // frames set aside for all domains together
// Makes frames that the allocator never had (boot modules) the domain's, count 1 each. 0 or
// -XEN_ENOMEM when max_pages forbids.
int domain_donate_pages(struct domain *d, mfn_t first, uint64_t count);
// Makes blocks that came from page_alloc the domain's, count 1 each, even beyond max_pages: for who
// has taken as many frames from it. 0, or -XEN_ESRCH when it goes away.
int domain_adopt_pages(struct domain *d, struct page *const *blocks, uint64_t count,
                       unsigned int order);
// A zeroed, mapped page of the heap that is shown to domain d (shared_info, grant table frames):
// count 1, which the caller drops by page_put; freed when no mapping is left. Not accounted.
void *domain_shared_page_alloc(struct domain *d);
// Takes a reference on a frame of domain d (its own or a shared one); false if it is not d's or is
// being freed.
bool page_get(struct page *page, const struct domain *d);
// Takes a reference on any frame that has one already; false if it has none.
bool page_get_any(struct page *page);
// Drops a reference; the last one frees the frame and its accounting.
void page_put(struct page *page);
// Drops one reference on each of consecutive frames: cheaper than one by one.
void page_put_range(struct page *first, uint64_t count);

#endif

// SPDX-License-Identifier: Apache-2.0
// The hypervisor's heap: pages out of 2 MiB blocks that are mapped while the heap has them, and
// small objects out of pages.
//
// Pages: each block has a descriptor with a buddy bitmap of its 512 pages; blocks with free pages
// are on a list, and a block whose pages are all free goes back to the page allocator: at once, but
// for one kept in reserve until a processor is idle, so that a caller on the edge does not map and
// unmap all the time.
// Small objects: size classes (powers of two, 16 bytes to 2 KiB), one list of partly free pages
// each; a page's header holds its class, free list and count. Larger objects take whole pages with
// their order kept in struct page.
// Locking: one lock for pages, one for objects (outer). Errors: NULL.

#include <bulkhead/arch/mm.h>
#include <bulkhead/console.h>
#include <bulkhead/heap.h>
#include <bulkhead/list.h>
#include <bulkhead/page.h>
#include <bulkhead/spinlock.h>
#include <bulkhead/string.h>

#define BLOCK_PAGES 512u
#define MIN_SHIFT 4u
#define MAX_SHIFT 11u
#define CLASSES (MAX_SHIFT - MIN_SHIFT + 1)
#define PRIVATE_SLAB 0x40000000u // struct page.private of a page of small objects

// Lives in the first page of its block.
struct heap_block {
    struct list link; // in partial_blocks while anything is free
    unsigned int free_pages;
    bool dma32;
    uint64_t used[BLOCK_PAGES / 64]; // one bit a page
};

struct slab {
    struct list link; // in partial_slabs[class] while anything is free
    void *free;       // singly linked through the objects
    uint16_t in_use, class;
};

static struct spinlock page_lock = SPINLOCK_INIT, slab_lock = SPINLOCK_INIT;
static struct list partial_blocks = {&partial_blocks, &partial_blocks};
static struct list partial_slabs[CLASSES];
static struct heap_block *reserve;
static uint64_t blocks_mapped, pages_in_use;

void heap_init(void)
{
    for (unsigned int i = 0; i < CLASSES; i++) {
        list_init(&partial_slabs[i]);
    }
}

mfn_t heap_mfn(const void *p)
{
    return arch_heap_frame(p);
}

maddr_t heap_maddr(const void *p)
{
    return MADDR(mfn_to_maddr(heap_mfn(p)).a + ((uintptr_t)p & (PAGE_SIZE - 1)));
}

void *heap_from_mfn(mfn_t mfn)
{
    return arch_heap_address(mfn);
}

uint64_t heap_pages_in_use(void)
{
    return blocks_mapped * BLOCK_PAGES;
}

static struct heap_block *block_of(const void *p)
{
    return (struct heap_block *)((uintptr_t)p & ~(BLOCK_PAGES * PAGE_SIZE - 1));
}

static struct heap_block *block_create(unsigned int flags)
{
    struct page *page = page_alloc(ORDER_2M, 0, flags | ALLOC_NO_SCRUB);
    struct heap_block *block;
    mfn_t mfn;

    if (!page) {
        return NULL;
    }
    mfn = page_to_mfn(page);
    if (arch_heap_map(mfn, ORDER_2M)) {
        page_free(page, ORDER_2M);
        return NULL;
    }
    for (unsigned int i = 0; i < BLOCK_PAGES; i++) {
        page_set_state(&page[i], PAGE_STATE_HEAP);
        page[i].head = 0;
        page[i].used.private = 0;
    }
    block = arch_heap_address(mfn);
    memset(block, 0, sizeof(*block));
    block->used[0] = 1;
    block->free_pages = BLOCK_PAGES - 1;
    block->dma32 = mfn.n < 1UL << (32 - PAGE_SHIFT);
    return block;
}

static void block_destroy(struct heap_block *block)
{
    mfn_t mfn = heap_mfn(block);

    arch_heap_unmap(mfn, ORDER_2M);
    page_free(mfn_to_page(mfn), ORDER_2M);
}

// Index of a free, naturally aligned run of 2^order pages, or BLOCK_PAGES.
static unsigned int block_find(const struct heap_block *block, unsigned int order)
{
    unsigned int n = 1u << order;

    if (order >= 6) {
        for (unsigned int i = 0; i < BLOCK_PAGES; i += n) {
            unsigned int words = 0;

            while (words < n / 64 && block->used[i / 64 + words] == 0) {
                words++;
            }
            if (words == n / 64) {
                return i;
            }
        }
        return BLOCK_PAGES;
    }
    for (unsigned int w = 0; w < ARRAY_SIZE(block->used); w++) {
        uint64_t free = ~block->used[w];

        // Fold so that a set bit marks the start of n free pages, then keep aligned starts.
        for (unsigned int k = 1; k < n; k *= 2) {
            free &= free >> k;
        }
        if (order) {
            static const uint64_t aligned[] = {~0UL,
                                               0x5555555555555555,
                                               0x1111111111111111,
                                               0x0101010101010101,
                                               0x0001000100010001,
                                               0x0000000100000001};

            free &= aligned[order];
        }
        if (free) {
            return w * 64 + (unsigned int)__builtin_ctzl(free);
        }
    }
    return BLOCK_PAGES;
}

static void block_mark(struct heap_block *block, unsigned int index, unsigned int order, bool used)
{
    for (unsigned int i = index; i < index + (1u << order); i++) {
        uint64_t bit = 1UL << (i % 64);

        CHECK(!(block->used[i / 64] & bit) == used);
        block->used[i / 64] ^= bit;
    }
    block->free_pages += used ? -(1u << order) : 1u << order;
}

static void *take_pages(struct heap_block *block, unsigned int order)
{
    unsigned int index = block_find(block, order);

    if (index == BLOCK_PAGES) {
        return NULL;
    }
    block_mark(block, index, order, true);
    pages_in_use += 1u << order;
    if (block->free_pages == 0) {
        list_remove(&block->link);
    }
    return (char *)block + index * PAGE_SIZE;
}

static void *find_pages(unsigned int order, unsigned int flags)
{
    struct heap_block *block;

    list_for_each (block, &partial_blocks, link) {
        void *p = (flags & ALLOC_DMA32) && !block->dma32 ? NULL : take_pages(block, order);

        if (p) {
            if (block == reserve) {
                reserve = NULL;
            }
            return p;
        }
    }
    return NULL;
}

// A whole 2 MiB block cannot hold its descriptor, so order is at most 8.
void *heap_alloc_pages(unsigned int order, unsigned int flags)
{
    struct heap_block *block;
    void *p;

    if (order >= ORDER_2M) {
        return NULL;
    }
    spin_lock(&page_lock);
    p = find_pages(order, flags);
    if (!p) {
        // Making a block may have to wait for TLB flushes; nothing is inconsistent meanwhile.
        block = block_create(flags);
        if (block) {
            blocks_mapped++;
            list_add_tail(&partial_blocks, &block->link);
            p = take_pages(block, order);
        }
    }
    spin_unlock(&page_lock);
    if (p) {
        memset(p, 0, PAGE_SIZE << order);
    }
    return p;
}

void heap_free_pages(void *p, unsigned int order)
{
    struct heap_block *block = block_of(p), *unused = NULL;

    if (!p) {
        return;
    }
    spin_lock(&page_lock);
    if (block->free_pages == 0) {
        list_add_head(&partial_blocks, &block->link);
    }
    block_mark(block, (unsigned int)(((uintptr_t)p - (uintptr_t)block) / PAGE_SIZE), order, false);
    pages_in_use -= 1u << order;
    mfn_to_page(heap_mfn(p))->used.private = 0;
    if (block->free_pages == BLOCK_PAGES - 1) {
        if (reserve) {
            unused = block;
            list_remove(&block->link);
            blocks_mapped--;
        } else {
            reserve = block;
        }
    }
    spin_unlock(&page_lock);
    if (unused) {
        block_destroy(unused);
    }
}

bool heap_trim(void)
{
    struct heap_block *unused;

    if (likely(!__atomic_load_n(&reserve, __ATOMIC_RELAXED))) {
        return false;
    }
    spin_lock(&page_lock);
    unused = reserve;
    reserve = NULL;
    if (unused) {
        list_remove(&unused->link);
        blocks_mapped--;
    }
    spin_unlock(&page_lock);
    if (unused) {
        block_destroy(unused);
    }
    return unused;
}

static unsigned int size_class(size_t size)
{
    return size <= 1u << MIN_SHIFT ? 0 : 64u - (unsigned int)__builtin_clzl(size - 1) - MIN_SHIFT;
}

static struct slab *slab_create(unsigned int class)
{
    struct slab *slab = heap_alloc_pages(0, 0);
    size_t size = 1UL << (class + MIN_SHIFT);
    size_t first = ALIGN_UP(sizeof(struct slab), MIN(size, 64UL));

    if (!slab) {
        return NULL;
    }
    slab->class = (uint16_t) class;
    for (size_t offset = first; offset + size <= PAGE_SIZE; offset += size) {
        void **object = (void **)((char *)slab + offset);

        *object = slab->free;
        slab->free = object;
    }
    mfn_to_page(heap_mfn(slab))->used.private = PRIVATE_SLAB;
    return slab;
}

static void *object_alloc(unsigned int class)
{
    struct slab *slab;
    void **object;

    spin_lock(&slab_lock);
    if (list_empty(&partial_slabs[class])) {
        slab = slab_create(class);
        if (!slab) {
            spin_unlock(&slab_lock);
            return NULL;
        }
        list_add_head(&partial_slabs[class], &slab->link);
    }
    slab = list_entry(partial_slabs[class].next, struct slab, link);
    object = slab->free;
    slab->free = *object;
    slab->in_use++;
    if (!slab->free) {
        list_remove(&slab->link);
    }
    spin_unlock(&slab_lock);
    memset(object, 0, 1UL << (class + MIN_SHIFT));
    return object;
}

static void object_free(struct slab *slab, void **object)
{
    bool unused;

    spin_lock(&slab_lock);
    CHECK(slab->in_use > 0);
    if (!slab->free) {
        list_add_head(&partial_slabs[slab->class], &slab->link);
    }
    *object = slab->free;
    slab->free = object;
    unused = --slab->in_use == 0;
    if (unused) {
        list_remove(&slab->link);
    }
    spin_unlock(&slab_lock);
    if (unused) {
        heap_free_pages(slab, 0);
    }
}

void *heap_alloc(size_t size)
{
    unsigned int order = 0;
    void *p;

    if (size <= 1u << MAX_SHIFT) {
        // A 2 KiB object fits only once beside the slab's header: give it a page.
        unsigned int class = size_class(size);

        if (class < CLASSES - 1) {
            return object_alloc(class);
        }
    }
    while (PAGE_SIZE << order < size) {
        if (++order >= ORDER_2M) {
            return NULL;
        }
    }
    p = heap_alloc_pages(order, 0);
    if (p) {
        mfn_to_page(heap_mfn(p))->used.private = order;
    }
    return p;
}

void *heap_alloc_array(size_t n, size_t size)
{
    size_t bytes;

    return __builtin_mul_overflow(n, size, &bytes) ? NULL : heap_alloc(bytes);
}

void heap_free(void *p)
{
    uint32_t private;

    if (!p) {
        return;
    }
    private = mfn_to_page(heap_mfn(p))->used.private;
    if (private == PRIVATE_SLAB) {
        object_free((struct slab *)((uintptr_t)p & PAGE_MASK), p);
    } else {
        heap_free_pages(p, private);
    }
}

// SPDX-License-Identifier: Apache-2.0
// The hypervisor's page tables: one set for all CPUs, four levels, in the layout of x86/layout.h.
// A table page is written through the heap window, where the frames of the boot pool are mapped as
// well as the heap's; until paging_init() has switched, through head.S's one-to-one mapping.
// Locking: paging_lock guards all entries but two kinds: those of the heap window, whose page
// directories exist from the start and where one entry is one heap block, written under the
// heap's lock alone (so the heap may be asked for table pages with paging_lock held); and each
// CPU's map slots, which are its own. Tables once made are kept.
// Errors: hv_map prepares all tables before it writes the first entry, so failure changes nothing.

#include <bulkhead/arch/mm.h>
#include <bulkhead/boot_info.h>
#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/heap.h>
#include <bulkhead/page.h>
#include <bulkhead/spinlock.h>
#include <bulkhead/string.h>
#include <xen/errno.h>
#include <x86/early_memory.h>
#include <x86/layout.h>
#include <x86/paging.h>
#include <x86/registers.h>

#define PTE_PRESENT 0x001UL
#define PTE_WRITE 0x002UL
#define PTE_PWT 0x008UL
#define PTE_PCD 0x010UL
#define PTE_ACCESSED 0x020UL
#define PTE_DIRTY 0x040UL
#define PTE_LARGE 0x080UL // in a page directory
#define PTE_NX (1UL << 63)
#define PTE_ADDRESS 0x000ffffffffff000UL
#define PTE_TABLE (PTE_PRESENT | PTE_WRITE | PTE_ACCESSED)
#define PTE_DATA (PTE_PRESENT | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY | PTE_NX)
#define LARGE_PAGE (1UL << 21)
#define LARGE_PAGES 512u // 4 KiB pages in it
#define ENTRIES 512u

#define POOL_CHUNK LARGE_PAGE
#define MAX_POOL_CHUNKS 64u
#define FLUSH_ALL_PAGES 32u // from here on a full TLB flush is cheaper than single ones

extern char image_start[], text_end[], rodata_end[], bss_end[];

static struct spinlock paging_lock = SPINLOCK_INIT;
static uint64_t root;
static uintptr_t table_window; // what to add to a table's machine address to reach it
static uint64_t window_frames; // frames that the heap window's page directories cover

// Pages for tables before there is a heap: the rest of the last chunk.
static uint64_t pool_next, pool_end;
static uint64_t pool_chunks[MAX_POOL_CHUNKS];
static unsigned int pool_chunk_count;
static bool heap_ready;

// Pages in use of the lasting window.
#define LASTING_PAGES (LASTING_WINDOW_SIZE / PAGE_SIZE)
static uint64_t lasting_used[LASTING_PAGES / 64];
static size_t lasting_hint;

static uint64_t *table_at(uint64_t pa)
{
    return (uint64_t *)(table_window + pa);
}

static unsigned int entry_index(uintptr_t va, unsigned int level)
{
    return (va >> (PAGE_SHIFT + 9 * (level - 1))) % ENTRIES;
}

static uint64_t image_maddr(uintptr_t va)
{
    return va - (uintptr_t)image_start + boot_info.image_start.a;
}

static uint64_t *window_entry(uint64_t pa);

static void pool_grow(void)
{
    uint64_t chunk = early_take(POOL_CHUNK, POOL_CHUNK, EARLY_BELOW_4G);

    if (!chunk || pool_chunk_count == MAX_POOL_CHUNKS) {
        panic("Not enough memory for page tables.");
    }
    pool_chunks[pool_chunk_count++] = chunk;
    pool_next = chunk;
    pool_end = chunk + POOL_CHUNK;
    if (table_window) {
        *window_entry(chunk) = chunk | PTE_DATA | PTE_LARGE;
    }
}

// A zeroed table page's machine address; 0 when memory is out.
static uint64_t table_alloc(void)
{
    uint64_t pa;

    if (pool_next == pool_end && heap_ready) {
        void *page = heap_alloc_pages(0, 0);

        return page ? heap_maddr(page).a : 0;
    }
    if (pool_next == pool_end) {
        pool_grow();
    }
    pa = pool_next;
    pool_next += PAGE_SIZE;
    memset(table_at(pa), 0, PAGE_SIZE);
    return pa;
}

// The entry for va at the given level (1: a 4 KiB page's). With create, missing tables are made,
// and NULL means out of memory; without, NULL means that a table is missing. A 2 MiB page on the
// way to level 1 is returned itself, with PTE_LARGE set in it.
static uint64_t *walk(uintptr_t va, unsigned int level, bool create)
{
    uint64_t table = root;
    uint64_t *entry;

    for (unsigned int l = 4;; l--) {
        entry = &table_at(table)[entry_index(va, l)];
        if (l == level || (l == 2 && (*entry & PTE_LARGE))) {
            return entry;
        }
        if (!(*entry & PTE_PRESENT)) {
            uint64_t next = create ? table_alloc() : 0;

            if (!next) {
                return NULL;
            }
            *entry = next | PTE_TABLE;
        }
        table = *entry & PTE_ADDRESS;
    }
}

static uint64_t *window_entry(uint64_t pa)
{
    return walk(HEAP_WINDOW + pa, 2, false);
}

static uint64_t protection_bits(unsigned int prot)
{
    uint64_t bits = PTE_PRESENT | PTE_ACCESSED;

    CHECK((prot & (HV_WRITE | HV_EXEC)) != (HV_WRITE | HV_EXEC));
    if (prot & HV_WRITE) {
        bits |= PTE_WRITE | PTE_DIRTY;
    }
    if (!(prot & HV_EXEC)) {
        bits |= PTE_NX;
    }
    if (prot & HV_UNCACHED) {
        bits |= PTE_PCD | PTE_PWT;
    } else if (prot & HV_WRITE_COMBINING) {
        bits |= PTE_PWT; // entry 1 of the page attribute table, see features.c
    }
    return bits;
}

static bool large_page_fits(uintptr_t va, uint64_t pa, size_t pages)
{
    return pages >= LARGE_PAGES && !((va | pa) & (LARGE_PAGE - 1));
}

static int prepare_tables(uintptr_t va, uint64_t pa, size_t pages)
{
    while (pages) {
        bool large = large_page_fits(va, pa, pages);
        size_t step = large ? LARGE_PAGES : 1;

        if (!walk(va, large ? 2 : 1, true)) {
            return -XEN_ENOMEM;
        }
        va += step * PAGE_SIZE;
        pa += step * PAGE_SIZE;
        pages -= step;
    }
    return 0;
}

int hv_map(uintptr_t va, maddr_t maddr, size_t pages, unsigned int prot)
{
    uint64_t bits = protection_bits(prot);
    uint64_t pa = maddr.a;
    int error;

    spin_lock(&paging_lock);
    error = prepare_tables(va, pa, pages);
    while (!error && pages) {
        bool large = large_page_fits(va, pa, pages);
        size_t step = large ? LARGE_PAGES : 1;
        uint64_t *entry = walk(va, large ? 2 : 1, false);

        CHECK(entry && !(*entry & PTE_PRESENT));
        *entry = pa | bits | (large ? PTE_LARGE : 0);
        va += step * PAGE_SIZE;
        pa += step * PAGE_SIZE;
        pages -= step;
    }
    spin_unlock(&paging_lock);
    return error;
}

struct flush_range {
    uintptr_t va;
    size_t pages;
};

static void flush_local(void *data)
{
    const struct flush_range *range = data;

    if (range->pages >= FLUSH_ALL_PAGES) {
        write_cr3(read_cr3()); // nothing is mapped global
        return;
    }
    for (size_t i = 0; i < range->pages; i++) {
        invalidate_page(range->va + i * PAGE_SIZE);
    }
}

static void flush_all_cpus(uintptr_t va, size_t pages)
{
    struct flush_range range = {va, pages};

    arch_call_cpus(&online_cpus, flush_local, &range);
}

void hv_unmap(uintptr_t va, size_t pages)
{
    uintptr_t position = va;
    size_t left = pages;

    spin_lock(&paging_lock);
    while (left) {
        uint64_t *entry = walk(position, 1, false);
        size_t step = 1;

        if (entry && (*entry & PTE_PRESENT)) {
            if (walk(position, 2, false) == entry) {
                CHECK(left >= LARGE_PAGES && position % LARGE_PAGE == 0);
                step = LARGE_PAGES;
            }
            *entry = 0;
        }
        position += step * PAGE_SIZE;
        left -= step;
    }
    flush_all_cpus(va, pages);
    spin_unlock(&paging_lock);
}

maddr_t hv_translate(const void *p)
{
    uintptr_t va = (uintptr_t)p;
    uint64_t *entry;
    uint64_t value = 0;
    bool large = false;

    spin_lock(&paging_lock);
    entry = walk(va, 1, false);
    if (entry) {
        value = *entry;
        large = walk(va, 2, false) == entry;
    }
    spin_unlock(&paging_lock);
    if (!(value & PTE_PRESENT)) {
        return MADDR(UINT64_MAX);
    }
    if (large) {
        return MADDR((value & PTE_ADDRESS & ~(LARGE_PAGE - 1)) | (va & (LARGE_PAGE - 1)));
    }
    return MADDR((value & PTE_ADDRESS) | (va & (PAGE_SIZE - 1)));
}

static bool lasting_is_used(size_t page)
{
    return lasting_used[page / 64] >> (page % 64) & 1;
}

// First free run of the length at or after `from`, or LASTING_PAGES.
static size_t lasting_find(size_t from, size_t pages)
{
    size_t run = 0;

    for (size_t page = from; page < LASTING_PAGES; page++) {
        if (page % 64 == 0 && lasting_used[page / 64] == UINT64_MAX) {
            page += 63;
            run = 0;
        } else if (lasting_is_used(page)) {
            run = 0;
        } else if (++run == pages) {
            return page + 1 - pages;
        }
    }
    return LASTING_PAGES;
}

uintptr_t hv_reserve(size_t pages)
{
    size_t first;

    spin_lock(&paging_lock);
    first = lasting_find(lasting_hint, pages);
    if (first == LASTING_PAGES) {
        first = lasting_find(0, pages);
    }
    if (first != LASTING_PAGES) {
        for (size_t i = first; i < first + pages; i++) {
            lasting_used[i / 64] |= 1UL << (i % 64);
        }
        lasting_hint = first + pages;
    }
    spin_unlock(&paging_lock);
    return first == LASTING_PAGES ? 0 : LASTING_WINDOW + first * PAGE_SIZE;
}

void hv_release(uintptr_t va, size_t pages)
{
    size_t first = (va - LASTING_WINDOW) / PAGE_SIZE;

    CHECK(va >= LASTING_WINDOW && first + pages <= LASTING_PAGES);
    spin_lock(&paging_lock);
    for (size_t i = first; i < first + pages; i++) {
        lasting_used[i / 64] &= ~(1UL << (i % 64));
    }
    spin_unlock(&paging_lock);
}

void *hv_ioremap_prot(maddr_t pa, size_t size, unsigned int prot)
{
    uint64_t offset = pa.a & (PAGE_SIZE - 1);
    size_t pages = DIV_ROUND_UP(offset + size, PAGE_SIZE);
    uintptr_t va = hv_reserve(pages);

    if (!va) {
        return NULL;
    }
    if (hv_map(va, MADDR(pa.a - offset), pages, prot)) {
        hv_release(va, pages);
        return NULL;
    }
    return (void *)(va + offset);
}

void *hv_ioremap(maddr_t pa, size_t size)
{
    return hv_ioremap_prot(pa, size, HV_READ | HV_WRITE | HV_UNCACHED);
}

void hv_iounmap(void *p, size_t size)
{
    uintptr_t offset = (uintptr_t)p & (PAGE_SIZE - 1);
    size_t pages = DIV_ROUND_UP(offset + size, PAGE_SIZE);

    hv_unmap((uintptr_t)p - offset, pages);
    hv_release((uintptr_t)p - offset, pages);
}

void *arch_map_lasting(mfn_t mfn)
{
    return hv_ioremap_prot(mfn_to_maddr(mfn), PAGE_SIZE, HV_READ | HV_WRITE);
}

void arch_unmap_lasting(void *p)
{
    hv_iounmap((void *)ALIGN_DOWN((uintptr_t)p, PAGE_SIZE), PAGE_SIZE);
}

bool arch_is_lasting(const void *p)
{
    return (uintptr_t)p - LASTING_WINDOW < LASTING_WINDOW_SIZE;
}

bool arch_is_map_slot(const void *p)
{
    return (uintptr_t)p - SLOT_WINDOW < MAX_CPUS * SLOT_WINDOW_SIZE;
}

void *arch_heap_address(mfn_t mfn)
{
    return (void *)(HEAP_WINDOW + (mfn.n << PAGE_SHIFT));
}

mfn_t arch_heap_frame(const void *p)
{
    uintptr_t va = (uintptr_t)p;

    if (va >= IMAGE_OFFSET) {
        return MFN(image_maddr(va) >> PAGE_SHIFT);
    }
    return MFN((va - HEAP_WINDOW) >> PAGE_SHIFT);
}

int arch_heap_map(mfn_t mfn, unsigned int order)
{
    // Whole page directory entries: no table is needed, and no other lock than the caller's.
    CHECK(order >= ORDER_2M && mfn.n % LARGE_PAGES == 0 && mfn.n + (1UL << order) <= window_frames);
    for (uint64_t n = mfn.n; n < mfn.n + (1UL << order); n += LARGE_PAGES) {
        __atomic_store_n(window_entry(n << PAGE_SHIFT), n << PAGE_SHIFT | PTE_DATA | PTE_LARGE,
                         __ATOMIC_RELEASE);
    }
    return 0;
}

void arch_heap_unmap(mfn_t mfn, unsigned int order)
{
    CHECK(order >= ORDER_2M && mfn.n % LARGE_PAGES == 0 && mfn.n + (1UL << order) <= window_frames);
    for (uint64_t n = mfn.n; n < mfn.n + (1UL << order); n += LARGE_PAGES) {
        __atomic_store_n(window_entry(n << PAGE_SHIFT), 0, __ATOMIC_RELEASE);
    }
    flush_all_cpus((uintptr_t)arch_heap_address(mfn), 1UL << order);
}

void *arch_map_slot(mfn_t mfn)
{
    struct arch_cpu *cpu = &this_cpu()->arch;
    unsigned int slot = cpu->map_slots_used++;

    CHECK(slot < ENTRIES);
    cpu->map_slots[slot] = mfn.n << PAGE_SHIFT | PTE_DATA;
    return (void *)(cpu->map_slot_base + slot * PAGE_SIZE);
}

void arch_unmap_slot(const void *p)
{
    struct arch_cpu *cpu = &this_cpu()->arch;
    unsigned int slot = --cpu->map_slots_used;
    uintptr_t va = cpu->map_slot_base + slot * PAGE_SIZE;

    CHECK(ALIGN_DOWN((uintptr_t)p, PAGE_SIZE) == va);
    cpu->map_slots[slot] = 0;
    invalidate_page(va);
}

void *arch_move_slot(void *p, mfn_t mfn)
{
    struct arch_cpu *cpu = &this_cpu()->arch;

    cpu->map_slots[cpu->map_slots_used - 1] = mfn.n << PAGE_SHIFT | PTE_DATA;
    invalidate_page((uintptr_t)p);
    return p;
}

int paging_cpu_init(struct cpu *cpu)
{
    uint64_t *entry;

    cpu->arch.map_slot_base = SLOT_WINDOW + cpu->id * SLOT_WINDOW_SIZE;
    spin_lock(&paging_lock);
    entry = walk(cpu->arch.map_slot_base, 1, true);
    spin_unlock(&paging_lock);
    cpu->arch.map_slots = entry;
    return entry ? 0 : -XEN_ENOMEM;
}

// Where no RAM is, the frame table shows zeroes (PAGE_STATE_NONE): one read-only page everywhere.
static void map_frame_table_hole(uintptr_t va, uint64_t *hole_table)
{
    if (!*hole_table) {
        uint64_t zeroes = table_alloc();

        *hole_table = table_alloc();
        for (unsigned int i = 0; i < ENTRIES; i++) {
            table_at(*hole_table)[i] = zeroes | PTE_PRESENT | PTE_ACCESSED | PTE_NX;
        }
    }
    *walk(va, 2, true) = *hole_table | PTE_TABLE;
}

struct page *arch_map_frame_table(uint64_t frames)
{
    uint64_t frames_per_block = LARGE_PAGE / sizeof(struct page);
    uint64_t hole_table = 0;

    for (uint64_t n = 0; n < frames; n += frames_per_block) {
        uintptr_t va = FRAME_TABLE + n * sizeof(struct page);

        if (early_has_ram(n << PAGE_SHIFT, frames_per_block << PAGE_SHIFT)) {
            uint64_t block = early_take(LARGE_PAGE, LARGE_PAGE, UINT64_MAX);

            if (!block) {
                panic("Not enough memory for the frame table.");
            }
            *walk(va, 2, true) = block | PTE_DATA | PTE_LARGE;
            memset((void *)va, 0, LARGE_PAGE);
        } else {
            map_frame_table_hole(va, &hole_table);
        }
    }
    return (struct page *)FRAME_TABLE;
}

static void map_image_part(const char *start, const char *end, uint64_t bits)
{
    for (uintptr_t va = (uintptr_t)start; va < (uintptr_t)end; va += PAGE_SIZE) {
        *walk(va, 1, true) = image_maddr(va) | bits;
    }
}

// The image moves out of the low memory where boot loaders put it, which devices and guests that
// address 32 bits may want, to the top of what head.S reaches. Without a better place it stays.
static void choose_image_place(void)
{
    uint64_t size = boot_info.image_end.a - boot_info.image_start.a;
    uint64_t place = early_take(size, LARGE_PAGE, EARLY_BELOW_4G);

    if (place > boot_info.image_start.a) {
        early_release(boot_info.image_start.a);
        boot_info.image_start = MADDR(place);
        boot_info.image_end = MADDR(place + size);
    } else if (place) {
        early_release(place);
    }
}

void paging_init(uint64_t max_frame)
{
    uint64_t old_image = boot_info.image_start.a;

    choose_image_place();
    root = table_alloc();
    map_image_part(image_start, text_end, PTE_PRESENT | PTE_ACCESSED);
    map_image_part(text_end, rodata_end, PTE_PRESENT | PTE_ACCESSED | PTE_NX);
    map_image_part(rodata_end, bss_end, PTE_DATA);

    window_frames = ALIGN_UP(MIN(max_frame, HEAP_WINDOW_SIZE >> PAGE_SHIFT), 1UL << ORDER_1G);
    for (uint64_t n = 0; n < window_frames; n += 1UL << ORDER_1G) {
        walk(HEAP_WINDOW + (n << PAGE_SHIFT), 2, true);
    }
    // Making the window's tables may have taken further chunks: all are mapped at the end.
    for (unsigned int i = 0; i < pool_chunk_count; i++) {
        *window_entry(pool_chunks[i]) = pool_chunks[i] | PTE_DATA | PTE_LARGE;
    }
    table_window = HEAP_WINDOW;
    // Last, so that the copy has all that was written; this function's frame goes with it.
    if (boot_info.image_start.a != old_image) {
        paging_move_image((void *)boot_info.image_start.a, image_start,
                          boot_info.image_end.a - boot_info.image_start.a, root);
    } else {
        write_cr3(root);
    }
}

maddr_t paging_root(void)
{
    return MADDR(root);
}

// Gives the page allocator what is left of the pool: its 2 MiB page in the heap window becomes
// single pages, of which only those in use stay mapped.
static void give_pool_back(void)
{
    uint64_t table, chunk;

    if (pool_end - pool_next <= PAGE_SIZE) {
        return;
    }
    table = table_alloc();
    chunk = pool_end - POOL_CHUNK;
    for (uint64_t pa = chunk; pa < pool_next; pa += PAGE_SIZE) {
        table_at(table)[(pa - chunk) >> PAGE_SHIFT] = pa | PTE_DATA;
    }
    *window_entry(chunk) = table | PTE_TABLE;
    flush_all_cpus(HEAP_WINDOW + chunk, LARGE_PAGES);
    page_alloc_add(maddr_to_mfn(MADDR(pool_next)), (pool_end - pool_next) >> PAGE_SHIFT, true);
    pool_next = pool_end;
}

void paging_use_heap(void)
{
    heap_ready = true;
    give_pool_back();
}

void paging_release_image(const char *start, const char *end)
{
    size_t pages = (size_t)(end - start) >> PAGE_SHIFT;
    maddr_t pa = MADDR(image_maddr((uintptr_t)start));

    hv_unmap((uintptr_t)start, pages);
    page_alloc_add(maddr_to_mfn(pa), pages, true);
}

// SPDX-License-Identifier: Apache-2.0
// The hypervisor's own memory: always mapped, zeroed on allocation.
#ifndef BULKHEAD_HEAP_H
#define BULKHEAD_HEAP_H

#include <bulkhead/types.h>

void heap_init(void); // once, after the page allocator got its memory

// size bytes, aligned to 16 (to the page from PAGE_SIZE on); zeroed; NULL when memory is out.
void *heap_alloc(size_t size);
void heap_free(void *p); // NULL is fine
#define heap_new(type) ((type *)heap_alloc(sizeof(type)))
// n elements with the multiplication checked.
void *heap_alloc_array(size_t n, size_t size);

// 2^order contiguous zeroed pages, naturally aligned (order at most 8). flags: ALLOC_DMA32.
void *heap_alloc_pages(unsigned int order, unsigned int flags);
void heap_free_pages(void *p, unsigned int order);

// Gives back what the heap keeps in case it is wanted again soon; for idle time. Whether there was
// anything. No lock held: other CPUs have to answer.
bool heap_trim(void);

// Between a heap (or image) address and its frame.
mfn_t heap_mfn(const void *p);
maddr_t heap_maddr(const void *p);
void *heap_from_mfn(mfn_t mfn); // the frame must be PAGE_STATE_HEAP

uint64_t heap_pages_in_use(void);

#endif

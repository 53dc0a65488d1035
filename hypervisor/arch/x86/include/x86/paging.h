// SPDX-License-Identifier: Apache-2.0
// The hypervisor's own page tables. Nothing is ever mapped both writable and executable.
#ifndef BULKHEAD_X86_PAGING_H
#define BULKHEAD_X86_PAGING_H

#include <bulkhead/types.h>

#define HV_READ 1u
#define HV_WRITE 2u
#define HV_EXEC 4u
#define HV_UNCACHED 8u
#define HV_WRITE_COMBINING 16u

// Maps `pages` 4 KiB pages from va (page-aligned, not mapped yet) to pa. 2 MiB pages are used where
// both are so aligned. Returns 0, or -XEN_ENOMEM with nothing mapped. Takes the paging lock.
int hv_map(uintptr_t va, maddr_t pa, size_t pages, unsigned int prot);
// Unmaps; what is not mapped is passed over. A 2 MiB page must be covered whole.
// No CPU's TLB holds the range on return. Interrupts off; table pages are kept.
void hv_unmap(uintptr_t va, size_t pages);

// Maps device registers, uncached: pa need not be page-aligned. NULL when memory is out.
void *hv_ioremap(maddr_t pa, size_t size);
// The same with other attributes (HV_*), e.g. HV_READ for firmware tables.
void *hv_ioremap_prot(maddr_t pa, size_t size, unsigned int prot);
void hv_iounmap(void *p, size_t size);

// Machine address behind a mapped address; all ones if it is not mapped.
maddr_t hv_translate(const void *p);

// Address space of the lasting window without a mapping: page-aligned, surrounded by what the
// caller asks for as guard. 0 when it is used up.
uintptr_t hv_reserve(size_t pages);
void hv_release(uintptr_t va, size_t pages);

struct cpu;
// Gives a CPU its page of map slots. 0 or -XEN_ENOMEM.
int paging_cpu_init(struct cpu *cpu);

// Builds the final tables from the boot allocator's memory, moves the image to a good place and
// switches to them; the one-to-one mapping that head.S made is gone then.
void paging_init(uint64_t max_frame);
// Physical address of the top-level table.
maddr_t paging_root(void);
// From now on table pages come from the heap; the rest of the boot allocator's goes to the page
// allocator.
void paging_use_heap(void);
// Gives a part of the image (whole pages) that is not needed any more to the page allocator.
void paging_release_image(const char *start, const char *end);
// head.S: copies the image, the stack in use included, and switches to the tables at root.
void paging_move_image(void *to, const void *from, size_t size, uint64_t root);

#endif

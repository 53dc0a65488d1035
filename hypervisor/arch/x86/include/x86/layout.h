// SPDX-License-Identifier: Apache-2.0
// The hypervisor's address space. Also read by assembly code and the linker script's author: the
// image's addresses here and in boot/link.ld must agree.
#ifndef BULKHEAD_X86_LAYOUT_H
#define BULKHEAD_X86_LAYOUT_H

#ifdef __ASSEMBLY__
#define LAYOUT_ADDRESS(x) x
#else
#define LAYOUT_ADDRESS(x) x##UL
#endif

// Frame n of the heap is at HEAP_WINDOW + n * 4096, mapped only while the heap owns it.
#define HEAP_WINDOW LAYOUT_ADDRESS(0xffff800000000000)
#define HEAP_WINDOW_SIZE LAYOUT_ADDRESS(0x0000080000000000) // 8 TiB
#define FRAME_TABLE LAYOUT_ADDRESS(0xffff880000000000)
// Device registers, stacks with their guard pages, lasting mappings of guest frames.
#define LASTING_WINDOW LAYOUT_ADDRESS(0xffff900000000000)
#define LASTING_WINDOW_SIZE LAYOUT_ADDRESS(0x0000000040000000) // 1 GiB
// 2 MiB for each CPU's transient mappings.
#define SLOT_WINDOW LAYOUT_ADDRESS(0xffff980000000000)
#define SLOT_WINDOW_SIZE LAYOUT_ADDRESS(0x0000000000200000) // each CPU's
// The image is linked for physical address IMAGE_LINK_BASE at IMAGE_OFFSET + IMAGE_LINK_BASE.
#define IMAGE_OFFSET LAYOUT_ADDRESS(0xffffffff80000000)
#define IMAGE_LINK_BASE 0x200000
#define IMAGE_MAX_SIZE 0x400000 // what head.S maps

#define STACK_PAGES 4

// Segment selectors. The task state segment's descriptor takes two entries.
#define SELECTOR_CODE 0x08
#define SELECTOR_DATA 0x10
#define SELECTOR_TSS 0x18

#endif

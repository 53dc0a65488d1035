// SPDX-License-Identifier: Apache-2.0
// A machine for the memory code: frames with contents, a heap window that is accessible only where
// the heap has mapped it, slots that must be given back in order, and domains. One per process.
//
// A frame that nobody has written holds zeroes and takes no host memory, so a machine may have many
// GiB. Frames may be marked as holding old data, which reads as WORLD_OLD until it is overwritten.
#ifndef MM_TEST_WORLD_H
#define MM_TEST_WORLD_H

#include <bulkhead/domain.h>
#include <bulkhead/page.h>

#define WORLD_OLD 0xa5u
#define WORLD_GIB (1UL << ORDER_1G)

// Makes a machine of that many frames; all but those below `hole` are given to the allocator.
void world_start(uint64_t frames, uint64_t hole, bool dirty);
// The calling thread is CPU n from now on; waiting for a lock is then possible.
void world_enter_cpu(unsigned int n);

// From now on cross-CPU calls wait until the calling thread's CPU comes to a window: world_window,
// or waiting for a lock. For threads that change and read the same tables.
void world_take_calls(bool take);
void world_window(void);

// Contents of a frame.
bool world_frame_is_zero(uint64_t frame);
void world_mark_old(uint64_t frame, uint64_t count);
void *world_frame(uint64_t frame);  // to read and write, as a guest or device would
void world_slow_mapping(bool slow); // let other threads run in the middle of short operations
uint64_t world_mappings(void);      // transient and lasting, that are open now

struct domain *world_domain_create(uint64_t max_pages);
// The domain holds nothing any more; frees it.
void world_domain_end(struct domain *d);
// References that its frames hold (0 or 1).
int world_domain_references(const struct domain *d);

// Everything that the frame table says about free memory agrees with itself and with the counters,
// no two free blocks could be one, and clean blocks hold zeroes. Fails the test otherwise.
void world_check_free_memory(void);
// The free blocks as one number, to compare two moments.
uint64_t world_free_memory_hash(void);
void world_scrub_all(void);

// From now on the count-th allocation from the heap fails, once; 0: none does. Only of code that is
// linked with --wrap.
void world_fail_allocation(uint64_t count);
bool world_allocation_failed(void);

uint64_t world_random(uint64_t limit); // below limit; reproducible
void world_seed(uint64_t seed);

#endif

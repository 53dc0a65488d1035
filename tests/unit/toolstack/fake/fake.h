// SPDX-License-Identifier: Apache-2.0
//
// Stand-ins for the hypervisor (libxencall, libxenforeignmemory) and for xenstored (libxenstore),
// in one process. Every call of theirs that the toolstack makes is counted, and one can be told to
// fail. Tests look at what is left in them.
#ifndef FAKE_H
#define FAKE_H

#include <stdbool.h>
#include <stddef.h>

// Begins again with domain 0 alone and an almost empty store.
void fake_reset(void);

// The call with this number (from 1) fails with ENOMEM; 0: none does.
void fake_fail_at(unsigned int call);
// Before the call with this number somebody else destroys domain 1, as xl destroy does.
void fake_vanish_at(unsigned int call);
void fake_destroy(void);
// How many calls there have been since the last fake_fail_at, and whether one was made to fail.
unsigned int fake_calls(void);
bool fake_has_failed(void);
// Whether this call is the one that fails; for the stand-ins.
bool fake_call_fails(void);

// What is left: domains but domain 0, mapped guest pages, hypercall buffers, open handles.
size_t fake_domains(void);
size_t fake_mappings(void);
size_t fake_buffers(void);

// How many nodes the store has, and the value of one, or NULL.
size_t fake_nodes(void);
const char *fake_value(const char *path);
// Backends answer: a node "state" of a backend that is set to 1 becomes 2, one that is set to 5
// becomes 6. false: they are dead.
void fake_backends_answer(bool answer);
void fake_store_set(const char *path, const char *value);
// The domain that was last given the right to read a node, or -1.
int fake_reader(const char *path);
void fake_store_remove(const char *path); // with all below it
size_t fake_watches(void);

// A domain that is dying, and gone after it has been looked at so many times.
void fake_dying_domain(unsigned int domid, unsigned int looks);

// The machine's PCI functions are a bridge 00:03.0, domain 0's; below it a NIC 01:00.0, nobody's;
// and an NVMe controller 02:00.0, which domain 3 has.

// A page of a domain's memory, or NULL where it has none.
const unsigned char *fake_page(unsigned int domid, unsigned long frame);

void fake_hypervisor_reset(void);
void fake_store_reset(void);

// fake_kernel.c: writes a kernel that can be built into a domain.
#define FAKE_LOAD_ADDRESS 0x100000u
void fake_write_kernel(const char *path);

#endif

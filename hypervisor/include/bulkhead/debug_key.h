// SPDX-License-Identifier: Apache-2.0
// Debug keys: single characters, typed on the serial console after three times Ctrl-A or given to
// xl debug-keys, each of which shows something about the hypervisor's state.
#ifndef BULKHEAD_DEBUG_KEY_H
#define BULKHEAD_DEBUG_KEY_H

#include <bulkhead/types.h>

// description must stay. At start-up only; a key that is taken already is a broken invariant.
void debug_key_register(char key, const char *description, void (*fn)(void));
// Runs the key's function, from cpu_loop or a hypercall, no lock held; false if there is none.
bool debug_key_handle(char key);
// Registers the keys that belong to no subsystem. Once.
void debug_keys_init(void);

#endif

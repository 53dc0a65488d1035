// SPDX-License-Identifier: Apache-2.0
//
// The fuzzer of a console's ring: the input is what the domain has written over the whole page,
// indices included, and what is typed meanwhile. Only the ring's own bytes may be read, and no more
// of them than there are.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <toolstack/console_ring.h>
#include <xen/io/console.h>

enum { ROUNDS = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct xencons_interface *ring = malloc(sizeof(*ring));

    memset(ring, 0, sizeof(*ring));
    for (unsigned int round = 0; round < ROUNDS && size; round++) {
        size_t piece = size < sizeof(*ring) ? size : sizeof(*ring);
        char *bytes = malloc(sizeof(ring->out));

        // What comes first overwrites the indices, which stand at the end of the structure.
        memcpy((char *)ring + sizeof(*ring) - piece, data, piece);
        size_t taken = console_ring_take(ring, bytes, sizeof(ring->out));
        size_t room = console_ring_room(ring);

        if (taken > sizeof(ring->out) || room > sizeof(ring->in))
            abort();
        console_ring_give(ring, (const char *)data, size < room ? size : room);
        if (console_ring_room(ring) > room)
            abort();
        free(bytes);
        data += piece;
        size -= piece;
    }
    free(ring);
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
/*
 * Unpacks a zstd frame with the zstd project's library.
 */
#ifndef DOM0_LOADER_UNPACK_H
#define DOM0_LOADER_UNPACK_H

#include <stdbool.h>
#include <stdint.h>

#include "report.h"

/* unpack_beginning works in blocks of up to this many bytes. */
#define UNPACK_BLOCK_MAX (128 * 1024)

/*
 * Unpacks at least the first @wanted bytes of the frame at @packed into @output, or all of them if
 * there are fewer; @capacity must be @wanted + UNPACK_BLOCK_MAX or more. *@unpacked says how many
 * it were.
 */
bool unpack_beginning(const uint8_t *packed, uint64_t packed_size, uint8_t *output,
                      uint64_t capacity, uint64_t wanted, uint64_t *unpacked,
                      struct load_error *error);

/*
 * Unpacks the whole frame to @output; nothing is written outside of its @size bytes. Fails unless
 * the frame is sound, its checksum holds and it unpacks to exactly @size bytes.
 */
bool unpack_all(const uint8_t *packed, uint64_t packed_size, uint8_t *output, uint64_t size,
                struct load_error *error);

#endif

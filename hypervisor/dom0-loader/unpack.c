// SPDX-License-Identifier: Apache-2.0
/*
 * Drives libzstd block by block. Its block interface writes straight to the destination and finds
 * its window there, so a frame with a window of 128 MiB (Linux packs with level 22) needs no other
 * memory than the context, which is static: there is no heap. The interface is public but not
 * stable between versions, which is no matter to a static link. One user at a time.
 */
#define ZSTD_STATIC_LINKING_ONLY
#include "unpack.h"

#include <zstd.h>
#include <zstd_errors.h>

/* libzstd 1.5.4 and 1.5.7 need 96 KiB. */
#define WORKSPACE_SIZE (192 * 1024)

_Static_assert(UNPACK_BLOCK_MAX == ZSTD_BLOCKSIZE_MAX, "a block must fit the caller's buffer");

/* The loader's linker script leaves .bss.unset as it finds it: libzstd initializes the context. */
static _Alignas(16) uint8_t workspace[WORKSPACE_SIZE] __attribute__((section(".bss.unset")));

static bool fail_corrupt(size_t code, struct load_error *error)
{
    if (ZSTD_getErrorCode(code) == ZSTD_error_dstSize_tooSmall) {
        return load_fail(error, "Domain 0's kernel is corrupt: it unpacks to more bytes than its "
                                "header promises.");
    }
    return load_fail(error, "Domain 0's kernel is corrupt: its zstd data does not unpack (%s).",
                     ZSTD_getErrorName(code));
}

static bool unpack(const uint8_t *packed, uint64_t packed_size, uint8_t *output, uint64_t capacity,
                   uint64_t wanted, uint64_t *unpacked, struct load_error *error)
{
    ZSTD_DCtx *context = ZSTD_initStaticDCtx(workspace, sizeof(workspace));
    size_t step, result;

    *unpacked = 0;
    if (context == NULL) {
        return load_fail(error, "The domain 0 loader is broken: libzstd needs more than %lu bytes.",
                         (unsigned long)sizeof(workspace));
    }
    result = ZSTD_decompressBegin(context);
    if (ZSTD_isError(result)) {
        return fail_corrupt(result, error);
    }
    /* Every step takes at least one byte of the input: the loop ends. */
    while (*unpacked < wanted && (step = ZSTD_nextSrcSizeToDecompress(context)) != 0) {
        if (step > packed_size) {
            return load_fail(error, "Domain 0's kernel is corrupt: its zstd data ends too early.");
        }
        result = ZSTD_decompressContinue(context, output + *unpacked, capacity - *unpacked, packed,
                                         step);
        if (ZSTD_isError(result)) {
            return fail_corrupt(result, error);
        }
        packed += step;
        packed_size -= step;
        *unpacked += result;
    }
    return true;
}

bool unpack_beginning(const uint8_t *packed, uint64_t packed_size, uint8_t *output,
                      uint64_t capacity, uint64_t wanted, uint64_t *unpacked,
                      struct load_error *error)
{
    return unpack(packed, packed_size, output, capacity, wanted, unpacked, error);
}

bool unpack_all(const uint8_t *packed, uint64_t packed_size, uint8_t *output, uint64_t size,
                struct load_error *error)
{
    uint64_t unpacked;

    if (!unpack(packed, packed_size, output, size, UINT64_MAX, &unpacked, error)) {
        return false;
    }
    if (unpacked != size) {
        return load_fail(error,
                         "Domain 0's kernel is corrupt: it unpacks to %lu bytes, its header "
                         "promises %lu.",
                         unpacked, size);
    }
    return true;
}

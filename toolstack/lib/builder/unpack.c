// SPDX-License-Identifier: Apache-2.0
//
// Unpacking of kernels, by the format's first bytes. struct output grows as the decompressor fills
// it, up to a limit, so that a small file cannot ask for all memory. A kernel's payload is followed
// by four bytes with its unpacked size (Linux boot protocol); they are only a first guess.
#include <toolstack/kernel.h>

#include <bzlib.h>
#include <lz4.h>
#include <lzma.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

struct output {
    uint8_t *bytes;
    size_t size;     // bytes filled
    size_t capacity; // bytes there are
    size_t limit;
};

#define FIRST_CAPACITY (1ul << 20)
#define LZ4_BLOCK_MAX (8ul << 20)

static struct error *broken(const char *format)
{
    return error_advice(error_new(ERROR_KERNEL, "the kernel's %s data is damaged", format),
                        "Compare the file with its source; it may have been copied in part.");
}

// Makes room for at least more bytes after those filled.
static struct error *output_grow(struct output *output, size_t more)
{
    if (output->capacity - output->size >= more)
        return NULL;
    size_t capacity = output->capacity ? output->capacity * 2 : FIRST_CAPACITY;

    if (capacity < output->size + more)
        capacity = output->size + more;
    if (capacity > output->limit)
        capacity = output->limit;
    if (capacity - output->size < more)
        return error_new(ERROR_KERNEL, "the kernel unpacks to more than %zu MiB",
                         output->limit >> 20);
    uint8_t *bytes = realloc(output->bytes, capacity);

    if (!bytes)
        return error_new(ERROR_HOST_MEMORY, "there is no memory to unpack the kernel in");
    output->bytes = bytes;
    output->capacity = capacity;
    return NULL;
}

static struct error *unpack_gzip(const uint8_t *bytes, size_t size, struct output *output)
{
    z_stream stream = {.next_in = (uint8_t *)(uintptr_t)bytes, .avail_in = (uInt)size};
    struct error *error = NULL;
    int result = Z_OK;

    // 16: with the header and checksum of gzip.
    if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK)
        return error_new(ERROR_HOST_MEMORY, "there is no memory to unpack the kernel in");
    while (!error && result == Z_OK) {
        error = output_grow(output, 1);
        if (error)
            break;
        stream.next_out = output->bytes + output->size;
        stream.avail_out = (uInt)(output->capacity - output->size);
        result = inflate(&stream, Z_NO_FLUSH);
        output->size = (size_t)(stream.next_out - output->bytes);
    }
    inflateEnd(&stream);
    return error || result == Z_STREAM_END ? error : broken("gzip");
}

static struct error *unpack_bzip2(const uint8_t *bytes, size_t size, struct output *output)
{
    bz_stream stream = {.next_in = (char *)(uintptr_t)bytes, .avail_in = (unsigned int)size};
    struct error *error = NULL;
    int result = BZ_OK;

    if (BZ2_bzDecompressInit(&stream, 0, 0) != BZ_OK)
        return error_new(ERROR_HOST_MEMORY, "there is no memory to unpack the kernel in");
    while (!error && result == BZ_OK) {
        error = output_grow(output, 1);
        if (error)
            break;
        size_t before = output->size;

        stream.next_out = (char *)output->bytes + output->size;
        stream.avail_out = (unsigned int)(output->capacity - output->size);
        result = BZ2_bzDecompress(&stream);
        output->size = (size_t)((uint8_t *)stream.next_out - output->bytes);
        // It says OK for ever when the input ends early.
        if (result == BZ_OK && !stream.avail_in && output->size == before)
            break;
    }
    BZ2_bzDecompressEnd(&stream);
    return error || result == BZ_STREAM_END ? error : broken("bzip2");
}

// Both xz and the older lzma format.
static struct error *unpack_lzma(const uint8_t *bytes, size_t size, struct output *output)
{
    lzma_stream stream = LZMA_STREAM_INIT;
    struct error *error = NULL;
    lzma_ret result = LZMA_OK;

    if (lzma_auto_decoder(&stream, output->limit, 0) != LZMA_OK)
        return error_new(ERROR_HOST_MEMORY, "there is no memory to unpack the kernel in");
    stream.next_in = bytes;
    stream.avail_in = size;
    while (!error && result == LZMA_OK) {
        error = output_grow(output, 1);
        if (error)
            break;
        stream.next_out = output->bytes + output->size;
        stream.avail_out = output->capacity - output->size;
        result = lzma_code(&stream, LZMA_RUN);
        output->size = output->capacity - stream.avail_out;
    }
    lzma_end(&stream);
    return error || result == LZMA_STREAM_END ? error : broken("xz");
}

static uint32_t little32(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

// The legacy frame, which the kernel uses: after the magic number blocks, each with its size.
static struct error *unpack_lz4(const uint8_t *bytes, size_t size, struct output *output)
{
    size_t at = 4;

    while (size - at >= 4) {
        uint32_t block = little32(bytes + at);

        // What cannot be a block is the unpacked size that follows the payload.
        if (block > size - at - 4)
            break;
        at += 4;
        TRY(output_grow(output, LZ4_BLOCK_MAX));
        int result =
            LZ4_decompress_safe((const char *)bytes + at, (char *)output->bytes + output->size,
                                (int)block, LZ4_BLOCK_MAX);

        if (result <= 0)
            return broken("lz4");
        output->size += (size_t)result;
        at += block;
    }
    return output->size ? NULL : broken("lz4");
}

static struct error *unpack_zstd(const uint8_t *bytes, size_t size, struct output *output)
{
    ZSTD_DStream *stream = ZSTD_createDStream();
    ZSTD_inBuffer in = {bytes, size, 0};
    struct error *error = NULL;
    size_t result = 1;

    if (!stream)
        return error_new(ERROR_HOST_MEMORY, "there is no memory to unpack the kernel in");
    // The kernel's windows may be as large as 128 MiB.
    ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, 27);
    while (!error && result && !ZSTD_isError(result)) {
        size_t consumed = in.pos;
        size_t before = output->size;

        error = output_grow(output, 1);
        if (error)
            break;
        ZSTD_outBuffer out = {output->bytes, output->capacity, output->size};

        result = ZSTD_decompressStream(stream, &out, &in);
        output->size = out.pos;
        if (in.pos == consumed && output->size == before)
            break;
    }
    ZSTD_freeDStream(stream);
    return error || !result ? error : broken("zstd");
}

static const struct format {
    const char *magic;
    size_t magic_size;
    struct error *(*unpack)(const uint8_t *bytes, size_t size, struct output *output);
} formats[] = {
    {"\x1f\x8b", 2, unpack_gzip},
    {"BZh", 3, unpack_bzip2},
    {"\xfd"
     "7zXZ",
     5, unpack_lzma},
    {"\x5d\0\0", 3, unpack_lzma},
    {"\x02\x21\x4c\x18", 4, unpack_lz4},
    {"\x28\xb5\x2f\xfd", 4, unpack_zstd},
};

struct error *kernel_unpack(const uint8_t *bytes, size_t size, size_t limit, uint8_t **result,
                            size_t *result_size)
{
    struct output output = {.limit = limit};

    if (size < 8 || size > FILE_SIZE_MAX)
        return error_new(ERROR_KERNEL, "the kernel's payload is too short or too long");
    uint32_t guess = little32(bytes + size - 4);

    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        const struct format *format = &formats[i];

        if (memcmp(bytes, format->magic, format->magic_size) != 0)
            continue;
        // The guess saves copying; a wrong one does not matter, but must not cost much.
        struct error *error =
            output_grow(&output, guess < limit && guess / 16 < size ? guess + 1ul : 1);

        if (!error)
            error = format->unpack(bytes, size, &output);
        if (error) {
            free(output.bytes);
            // cppcheck-suppress returnDanglingLifetime; errors do not refer to the output
            return error;
        }
        *result = output.bytes;
        *result_size = output.size;
        return NULL;
    }
    return error_advice(error_new(ERROR_KERNEL, "the kernel is packed in a way that is not known"),
                        "Known are gzip, bzip2, lzma, xz, lz4 and zstd.");
}

// SPDX-License-Identifier: Apache-2.0
/*
 * Reads the bzImage setup header (Linux: Documentation/arch/x86/boot.rst) of an untrusted file.
 * Every field is read through read_le16/read_le32 after its offset was checked against the file's
 * size, and sums are formed in 64 bits, where the header's 32-bit fields cannot overflow.
 * No state, no locking.
 */
#include "kernel_file.h"

#include <elf.h>
#include <stddef.h>
#include <string.h>

/* Offsets in a bzImage, from its first byte. */
#define SETUP_SECTS 0x1f1
#define SYSSIZE 0x1f4
#define HEADER_MAGIC 0x202
#define PROTOCOL_VERSION 0x206
#define PAYLOAD_OFFSET 0x248
#define PAYLOAD_LENGTH 0x24c
#define HEADER_END 0x250

#define SECTOR 512
#define DEFAULT_SETUP_SECTS 4 /* what setup_sects = 0 stands for */
#define FIRST_PROTOCOL_WITH_PAYLOAD 0x0208
#define SIZE_TRAILER 4 /* the unpacked size that Linux appends to a zstd payload */

/* How the first bytes of a payload tell what packed it. */
static const struct packer {
    const char *name;
    uint8_t length;
    uint8_t magic[6];
} packers[] = {
    {"gzip", 2, {0x1f, 0x8b}},         {"xz", 6, {0xfd, '7', 'z', 'X', 'Z', 0}},
    {"bzip2", 3, {'B', 'Z', 'h'}},     {"lzma", 3, {0x5d, 0, 0}},
    {"lzo", 4, {0x89, 'L', 'Z', 'O'}}, {"lz4", 4, {0x02, 0x21, 0x4c, 0x18}},
};

static const uint8_t zstd_magic[4] = {0x28, 0xb5, 0x2f, 0xfd};

static uint16_t read_le16(const uint8_t *data)
{
    return (uint16_t)(data[0] | data[1] << 8);
}

static uint32_t read_le32(const uint8_t *data)
{
    return (uint32_t)read_le16(data) | (uint32_t)read_le16(data + 2) << 16;
}

static bool is_truncated(uint64_t size, uint64_t promised, struct load_error *error)
{
    if (size >= promised) {
        return false;
    }
    load_fail(error,
              "Domain 0's kernel is truncated: the file has %lu bytes, its header promises %lu.",
              size, promised);
    return true;
}

static bool identify_elf(const uint8_t *data, uint64_t size, struct kernel_file *file)
{
    if (size < SELFMAG || memcmp(data, ELFMAG, SELFMAG) != 0) {
        return false;
    }
    *file = (struct kernel_file){.image = data, .image_size = size, .unpacked_size = size};
    return true;
}

static bool identify_payload(const uint8_t *payload, uint64_t size, struct kernel_file *file,
                             struct load_error *error)
{
    if (size >= sizeof(zstd_magic) + SIZE_TRAILER &&
        memcmp(payload, zstd_magic, sizeof(zstd_magic)) == 0) {
        *file = (struct kernel_file){
            .image = payload,
            .image_size = size - SIZE_TRAILER,
            .packed = true,
            .unpacked_size = read_le32(payload + size - SIZE_TRAILER),
        };
        return true;
    }
    if (identify_elf(payload, size, file)) {
        return true;
    }
    for (size_t i = 0; i < sizeof(packers) / sizeof(packers[0]); i++) {
        const struct packer *packer = &packers[i];

        if (size >= packer->length && memcmp(payload, packer->magic, packer->length) == 0) {
            return load_fail(error,
                             "Domain 0's kernel is packed with %s: only kernels packed with zstd "
                             "and unpacked ELF files can be started.",
                             packer->name);
        }
    }
    return load_fail(error,
                     "Domain 0's kernel is corrupt: its %lu bytes of payload are packed "
                     "with no known method.",
                     size);
}

static bool identify_bzimage(const uint8_t *data, uint64_t size, struct kernel_file *file,
                             struct load_error *error)
{
    uint64_t setup_size, system_size, payload_start, payload_size;
    unsigned version;

    if (is_truncated(size, HEADER_END, error)) {
        return false;
    }
    version = read_le16(data + PROTOCOL_VERSION);
    if (version < FIRST_PROTOCOL_WITH_PAYLOAD) {
        return load_fail(error,
                         "Domain 0's kernel is too old: it speaks boot protocol %lu.%lu, 2.8 or "
                         "newer is needed.",
                         (unsigned long)(version >> 8), (unsigned long)(version & 0xff));
    }
    setup_size = data[SETUP_SECTS] != 0 ? data[SETUP_SECTS] : DEFAULT_SETUP_SECTS;
    setup_size = (setup_size + 1) * SECTOR;
    /* syssize counts units of 16 bytes and rounds up: the file may end inside the last one. */
    system_size = (uint64_t)read_le32(data + SYSSIZE) * 16;
    if (system_size != 0 && is_truncated(size, setup_size + system_size - 15, error)) {
        return false;
    }
    payload_start = setup_size + read_le32(data + PAYLOAD_OFFSET);
    payload_size = read_le32(data + PAYLOAD_LENGTH);
    if (is_truncated(size, payload_start + payload_size, error)) {
        return false;
    }
    return identify_payload(data + payload_start, payload_size, file, error);
}

bool kernel_file_identify(const uint8_t *data, uint64_t size, struct kernel_file *file,
                          struct load_error *error)
{
    if (identify_elf(data, size, file)) {
        return true;
    }
    if (size >= HEADER_MAGIC + 4 && memcmp(data + HEADER_MAGIC, "HdrS", 4) == 0) {
        return identify_bzimage(data, size, file, error);
    }
    return load_fail(error,
                     "Domain 0's kernel is no kernel: the file of %lu bytes is neither a Linux "
                     "bzImage nor an ELF file.",
                     size);
}

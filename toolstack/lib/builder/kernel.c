// SPDX-License-Identifier: Apache-2.0
//
// Kernel files: ELF as it is, and bzImage (Linux boot protocol 2.08 and later), whose payload is an
// ELF file, packed or not. Offsets of the boot protocol are from its documentation.
#include <toolstack/kernel.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SETUP_SECTORS = 0x1f1,
    BOOT_FLAG = 0x1fe,
    HEADER_MAGIC = 0x202,
    PROTOCOL = 0x206,
    PAYLOAD_OFFSET = 0x248,
    PAYLOAD_LENGTH = 0x24c,
    HEADER_END = 0x250,
    SECTOR = 512,
};

#define UNPACKED_MAX (1ul << 30)

struct error *file_map(const char *path, const char *what, struct file_bytes *file)
{
    struct stat status;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);

    *file = (struct file_bytes){0};
    if (descriptor < 0)
        return error_errno(ERROR_NO_FILE, errno, "cannot open the %s %s", what, path);
    struct error *error = NULL;

    if (fstat(descriptor, &status) != 0)
        error = error_errno(ERROR_NO_FILE, errno, "cannot read the %s %s", what, path);
    else if (!S_ISREG(status.st_mode) || !status.st_size)
        error = error_new(ERROR_NO_FILE, "the %s %s is no file with anything in it", what, path);
    else if ((unsigned long)status.st_size > FILE_SIZE_MAX)
        error = error_new(ERROR_NO_FILE, "the %s %s is larger than 2 GiB", what, path);
    if (!error) {
        file->size = (size_t)status.st_size;
        file->bytes = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (file->bytes == MAP_FAILED) {
            file->bytes = NULL;
            error = error_errno(ERROR_NO_FILE, errno, "cannot read the %s %s", what, path);
        }
    }
    close(descriptor);
    return error;
}

void file_unmap(struct file_bytes *file)
{
    if (file->bytes)
        munmap(file->bytes, file->size);
    *file = (struct file_bytes){0};
}

static uint32_t little32(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static bool is_elf(const uint8_t *bytes, size_t size)
{
    return size >= 4 && !memcmp(bytes, "\177ELF", 4);
}

static bool is_bzimage(const uint8_t *bytes, size_t size)
{
    return size >= HEADER_END && bytes[BOOT_FLAG] == 0x55 && bytes[BOOT_FLAG + 1] == 0xaa &&
           !memcmp(bytes + HEADER_MAGIC, "HdrS", 4);
}

static struct error *read_bzimage(const uint8_t *bytes, size_t size, struct kernel *kernel)
{
    unsigned int protocol = bytes[PROTOCOL] | (unsigned int)bytes[PROTOCOL + 1] << 8;
    uint64_t sectors = bytes[SETUP_SECTORS] ? bytes[SETUP_SECTORS] : 4;

    if (protocol < 0x208)
        return error_new(ERROR_KERNEL, "the kernel's boot protocol %u.%02u is too old",
                         protocol >> 8, protocol & 0xff);
    uint64_t offset = (sectors + 1) * SECTOR + little32(bytes + PAYLOAD_OFFSET);
    uint64_t length = little32(bytes + PAYLOAD_LENGTH);

    if (offset > size || length > size - offset)
        return error_advice(error_new(ERROR_KERNEL, "the kernel file ends too early"),
                            "It may have been copied in part.");
    if (is_elf(bytes + offset, length))
        return kernel_read_elf(bytes + offset, length, kernel);
    size_t unpacked_size;

    TRY(kernel_unpack(bytes + offset, length, UNPACKED_MAX, &kernel->unpacked, &unpacked_size));
    return kernel_read_elf(kernel->unpacked, unpacked_size, kernel);
}

struct error *kernel_read(const uint8_t *bytes, size_t size, struct kernel *kernel)
{
    struct error *error;
    size_t unpacked_size;

    *kernel = (struct kernel){0};
    if (is_elf(bytes, size)) {
        error = kernel_read_elf(bytes, size, kernel);
    } else if (is_bzimage(bytes, size)) {
        error = read_bzimage(bytes, size, kernel);
    } else if (size > 2 && bytes[0] == 0x1f && bytes[1] == 0x8b) {
        // A vmlinux.gz or another kernel that somebody has packed.
        error = kernel_unpack(bytes, size, UNPACKED_MAX, &kernel->unpacked, &unpacked_size);
        if (!error)
            error = kernel_read_elf(kernel->unpacked, unpacked_size, kernel);
    } else {
        error = error_advice(
            error_new(ERROR_KERNEL, "the file is no kernel that a PVH domain can start"),
            "It must be a bzImage (vmlinuz) or an ELF file with a PVH entry.");
    }
    if (error)
        kernel_free(kernel);
    return error;
}

void kernel_free(struct kernel *kernel)
{
    free(kernel->unpacked);
    *kernel = (struct kernel){0};
}

// SPDX-License-Identifier: Apache-2.0
//
// Kernel images: a small ELF kernel made here, plain, packed in each way and inside a bzImage; the
// stock kernel of the test rig where it has been fetched; and damage of every kind.
#include "check.h"

#include <bzlib.h>
#include <elf.h>
#include <lz4.h>
#include <lzma.h>
#include <stdio.h>
#include <toolstack/kernel.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define LOAD_ADDRESS 0x1000000u
#define CODE_OFFSET 0x200u
#define CODE_SIZE 5000u
#define NOTE_OFFSET 0x180u
#define IMAGE_SIZE (CODE_OFFSET + CODE_SIZE)
#define PAYLOAD_OFFSET (5 * 512)

// The image with a load segment, a note with the entry, and code that counts up.
static void make_elf(uint8_t image[IMAGE_SIZE])
{
    const Elf64_Ehdr header = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_EXEC,
        .e_machine = EM_X86_64,
        .e_phoff = sizeof(Elf64_Ehdr),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = 2,
    };
    const Elf64_Phdr segments[] = {
        {.p_type = PT_LOAD,
         .p_offset = CODE_OFFSET,
         .p_paddr = LOAD_ADDRESS,
         .p_filesz = CODE_SIZE,
         .p_memsz = CODE_SIZE + 9000},
        {.p_type = PT_NOTE, .p_offset = NOTE_OFFSET, .p_filesz = 20},
    };
    const uint32_t note[] = {4, 4, 18, 0x006e6558, LOAD_ADDRESS + 16};

    memset(image, 0, IMAGE_SIZE);
    memcpy(image, &header, sizeof(header));
    memcpy(image + sizeof(header), segments, sizeof(segments));
    memcpy(image + NOTE_OFFSET, note, sizeof(note));
    for (unsigned int i = 0; i < CODE_SIZE; i++)
        image[CODE_OFFSET + i] = (uint8_t)(i * 7 + i / 256);
}

static void check_kernel(const struct kernel *kernel)
{
    uint8_t image[IMAGE_SIZE];

    make_elf(image);
    assert_int_equal(kernel->count, 1);
    assert_int_equal(kernel->entry, LOAD_ADDRESS + 16);
    assert_int_equal(kernel->low, LOAD_ADDRESS);
    assert_int_equal(kernel->high, LOAD_ADDRESS + 0x4000);
    assert_int_equal(kernel->segments[0].file_size, CODE_SIZE);
    assert_memory_equal(kernel->segments[0].bytes, image + CODE_OFFSET, CODE_SIZE);
}

static void reads_plain_elf(void **state)
{
    uint8_t image[IMAGE_SIZE];
    struct kernel kernel;

    (void)state;
    make_elf(image);
    assert_works(kernel_read(image, sizeof(image), &kernel));
    check_kernel(&kernel);
    kernel_free(&kernel);
}

typedef size_t packer(const uint8_t *in, uint8_t *out, size_t room);

static size_t pack_not(const uint8_t *in, uint8_t *out, size_t room)
{
    (void)room;
    memcpy(out, in, IMAGE_SIZE);
    return IMAGE_SIZE;
}

static size_t pack_gzip(const uint8_t *in, uint8_t *out, size_t room)
{
    z_stream stream = {.next_in = (uint8_t *)(uintptr_t)in, .avail_in = IMAGE_SIZE};

    deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
    stream.next_out = out;
    stream.avail_out = (unsigned int)room;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    return room - stream.avail_out;
}

static size_t pack_bzip2(const uint8_t *in, uint8_t *out, size_t room)
{
    unsigned int size = (unsigned int)room;

    assert_int_equal(
        BZ2_bzBuffToBuffCompress((char *)out, &size, (char *)(uintptr_t)in, IMAGE_SIZE, 9, 0, 0),
        BZ_OK);
    return size;
}

static size_t pack_xz(const uint8_t *in, uint8_t *out, size_t room)
{
    size_t size = 0;

    assert_int_equal(
        lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, NULL, in, IMAGE_SIZE, out, &size, room),
        LZMA_OK);
    return size;
}

static size_t pack_lzma(const uint8_t *in, uint8_t *out, size_t room)
{
    lzma_stream stream = LZMA_STREAM_INIT;
    lzma_options_lzma options;

    lzma_lzma_preset(&options, 6);
    assert_int_equal(lzma_alone_encoder(&stream, &options), LZMA_OK);
    stream.next_in = in;
    stream.avail_in = IMAGE_SIZE;
    stream.next_out = out;
    stream.avail_out = room;
    assert_int_equal(lzma_code(&stream, LZMA_FINISH), LZMA_STREAM_END);
    size_t size = room - stream.avail_out;

    lzma_end(&stream);
    return size;
}

static size_t pack_lz4(const uint8_t *in, uint8_t *out, size_t room)
{
    int size = LZ4_compress_default((const char *)in, (char *)out + 8, IMAGE_SIZE, (int)room - 8);

    memcpy(out, "\x02\x21\x4c\x18", 4);
    memcpy(out + 4, &size, 4);
    return (size_t)size + 8;
}

static size_t pack_zstd(const uint8_t *in, uint8_t *out, size_t room)
{
    return ZSTD_compress(out, room, in, IMAGE_SIZE, 19);
}

// A bzImage with the payload as the kernel's own build makes it: with the unpacked size behind it.
static size_t make_bzimage(packer *pack, uint8_t *image, size_t room)
{
    uint8_t elf[IMAGE_SIZE];
    const uint32_t unpacked = IMAGE_SIZE;
    const uint32_t offset = 0;

    make_elf(elf);
    memset(image, 0, room);
    image[0x1f1] = 4;
    image[0x1fe] = 0x55;
    image[0x1ff] = 0xaa;
    memcpy(image + 0x202, "HdrS", 4);
    image[0x206] = 0x0f;
    image[0x207] = 0x02;
    uint32_t length = (uint32_t)pack(elf, image + PAYLOAD_OFFSET, room - PAYLOAD_OFFSET - 4);

    memcpy(image + PAYLOAD_OFFSET + length, &unpacked, 4);
    length += 4;
    memcpy(image + 0x248, &offset, 4);
    memcpy(image + 0x24c, &length, 4);
    return PAYLOAD_OFFSET + length;
}

static packer *const packers[] = {pack_not,  pack_gzip, pack_bzip2, pack_xz,
                                  pack_lzma, pack_lz4,  pack_zstd};
#define PACKERS (sizeof(packers) / sizeof(packers[0]))
#define ROOM 65536

static void reads_every_packing(void **state)
{
    uint8_t *image = malloc(ROOM);

    (void)state;
    for (size_t i = 0; i < PACKERS; i++) {
        struct kernel kernel;
        size_t size = make_bzimage(packers[i], image, ROOM);

        assert_works(kernel_read(image, size, &kernel));
        check_kernel(&kernel);
        kernel_free(&kernel);
    }
    free(image);
}

// Cut anywhere a kernel is refused, and nothing is read behind its end.
static void refuses_kernels_cut_short(void **state)
{
    uint8_t *image = malloc(ROOM);

    (void)state;
    for (size_t i = 0; i < PACKERS; i++) {
        size_t size = make_bzimage(packers[i], image, ROOM);

        for (size_t cut = 0; cut < size - 4; cut += 37) {
            uint8_t *exact = malloc(cut ? cut : 1);
            struct kernel kernel;

            memcpy(exact, image, cut);
            struct error *error = kernel_read(exact, cut, &kernel);

            assert_non_null(error);
            assert_int_equal(error->code, ERROR_KERNEL);
            error_free(error);
            free(exact);
        }
    }
    free(image);
}

static void says_what_is_wrong(void **state)
{
    uint8_t image[IMAGE_SIZE];
    struct kernel kernel;

    (void)state;
    memset(image, 'x', sizeof(image));
    assert_fails(kernel_read(image, sizeof(image), &kernel), ERROR_KERNEL, "is no kernel");
    make_elf(image);
    image[NOTE_OFFSET + 8] = 17;
    assert_fails(kernel_read(image, sizeof(image), &kernel), ERROR_KERNEL, "no PVH entry");
    make_elf(image);
    image[18] = EM_ARM;
    assert_fails(kernel_read(image, sizeof(image), &kernel), ERROR_KERNEL, "another processor");
    make_elf(image);
    image[NOTE_OFFSET + 19] = 0x77;
    assert_fails(kernel_read(image, sizeof(image), &kernel), ERROR_KERNEL,
                 "entry point is damaged");
    make_elf(image);
    image[sizeof(Elf64_Ehdr) + offsetof(Elf64_Phdr, p_paddr) + 4] = 1;
    assert_fails(kernel_read(image, sizeof(image), &kernel), ERROR_KERNEL, "above 4 GiB");
}

static void bounds_what_unpacking_yields(void **state)
{
    size_t room = 1 << 16;
    uint8_t *zeroes = calloc(1, 8 << 20);
    uint8_t *packed = malloc(room);
    size_t size = ZSTD_compress(packed, room, zeroes, 8 << 20, 1);
    uint8_t *result;
    size_t result_size;

    (void)state;
    assert_fails(kernel_unpack(packed, size, 4 << 20, &result, &result_size), ERROR_KERNEL,
                 "unpacks to more than 4 MiB");
    free(zeroes);
    free(packed);
}

static void reads_the_rigs_kernel(void **state)
{
    struct file_bytes file;
    struct kernel kernel;

    (void)state;
    if (access(RIG_KERNEL, R_OK) != 0)
        skip();
    assert_works(file_map(RIG_KERNEL, "kernel", &file));
    assert_works(kernel_read(file.bytes, file.size, &kernel));
    assert_true(kernel.count >= 2);
    assert_int_equal(kernel.low, LOAD_ADDRESS);
    assert_true(kernel.entry > kernel.low && kernel.entry < kernel.high);
    kernel_free(&kernel);
    file_unmap(&file);
}

// Leaves an image of each kind in a folder, for the fuzzer to begin with.
static void write_seeds(const char *folder)
{
    uint8_t *image = malloc(ROOM);

    for (size_t i = 0; i < PACKERS; i++) {
        char path[512];
        size_t size = make_bzimage(packers[i], image, ROOM);

        snprintf(path, sizeof(path), "%s/packing-%zu", folder, i);
        FILE *file = fopen(path, "w");

        if (!file || fwrite(image, 1, size, file) != size || fclose(file) != 0)
            abort();
    }
    free(image);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        write_seeds(argv[1]);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_plain_elf),
        cmocka_unit_test(reads_every_packing),
        cmocka_unit_test(refuses_kernels_cut_short),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(bounds_what_unpacking_yields),
        cmocka_unit_test(reads_the_rigs_kernel),
    };

    return cmocka_run_group_tests_name("kernel", tests, NULL, NULL);
}

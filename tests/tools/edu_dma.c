// SPDX-License-Identifier: Apache-2.0
// Orders DMA of QEMU's device "edu" from Linux user space, to any address: what a hostile owner of
// a device would do. Runs as root in the domain that owns the device; prints one line and exits 0
// when the device has done what it was told (which says nothing about whether it got through).
//   edu_dma FUNCTION self            through the device from one page of ours to another: same
//   bytes? edu_dma FUNCTION read ADDRESS    into the device's buffer; prints the first 8 bytes that
//   came edu_dma FUNCTION write ADDRESS   8 bytes of 0xa5 from the buffer edu_dma FUNCTION message
//   ADDRESS DATA   4 bytes, as a message-signalled interrupt has
// FUNCTION is the name in /sys/bus/pci/devices. Addresses are hexadecimal and the domain's
// physical. Memory: one mapping of BAR 0, two locked pages. Waiting for the device is bounded.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BAR_SIZE 0x100000u
#define REGISTER_ID 0x00u
#define REGISTER_SOURCE 0x80u
#define REGISTER_DESTINATION 0x88u
#define REGISTER_COUNT 0x90u
#define REGISTER_COMMAND 0x98u
#define COMMAND_RUN 1u
#define COMMAND_TO_MEMORY 2u
#define BUFFER 0x40000u // in the device
#define ID_MASK 0x0000ffffu
#define ID 0x00edu
#define PAGE 4096u
#define MOST 4088u // the device takes a transfer that fills its buffer for one that is too large
#define COMMAND_REGISTER 4
#define MEMORY_AND_MASTER 6
#define PATIENCE_MS 5000

static volatile uint8_t *bar;

static void fail(const char *what)
{
    perror(what);
    exit(2);
}

static int open_file(const char *function, const char *name)
{
    char path[128];
    int file;

    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", function, name);
    file = open(path, O_RDWR | O_SYNC);
    if (file < 0) {
        fail(path);
    }
    return file;
}

static void write64(unsigned int offset, uint64_t value)
{
    *(volatile uint64_t *)(bar + offset) = value;
}

static void open_device(const char *function)
{
    int config = open_file(function, "config");
    int resource = open_file(function, "resource0");
    uint16_t command = 0;

    if (pread(config, &command, 2, COMMAND_REGISTER) != 2) {
        fail("command register");
    }
    command |= MEMORY_AND_MASTER;
    if (pwrite(config, &command, 2, COMMAND_REGISTER) != 2) {
        fail("command register");
    }
    bar = mmap(NULL, BAR_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, resource, 0);
    if (bar == MAP_FAILED) {
        fail("BAR 0");
    }
    if ((*(volatile uint32_t *)(bar + REGISTER_ID) & ID_MASK) != ID) {
        fprintf(stderr, "%s is no edu device\n", function);
        exit(2);
    }
}

static void transfer(uint64_t memory, unsigned int count, int to_memory)
{
    struct timespec pause = {.tv_nsec = 10000000};

    write64(REGISTER_SOURCE, to_memory ? BUFFER : memory);
    write64(REGISTER_DESTINATION, to_memory ? memory : BUFFER);
    write64(REGISTER_COUNT, count);
    write64(REGISTER_COMMAND, COMMAND_RUN | (to_memory ? COMMAND_TO_MEMORY : 0));
    for (int waited = 0; *(volatile uint64_t *)(bar + REGISTER_COMMAND) & COMMAND_RUN;
         waited += 10) {
        if (waited > PATIENCE_MS) {
            fprintf(stderr, "the device does not finish\n");
            exit(2);
        }
        nanosleep(&pause, NULL);
    }
}

// The physical address of a locked page.
static uint64_t physical(const void *page)
{
    int file = open("/proc/self/pagemap", O_RDONLY);
    uint64_t entry = 0;

    if (file < 0 || pread(file, &entry, 8, (off_t)((uintptr_t)page / PAGE * 8)) != 8 ||
        !(entry >> 63)) {
        fail("/proc/self/pagemap");
    }
    close(file);
    return (entry & ((1ull << 55) - 1)) * PAGE;
}

static uint8_t *new_page(void)
{
    uint8_t *page =
        mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (page == MAP_FAILED || mlock(page, PAGE)) {
        fail("a page");
    }
    return page;
}

static int copy_own_page(void)
{
    uint8_t *from = new_page(), *to = new_page();

    for (unsigned int i = 0; i < MOST; i++) {
        from[i] = (uint8_t)(i * 7 + 3);
    }
    memset(to, 0, PAGE);
    transfer(physical(from), MOST, 0);
    transfer(physical(to), MOST, 1);
    if (memcmp(from, to, MOST)) {
        printf("own page: DIFFERENT\n");
        return 1;
    }
    printf("own page: copied from %llx to %llx\n", (unsigned long long)physical(from),
           (unsigned long long)physical(to));
    return 0;
}

// Fills the first 8 bytes of the device's buffer by way of a page of ours.
static void fill_buffer(uint64_t value)
{
    uint8_t *page = new_page();

    memcpy(page, &value, sizeof(value));
    transfer(physical(page), sizeof(value), 0);
}

static uint64_t read_buffer(void)
{
    uint8_t *page = new_page();
    uint64_t value;

    transfer(physical(page), sizeof(value), 1);
    memcpy(&value, page, sizeof(value));
    return value;
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[2] : "";
    uint64_t address = argc > 3 ? strtoull(argv[3], NULL, 16) : 0;

    if (argc == 3 && !strcmp(what, "self")) {
        open_device(argv[1]);
        return copy_own_page();
    }
    if (argc == 4 && !strcmp(what, "read")) {
        open_device(argv[1]);
        fill_buffer(0x1122334455667788);
        transfer(address, 8, 0);
        printf("read %llx: %016llx\n", (unsigned long long)address,
               (unsigned long long)read_buffer());
        return 0;
    }
    if (argc == 4 && !strcmp(what, "write")) {
        open_device(argv[1]);
        fill_buffer(0xa5a5a5a5a5a5a5a5);
        transfer(address, 8, 1);
        printf("write %llx: done\n", (unsigned long long)address);
        return 0;
    }
    if (argc == 5 && !strcmp(what, "message")) {
        open_device(argv[1]);
        fill_buffer(strtoull(argv[4], NULL, 16));
        transfer(address, 4, 1);
        printf("message %llx: done\n", (unsigned long long)address);
        return 0;
    }
    fprintf(stderr,
            "usage: edu_dma FUNCTION self|read ADDRESS|write ADDRESS|message ADDRESS DATA\n");
    return 2;
}

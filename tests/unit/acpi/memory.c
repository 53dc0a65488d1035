// SPDX-License-Identifier: Apache-2.0
// Physical memory of pieces, and stubs of console, heap, time and ports.
#include "memory.h"
#include "../../../hypervisor/drivers/acpi_tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bulkhead/boot_info.h>
#include <bulkhead/console.h>
#include <bulkhead/heap.h>
#include <bulkhead/mapping.h>
#include <bulkhead/timer.h>
#include <x86/io_port.h>
#include <x86/paging.h>

#define MAX_PIECES 200u

struct boot_info boot_info;
unsigned int port_writes, heap_blocks, heap_allowed = ~0u;
struct port_write port_write[8];
uint8_t mapped_register;

static struct piece pieces[MAX_PIECES];
static unsigned int piece_count;

void memory_clear(void)
{
    while (piece_count) {
        free(pieces[--piece_count].bytes);
    }
}

struct piece *memory_add(uint64_t address, const void *bytes, size_t length)
{
    struct piece *piece = &pieces[piece_count++];

    if (piece_count > MAX_PIECES) {
        abort();
    }
    piece->address = address;
    piece->length = length;
    piece->bytes = malloc(length);
    memcpy(piece->bytes, bytes, length);
    return piece;
}

uint64_t memory_load(const char *name)
{
    FILE *file = fopen(name, "rb");
    uint64_t header[2], rsdp = 0;
    uint8_t bytes[4096];

    if (!file) {
        perror(name);
        abort();
    }
    memory_clear();
    while (fread(header, sizeof(header), 1, file) == 1) {
        if (header[1] > sizeof(bytes) || fread(bytes, header[1], 1, file) != 1) {
            abort();
        }
        memory_add(header[0], bytes, header[1]);
        if (memcmp(bytes, "RSD PTR ", 8) == 0) {
            rsdp = header[0];
        }
    }
    fclose(file);
    return rsdp;
}

struct piece *memory_find(const char *start)
{
    for (unsigned int i = 0; i < piece_count; i++) {
        if (memcmp(pieces[i].bytes, start, strlen(start)) == 0) {
            return &pieces[i];
        }
    }
    return NULL;
}

unsigned int memory_count(void)
{
    return piece_count;
}

struct piece *memory_at(unsigned int index)
{
    return &pieces[index];
}

void memory_fix(struct piece *piece)
{
    uint8_t *checksum = piece->bytes + (memcmp(piece->bytes, "RSD PTR ", 8) ? 9 : 8);

    *checksum = 0;
    *checksum = (uint8_t)-acpi_sum(piece->bytes, piece->length);
}

struct piece *memory_table(uint64_t address, const char *signature, const void *body, size_t length)
{
    uint8_t *table = calloc(1, 36 + length);
    uint32_t whole = (uint32_t)(36 + length);
    struct piece *piece;

    memcpy(table, signature, 4);
    memcpy(table + 4, &whole, 4);
    memcpy(table + 36, body, length);
    piece = memory_add(address, table, whole);
    memory_fix(piece);
    free(table);
    return piece;
}

int acpi_again(uint64_t rsdp)
{
    acpi_directory_free(&acpi_directory);
    return acpi_init(MADDR(rsdp));
}

void *map_frame(mfn_t mfn)
{
    uint64_t start = mfn.n << PAGE_SHIFT;
    uint8_t *frame = calloc(1, PAGE_SIZE);

    for (unsigned int i = 0; i < piece_count; i++) {
        uint64_t from = MAX(start, pieces[i].address);
        uint64_t to = MIN(start + PAGE_SIZE, pieces[i].address + pieces[i].length);

        if (from < to) {
            memcpy(frame + (from - start), pieces[i].bytes + (from - pieces[i].address), to - from);
        }
    }
    return frame;
}

void unmap_frame(const void *p)
{
    free((void *)(uintptr_t)p);
}

void *heap_alloc(size_t size)
{
    if (heap_allowed == 0) {
        return NULL;
    }
    heap_allowed -= heap_allowed != ~0u;
    heap_blocks++;
    return calloc(1, size);
}

void heap_free(void *p)
{
    heap_blocks -= p != NULL;
    free(p);
}

void log_message(enum log_level level, const char *format, ...)
{
    (void)level;
    (void)format;
}

ns_t now(void)
{
    static ns_t time;

    return time += 1000000;
}

static void record(uint16_t port, unsigned int size, uint32_t value)
{
    if (port_writes < ARRAY_SIZE(port_write)) {
        port_write[port_writes] = (struct port_write){port, size, value};
    }
    port_writes++;
}

void port_write8(uint16_t port, uint8_t value)
{
    record(port, 1, value);
}

void port_write16(uint16_t port, uint16_t value)
{
    record(port, 2, value);
}

void port_write32(uint16_t port, uint32_t value)
{
    record(port, 4, value);
}

void *hv_ioremap(maddr_t pa, size_t size)
{
    (void)pa;
    (void)size;
    return &mapped_register;
}

// SPDX-License-Identifier: Apache-2.0
// The memory map of start_info, reservations, the physmap, grants. Pages used are the image's own;
// each is populated again before its group ends.

#include "selftest.h"

#define REFERENCE 8

struct page {
    uint8_t bytes[PAGE_SIZE];
} __attribute__((aligned(4096)));

extern const char pvh_entry[];
static struct page ballooned, source, destination, grant_frame;

// As XENMEM_memory_map gives it, in the firmware's E820 format.
struct map_entry {
    uint64_t start, size;
    uint32_t type;
} __attribute__((packed));

#define MAP_MAX 128
#define TYPE_RAM 1

static struct map_entry map[MAP_MAX];

static bool is_ram(unsigned int count, uint64_t address)
{
    for (unsigned int i = 0; i < count; i++) {
        if (map[i].type == TYPE_RAM && address >= map[i].start &&
            address - map[i].start < map[i].size) {
            return true;
        }
    }
    return false;
}

static void check_start_info(unsigned int count)
{
    const struct hvm_start_info *info = guest_start_info();
    const struct hvm_memmap_table_entry *entries = (const void *)info->memmap_paddr;

    check_equal(info->magic, XEN_HVM_START_MAGIC_VALUE, "start_info is there");
    check(!info->rsdp_paddr || *(const uint64_t *)info->rsdp_paddr == 0x2052545020445352ul,
          "the RSDP is one");
    // 4.20 gives domain 0 none here.
    for (unsigned int i = 0; info->version >= 1 && i < info->memmap_entries; i++) {
        if (entries[i].type == XEN_HVM_MEMMAP_TYPE_RAM) {
            check(is_ram(count, entries[i].addr), "RAM of start_info is in the memory map");
        }
    }
}

static void check_map(void)
{
    struct xen_memory_map request = {.nr_entries = MAP_MAX};
    bool overlap = false, empty = false;

    set_xen_guest_handle(request.buffer, map);
    if (!check_equal(hypercall2(__HYPERVISOR_memory_op, XENMEM_memory_map, &request), 0,
                     "XENMEM_memory_map")) {
        return;
    }
    for (unsigned int i = 0; i < request.nr_entries; i++) {
        empty |= map[i].size == 0;
        for (unsigned int j = 0; j < i; j++) {
            overlap |= map[i].start < map[j].start + map[j].size &&
                       map[j].start < map[i].start + map[i].size;
        }
    }
    check(!empty, "no entry of the map is empty");
    check(!overlap, "no entries of the map overlap");
    check(is_ram(request.nr_entries, (uint64_t)pvh_entry), "the image is in RAM");
    check(is_ram(request.nr_entries, TRAMPOLINE), "low memory is RAM");
    check(!is_ram(request.nr_entries, 0xfee00000), "the APIC's page is not RAM");
    check_start_info(request.nr_entries);
}

static long change_reservation(unsigned int operation, struct page *page, unsigned long count)
{
    xen_pfn_t frame = (unsigned long)page / PAGE_SIZE;
    struct xen_memory_reservation request = {.nr_extents = count, .domid = DOMID_SELF};

    set_xen_guest_handle(request.extent_start, &frame);
    return hypercall2(__HYPERVISOR_memory_op, operation, &request);
}

static long reservation(unsigned int operation)
{
    domid_t domid = DOMID_SELF;

    return hypercall2(__HYPERVISOR_memory_op, operation, &domid);
}

static void write_to(void *address)
{
    *(volatile uint8_t *)address = 1;
}

void check_memory(void)
{
    long before, maximum;

    check_map();
    before = reservation(XENMEM_current_reservation);
    maximum = reservation(XENMEM_maximum_reservation);
    check(before > 256, "XENMEM_current_reservation");
    check(maximum >= before || maximum < 0, "XENMEM_maximum_reservation is not below it");
    check_equal(change_reservation(XENMEM_decrease_reservation, &ballooned, 1), 1,
                "one page is given back");
    check_equal(reservation(XENMEM_current_reservation), before - 1, "the domain has one less");
    check_equal(change_reservation(XENMEM_populate_physmap, &ballooned, 1), 1, "one page is taken");
    check_equal(reservation(XENMEM_current_reservation), before, "the domain has as many again");
    check_equal(try_call(write_to, &ballooned), NO_EXCEPTION, "the new page can be written");
    check_equal(ballooned.bytes[0], 1, "and read");
    check_equal(change_reservation(XENMEM_populate_physmap, &ballooned, 0), 0,
                "populate of nothing");
    check(xen_add_to_physmap(100, 0, &ballooned) < 0, "add_to_physmap of an unknown kind fails");
    check(xen_add_to_physmap(XENMAPSPACE_grant_table, 1u << 20, &ballooned) < 0,
          "add_to_physmap of a grant frame that cannot be fails");
    check(hypercall2(__HYPERVISOR_memory_op, XENMEM_maximum_ram_page, NULL) > 256,
          "XENMEM_maximum_ram_page");
}

static int16_t copy(grant_ref_t reference)
{
    struct gnttab_copy request = {
        .source = {.u.ref = reference, .domid = DOMID_SELF, .offset = 16},
        .dest = {.u.gmfn = (unsigned long)&destination / PAGE_SIZE,
                 .domid = DOMID_SELF,
                 .offset = 32},
        .len = 1000,
        .flags = GNTCOPY_source_gref,
    };

    check_equal(
        hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_copy, (unsigned long)&request, 1, 0, 0), 0,
        "GNTTABOP_copy");
    return request.status;
}

void check_grants(void)
{
    volatile grant_entry_v1_t *entry = (grant_entry_v1_t *)grant_frame.bytes + REFERENCE;
    struct gnttab_query_size size = {.dom = DOMID_SELF};
    struct gnttab_get_version version = {.dom = DOMID_SELF};
    struct cpuid leaf = cpuid(xen_cpuid_base + 4, 0);
    bool same = true;

    check_equal(
        hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_query_size, (unsigned long)&size, 1, 0, 0),
        0, "GNTTABOP_query_size");
    check(size.status == GNTST_okay && size.max_nr_frames > 0, "grant frames may be had");
    check_equal(hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_get_version,
                          (unsigned long)&version, 1, 0, 0),
                0, "GNTTABOP_get_version");
    check_equal(version.version, 1, "grant tables begin with version 1");
    if (!check_equal(xen_add_to_physmap(XENMAPSPACE_grant_table, 0, &grant_frame), 0,
                     "the grant table's first frame")) {
        return;
    }
    entry->frame = (uint32_t)((unsigned long)&source / PAGE_SIZE);
    entry->domid = (leaf.eax & 0x10) ? (domid_t)leaf.ecx : 0;
    __atomic_store_n(&entry->flags, GTF_permit_access | GTF_readonly, __ATOMIC_SEQ_CST);
    for (unsigned int i = 0; i < PAGE_SIZE; i++) {
        source.bytes[i] = (uint8_t)(i * 7);
    }
    check_equal(copy(REFERENCE), GNTST_okay, "a copy by reference succeeds");
    for (unsigned int i = 0; i < 1000; i++) {
        same &= destination.bytes[32 + i] == source.bytes[16 + i];
    }
    check(same && !destination.bytes[31] && !destination.bytes[1032], "and copies what it should");
    check(!(entry->flags & (GTF_reading | GTF_writing)), "the entry is not in use after it");
    check_equal(copy(1u << 30), GNTST_bad_gntref, "a reference beyond the table");
    check(copy(REFERENCE + 1) != GNTST_okay, "a reference that grants nothing");
    entry->flags = 0;
}

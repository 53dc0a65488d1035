// SPDX-License-Identifier: Apache-2.0
// Memory operations and grants on pages of the image itself. The frames of the grant table take the
// place of a page of ours. Every page that goes away is populated again by finish.

#include "bench.h"
#include "grant.h"

#define REFERENCE GRANT_FIRST_FREE
#define UNUSED_2M 0x10000000UL // 2 MiB of memory that nothing of ours is in

struct page {
    uint8_t bytes[PAGE_SIZE];
} __attribute__((aligned(4096)));

static struct page ballooned, source, destination, map_target;
static domid_t own_domid;

static long change_extent(unsigned int operation, xen_pfn_t frame, unsigned int order)
{
    struct xen_memory_reservation request = {
        .nr_extents = 1,
        .extent_order = order,
        .domid = DOMID_SELF,
    };

    set_xen_guest_handle(request.extent_start, &frame);
    return hypercall2(__HYPERVISOR_memory_op, operation, &request);
}

long change_reservation(unsigned int operation, const void *page)
{
    return change_extent(operation, (unsigned long)page / PAGE_SIZE, 0);
}

enum counted { DOWN, UP, BOTH };

// Gives an extent back and gets another for it; returns the time of what is counted.
static uint64_t balloon(xen_pfn_t frame, unsigned int order, enum counted counted)
{
    uint64_t start = rdtsc();
    long down = change_extent(XENMEM_decrease_reservation, frame, order);
    uint64_t middle = counted == BOTH ? start : rdtsc(); // reading it may cost an exit
    long up = change_extent(XENMEM_populate_physmap, frame, order);
    uint64_t end = rdtsc();

    if (down != 1) {
        return sample_failed(hypercall_failed("XENMEM_decrease_reservation", down));
    }
    if (up != 1) {
        return sample_failed(hypercall_failed("XENMEM_populate_physmap", up));
    }
    return counted == DOWN ? middle - start : end - middle;
}

static uint64_t sample_balloon(void)
{
    uint64_t spent = balloon((unsigned long)&ballooned / PAGE_SIZE, 0, BOTH);

    *(volatile uint8_t *)ballooned.bytes = 1;
    return spent;
}

static uint64_t sample_decrease(void)
{
    return balloon((unsigned long)&ballooned / PAGE_SIZE, 0, DOWN);
}

static uint64_t sample_populate(void)
{
    return balloon((unsigned long)&ballooned / PAGE_SIZE, 0, UP);
}

static uint64_t sample_decrease_2m(void)
{
    return balloon(UNUSED_2M / PAGE_SIZE, 9, DOWN);
}

static uint64_t sample_populate_2m(void)
{
    return balloon(UNUSED_2M / PAGE_SIZE, 9, UP);
}

static uint64_t sample_balloon_2m(void)
{
    return balloon(UNUSED_2M / PAGE_SIZE, 9, BOTH);
}

// The domain's own number, as CPUID tells domain 0 and any other HVM guest of 4.20.
static domid_t find_domid(void)
{
    struct cpuid leaf = cpuid(xen_cpuid_base + 4, 0);

    return (leaf.eax & 0x10) ? (domid_t)leaf.ecx : 0;
}

static const char *prepare_grants(void)
{
    long rc;

    own_domid = find_domid();
    rc = grant_access(REFERENCE, own_domid, &source);
    return rc ? hypercall_failed("XENMEM_add_to_physmap of the grant table", rc) : NULL;
}

static void finish_grants(void)
{
    grant_end(REFERENCE);
}

static uint64_t copy(bool by_reference)
{
    struct gnttab_copy request = {
        .source = {.domid = DOMID_SELF},
        .dest = {.u.gmfn = (unsigned long)&destination / PAGE_SIZE, .domid = DOMID_SELF},
        .len = PAGE_SIZE,
        .flags = by_reference ? GNTCOPY_source_gref : 0,
    };
    uint64_t start, end;
    long rc;

    if (by_reference) {
        request.source.u.ref = REFERENCE;
    } else {
        request.source.u.gmfn = (unsigned long)&source / PAGE_SIZE;
    }
    source.bytes[100]++;
    start = rdtsc();
    rc = hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_copy, (unsigned long)&request, 1, 0, 0);
    end = rdtsc();
    if (rc || request.status) {
        return sample_failed(hypercall_failed("GNTTABOP_copy", rc ? rc : request.status));
    }
    if (destination.bytes[100] != source.bytes[100]) {
        return sample_failed("GNTTABOP_copy has copied nothing");
    }
    return end - start;
}

static uint64_t sample_copy(void)
{
    return copy(true);
}

static uint64_t sample_copy_by_frame(void)
{
    return copy(false);
}

static const char *prepare_map(void)
{
    const char *reason = prepare_grants();
    long rc;

    if (reason) {
        return reason;
    }
    rc = change_reservation(XENMEM_decrease_reservation, &map_target);
    return rc == 1 ? NULL : hypercall_failed("XENMEM_decrease_reservation", rc);
}

static void finish_map(void)
{
    finish_grants();
    change_reservation(XENMEM_populate_physmap, &map_target);
}

uint64_t map_and_unmap(domid_t domid, grant_ref_t reference, const void *place)
{
    struct gnttab_map_grant_ref map = {
        .host_addr = (uint64_t)place,
        .flags = GNTMAP_host_map,
        .ref = reference,
        .dom = domid,
    };
    struct gnttab_unmap_grant_ref unmap = {.host_addr = (uint64_t)place};
    uint64_t start = rdtsc();
    long rc = hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, (unsigned long)&map, 1,
                        0, 0);

    if (rc || map.status) {
        return sample_failed(hypercall_failed("GNTTABOP_map_grant_ref", rc ? rc : map.status));
    }
    unmap.handle = map.handle;
    rc = hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, (unsigned long)&unmap, 1,
                   0, 0);
    if (rc || unmap.status) {
        return sample_failed(hypercall_failed("GNTTABOP_unmap_grant_ref", rc ? rc : unmap.status));
    }
    return rdtsc() - start;
}

static uint64_t sample_map(void)
{
    return map_and_unmap(own_domid, REFERENCE, &map_target);
}

static const struct benchmark benchmarks[] = {
    {"decrease_and_populate", NULL, sample_balloon, NULL},
    {"decrease_and_populate_2m", NULL, sample_balloon_2m, NULL},
    {"decrease", NULL, sample_decrease, NULL},
    {"populate", NULL, sample_populate, NULL},
    {"decrease_2m", NULL, sample_decrease_2m, NULL},
    {"populate_2m", NULL, sample_populate_2m, NULL},
    {"grant_copy_4k_by_frame", NULL, sample_copy_by_frame, NULL},
    {"grant_copy_4k", prepare_grants, sample_copy, finish_grants},
    {"grant_map_and_unmap", prepare_map, sample_map, finish_map},
};

const struct benchmark_group memory_benchmarks = {benchmarks, ARRAY_SIZE(benchmarks)};

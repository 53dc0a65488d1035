// SPDX-License-Identifier: Apache-2.0
// memory_op's memory maps: a domain's own, which the toolstack sets or domain 0's builder makes,
// and the machine's, for domain 0.

#include <bulkhead/boot_info.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/heap.h>
#include <bulkhead/memory_op.h>
#include <bulkhead/string.h>
#include <x86/domain.h>
#include <xen/memory.h>

int domain_set_memory_map(struct domain *d, const struct memory_map_entry *entries,
                          unsigned int count)
{
    struct memory_map_entry *copy, *old;

    if (count > DOMAIN_MAP_ENTRIES) {
        return -XEN_EINVAL;
    }
    copy = heap_alloc_array(DOMAIN_MAP_ENTRIES, sizeof(*copy));
    if (!copy) {
        return -XEN_ENOMEM;
    }
    memcpy(copy, entries, count * sizeof(*copy));
    spin_lock(&d->lock);
    old = d->arch.memory_map;
    d->arch.memory_map = copy;
    d->arch.memory_map_count = count;
    spin_unlock(&d->lock);
    heap_free(old);
    return 0;
}

int domain_take_memory_map(domid_t id, gva_t buffer, uint32_t count)
{
    struct memory_map_entry entries[DOMAIN_MAP_ENTRIES];
    struct domain *d;
    int error;

    if (count > DOMAIN_MAP_ENTRIES) {
        return -XEN_EINVAL;
    }
    if (copy_from_guest(entries, buffer, count * sizeof(entries[0]))) {
        return -XEN_EFAULT;
    }
    d = domain_get_controlled(id, &error);
    if (!d) {
        return error;
    }
    error = domain_set_memory_map(d, entries, count);
    domain_put(d);
    return error;
}

static int64_t set_memory_map(gva_t at)
{
    struct xen_foreign_memory_map arg;

    if (copy_from_guest(&arg, at, sizeof(arg))) {
        return -XEN_EFAULT;
    }
    return domain_take_memory_map(arg.domid, guest_handle_address(arg.map.buffer),
                                  arg.map.nr_entries);
}

// Writes what fits of a map to the buffer, if there is one; *count is its length, then the map's,
// or how much was written.
static int give_map(gva_t buffer, uint32_t *count, const struct memory_map_entry *entries,
                    unsigned int length)
{
    *count = buffer.a ? MIN(*count, length) : length;
    if (!buffer.a) {
        return 0;
    }
    return copy_to_guest(buffer, entries, *count * sizeof(*entries));
}

int domain_give_memory_map(gva_t buffer, uint32_t *count)
{
    struct memory_map_entry entries[DOMAIN_MAP_ENTRIES];
    struct domain *d = current_domain();
    unsigned int length;

    // A copy, since the toolstack may replace the map while it is being given out.
    spin_lock(&d->lock);
    length = d->arch.memory_map_count;
    if (length) {
        memcpy(entries, d->arch.memory_map, length * sizeof(entries[0]));
    }
    spin_unlock(&d->lock);
    return length ? give_map(buffer, count, entries, length) : -XEN_ENOSYS;
}

static int give_machine_map(gva_t buffer, uint32_t *count)
{
    struct memory_map_entry entries[DOMAIN_MAP_ENTRIES];
    unsigned int length = MIN(boot_info.region_count, DOMAIN_MAP_ENTRIES);

    if (!current_domain()->privileged) {
        return -XEN_EPERM;
    }
    for (unsigned int i = 0; i < length; i++) {
        entries[i] = (struct memory_map_entry){
            boot_info.regions[i].start, boot_info.regions[i].size, boot_info.regions[i].type};
    }
    return give_map(buffer, count, entries, length);
}

static int64_t memory_map(gva_t at, int (*give)(gva_t buffer, uint32_t *count))
{
    struct xen_memory_map arg;
    int error;

    if (copy_from_guest(&arg, at, sizeof(arg))) {
        return -XEN_EFAULT;
    }
    error = give(guest_handle_address(arg.buffer), &arg.nr_entries);
    return error ? error : copy_to_guest(at, &arg, sizeof(arg));
}

// No device asks for reserved memory in a guest's map: IVMD regions stay with domain 0.
static int64_t reserved_device_memory_map(gva_t at)
{
    struct xen_reserved_device_memory_map arg;

    if (copy_from_guest(&arg, at, sizeof(arg))) {
        return -XEN_EFAULT;
    }
    arg.nr_entries = 0;
    return copy_to_guest(at, &arg, sizeof(arg));
}

int64_t arch_memory_op(unsigned int op, struct hypercall *call)
{
    gva_t at = GVA(call->arg[1]);

    switch (op) {
    case XENMEM_memory_map:
        return memory_map(at, domain_give_memory_map);
    case XENMEM_set_memory_map:
        return set_memory_map(at);
    case XENMEM_machine_memory_map:
        return memory_map(at, give_machine_map);
    case XENMEM_reserved_device_memory_map:
        return reserved_device_memory_map(at);
    default:
        return -XEN_ENOSYS;
    }
}

// SPDX-License-Identifier: Apache-2.0
// The grant_table_op hypercall: arrays of operations in, checks of who may, results out.
//
// Map, unmap and copy come in arrays of any length: they are copied in, performed and copied back a
// few at a time, with a look for other work in between; the hypercall then restarts with what is
// left of the array. When results cannot be copied back, mappings just made are undone.
// The other operations take one structure and report by a GNTST_* status in it.
// Locking: none here.

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/hypercall.h>
#include "grant_internal.h"

#define BATCH 16u

union batch {
    struct gnttab_map_grant_ref map[BATCH];
    struct gnttab_unmap_grant_ref unmap[BATCH];
    struct gnttab_unmap_and_replace replace[BATCH];
    struct gnttab_copy copy[BATCH];
    struct gnttab_swap_grant_ref swap[BATCH];
};

static void swap_batch(struct gnttab_swap_grant_ref *ops, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++) {
        ops[i].status = grant_swap(current_domain(), ops[i].ref_a, ops[i].ref_b);
    }
}

static void perform(unsigned int command, union batch *batch, unsigned int count)
{
    switch (command) {
    case GNTTABOP_map_grant_ref:
        grant_map_batch(batch->map, count);
        break;
    case GNTTABOP_unmap_grant_ref:
        grant_unmap_batch(batch->unmap, count);
        break;
    case GNTTABOP_unmap_and_replace:
        grant_unmap_and_replace_batch(batch->replace, count);
        break;
    case GNTTABOP_copy:
        grant_copy_batch(batch->copy, count);
        break;
    case GNTTABOP_swap_grant_ref:
        swap_batch(batch->swap, count);
        break;
    }
}

static int64_t batched(struct hypercall *call, unsigned int command, size_t size)
{
    uint64_t at = call->arg[1];
    uint32_t left = (uint32_t)call->arg[2];
    union batch batch;

    while (left) {
        uint32_t count = MIN(left, BATCH);

        if (copy_from_guest(&batch, GVA(at), count * size)) {
            return -XEN_EFAULT;
        }
        perform(command, &batch, count);
        if (copy_to_guest(GVA(at), &batch, count * size)) {
            if (command == GNTTABOP_map_grant_ref) {
                grant_map_undo_batch(batch.map, count);
            }
            return -XEN_EFAULT;
        }
        at += count * size;
        left -= count;
        if (left && preempt_needed()) {
            call->arg[1] = at;
            call->arg[2] = left;
            return hypercall_restart(call);
        }
    }
    return 0;
}

// The domain that a table operation names, if the caller may ask about it; GNTST_* otherwise.
static struct domain *named_domain(domid_t id, int16_t *status)
{
    int error = 0;
    struct domain *d = domain_get_controlled(id, &error);

    if (!d) {
        *status = error == -XEN_EPERM ? GNTST_permission_denied : GNTST_bad_domain;
    }
    return d;
}

// Writes where the guest sees the first `count` frames of its table. 0 or -EFAULT.
static int put_frame_list(struct domain *d, gva_t list, uint32_t count, bool status)
{
    uint64_t gfns[BATCH];
    int error = 0;

    for (uint32_t done = 0; done < count && !error; done += BATCH) {
        uint32_t some = MIN(count - done, BATCH);

        for (uint32_t i = 0; i < some; i++) {
            gfns[i] = grant_table_get_gfn(d, done + i, status).n;
        }
        error = copy_to_guest(GVA(list.a + done * sizeof(*gfns)), gfns, some * sizeof(*gfns));
    }
    return error;
}

static int64_t setup_table(gva_t arg)
{
    struct gnttab_setup_table op;
    struct domain *d;
    int error = copy_from_guest(&op, arg, sizeof(op));

    if (error) {
        return error;
    }
    d = named_domain(op.dom, &op.status);
    if (d) {
        op.status = grant_table_grow(d, op.nr_frames) ? GNTST_general_error : GNTST_okay;
        if (op.status == GNTST_okay &&
            put_frame_list(d, guest_handle_address(op.frame_list), op.nr_frames, false)) {
            op.status = GNTST_bad_virt_addr;
        }
        domain_put(d);
    }
    return copy_to_guest(arg, &op, sizeof(op));
}

static int64_t get_status_frames(gva_t arg)
{
    struct gnttab_get_status_frames op;
    struct domain *d;
    int error = copy_from_guest(&op, arg, sizeof(op));

    if (error) {
        return error;
    }
    d = named_domain(op.dom, &op.status);
    if (d) {
        op.status = GNTST_okay;
        if (op.nr_frames > grant_status_frames(d->grants)) {
            op.status = GNTST_general_error;
        } else if (put_frame_list(d, guest_handle_address(op.frame_list), op.nr_frames, true)) {
            op.status = GNTST_bad_virt_addr;
        }
        domain_put(d);
    }
    return copy_to_guest(arg, &op, sizeof(op));
}

static int64_t query_size(gva_t arg)
{
    struct gnttab_query_size op;
    struct domain *d;
    int error = copy_from_guest(&op, arg, sizeof(op));

    if (error) {
        return error;
    }
    d = named_domain(op.dom, &op.status);
    if (d) {
        op.nr_frames = __atomic_load_n(&d->grants->frame_count, __ATOMIC_RELAXED);
        op.max_nr_frames = d->grants->max_frames;
        op.status = GNTST_okay;
        domain_put(d);
    }
    return copy_to_guest(arg, &op, sizeof(op));
}

static int64_t dump_table(gva_t arg)
{
    struct gnttab_dump_table op;
    struct domain *d;
    int error = copy_from_guest(&op, arg, sizeof(op));

    if (error) {
        return error;
    }
    // The console is domain 0's and the hypervisor's.
    d = current_domain()->privileged ? named_domain(op.dom, &op.status) : NULL;
    if (d) {
        grant_table_dump(d);
        op.status = GNTST_okay;
        domain_put(d);
    } else if (!current_domain()->privileged) {
        op.status = GNTST_permission_denied;
    }
    return copy_to_guest(arg, &op, sizeof(op));
}

static int64_t set_version(gva_t arg)
{
    struct gnttab_set_version op;
    int error = copy_from_guest(&op, arg, sizeof(op));
    int result;

    if (error) {
        return error;
    }
    result = grant_set_version(current_domain(), op.version);
    op.version = current_domain()->grants->version;
    error = copy_to_guest(arg, &op, sizeof(op));
    return result ? result : error;
}

static int64_t get_version(gva_t arg)
{
    struct gnttab_get_version op;
    struct domain *d;
    int error = copy_from_guest(&op, arg, sizeof(op));

    if (error) {
        return error;
    }
    d = domain_get_controlled(op.dom, &error);
    if (!d) {
        return error;
    }
    op.version = d->grants->version;
    domain_put(d);
    return copy_to_guest(arg, &op, sizeof(op));
}

// One of the operations that take one structure.
static int64_t single(unsigned int command, gva_t arg)
{
    switch (command) {
    case GNTTABOP_setup_table:
        return setup_table(arg);
    case GNTTABOP_get_status_frames:
        return get_status_frames(arg);
    case GNTTABOP_query_size:
        return query_size(arg);
    case GNTTABOP_dump_table:
        return dump_table(arg);
    case GNTTABOP_set_version:
        return set_version(arg);
    default:
        return get_version(arg);
    }
}

int64_t do_grant_table_op(struct hypercall *call)
{
    unsigned int command = (unsigned int)call->arg[0];
    uint32_t count = (uint32_t)call->arg[2];

    if (command > GNTTABOP_cache_flush) {
        return -XEN_ENOSYS;
    }
    if (count > INT32_MAX) {
        return -XEN_EINVAL;
    }
    switch (command) {
    case GNTTABOP_map_grant_ref:
        return batched(call, command, sizeof(struct gnttab_map_grant_ref));
    case GNTTABOP_unmap_grant_ref:
        return batched(call, command, sizeof(struct gnttab_unmap_grant_ref));
    case GNTTABOP_unmap_and_replace:
        return batched(call, command, sizeof(struct gnttab_unmap_and_replace));
    case GNTTABOP_copy:
        return batched(call, command, sizeof(struct gnttab_copy));
    case GNTTABOP_swap_grant_ref:
        return batched(call, command, sizeof(struct gnttab_swap_grant_ref));
    case GNTTABOP_transfer:    // gives away machine frames: for domains that know theirs
    case GNTTABOP_cache_flush: // for processors whose caches do not follow devices
        return -XEN_ENOSYS;
    default:
        return count == 1 ? single(command, GVA(call->arg[1])) : -XEN_EINVAL;
    }
}

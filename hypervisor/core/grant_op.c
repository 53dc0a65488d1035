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

// The argument of an operation that takes one structure.
union argument {
    struct gnttab_setup_table setup_table;
    struct gnttab_get_status_frames get_status_frames;
    struct gnttab_query_size query_size;
    struct gnttab_dump_table dump_table;
    struct gnttab_set_version set_version;
    struct gnttab_get_version get_version;
};

static void map_batch(union batch *batch, unsigned int count)
{
    grant_map_batch(batch->map, count);
}

static void unmap_batch(union batch *batch, unsigned int count)
{
    grant_unmap_batch(batch->unmap, count);
}

static void replace_batch(union batch *batch, unsigned int count)
{
    grant_unmap_and_replace_batch(batch->replace, count);
}

static void copy_batch(union batch *batch, unsigned int count)
{
    grant_copy_batch(batch->copy, count);
}

static void swap_batch(union batch *batch, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++) {
        struct gnttab_swap_grant_ref *op = &batch->swap[i];

        op->status = grant_swap(current_domain(), op->ref_a, op->ref_b);
    }
}

// An operation takes an array of structures, or one structure.
struct operation {
    size_t size; // of a structure
    void (*perform_batch)(union batch *batch, unsigned int count);
    int (*perform)(union argument *arg);
};

static int64_t batched(struct hypercall *call, const struct operation *operation)
{
    size_t size = operation->size;
    uint64_t at = call->arg[1];
    uint32_t left = (uint32_t)call->arg[2];
    union batch batch;

    while (left) {
        uint32_t count = MIN(left, BATCH);

        if (copy_from_guest(&batch, GVA(at), count * size)) {
            return -XEN_EFAULT;
        }
        operation->perform_batch(&batch, count);
        if (copy_to_guest(GVA(at), &batch, count * size)) {
            if (operation->perform_batch == map_batch) {
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

// The domain that an operation names, if the caller may ask about it; GNTST_* otherwise.
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

static int setup_table(union argument *arg)
{
    struct gnttab_setup_table *op = &arg->setup_table;
    struct domain *d = named_domain(op->dom, &op->status);

    if (!d) {
        return 0;
    }
    if (grant_table_grow(d, op->nr_frames)) {
        op->status = GNTST_general_error;
    } else if (put_frame_list(d, guest_handle_address(op->frame_list), op->nr_frames, false)) {
        op->status = GNTST_bad_virt_addr;
    } else {
        op->status = GNTST_okay;
    }
    domain_put(d);
    return 0;
}

static int get_status_frames(union argument *arg)
{
    struct gnttab_get_status_frames *op = &arg->get_status_frames;
    struct domain *d = named_domain(op->dom, &op->status);

    if (!d) {
        return 0;
    }
    if (op->nr_frames > grant_status_frames(d->grants)) {
        op->status = GNTST_general_error;
    } else if (put_frame_list(d, guest_handle_address(op->frame_list), op->nr_frames, true)) {
        op->status = GNTST_bad_virt_addr;
    } else {
        op->status = GNTST_okay;
    }
    domain_put(d);
    return 0;
}

static int query_size(union argument *arg)
{
    struct gnttab_query_size *op = &arg->query_size;
    struct domain *d = named_domain(op->dom, &op->status);

    if (d) {
        op->nr_frames = __atomic_load_n(&d->grants->frame_count, __ATOMIC_RELAXED);
        op->max_nr_frames = d->grants->max_frames;
        op->status = GNTST_okay;
        domain_put(d);
    }
    return 0;
}

// The console is domain 0's and the hypervisor's.
static int dump_table(union argument *arg)
{
    struct gnttab_dump_table *op = &arg->dump_table;
    struct domain *d;

    if (!current_domain()->privileged) {
        op->status = GNTST_permission_denied;
        return 0;
    }
    d = named_domain(op->dom, &op->status);
    if (d) {
        grant_table_dump(d);
        op->status = GNTST_okay;
        domain_put(d);
    }
    return 0;
}

// The version in force is reported even when it could not be changed.
static int set_version(union argument *arg)
{
    int error = grant_set_version(current_domain(), arg->set_version.version);

    arg->set_version.version = current_domain()->grants->version;
    return error;
}

static int get_version(union argument *arg)
{
    int error = 0;
    struct domain *d = domain_get_controlled(arg->get_version.dom, &error);

    if (d) {
        arg->get_version.version = d->grants->version;
        domain_put(d);
    }
    return error;
}

// The structure goes back to the caller with the results.
static int64_t single(const struct operation *operation, gva_t at)
{
    union argument arg;
    int error = copy_from_guest(&arg, at, operation->size);
    int result;

    if (error) {
        return error;
    }
    result = operation->perform(&arg);
    error = copy_to_guest(at, &arg, operation->size);
    return result ? result : error;
}

// Missing are transfer, which gives away machine frames and is for domains that know theirs, and
// cache_flush, which is for processors whose caches do not follow devices.
static const struct operation operations[] = {
    [GNTTABOP_map_grant_ref] = {sizeof(struct gnttab_map_grant_ref), map_batch, NULL},
    [GNTTABOP_unmap_grant_ref] = {sizeof(struct gnttab_unmap_grant_ref), unmap_batch, NULL},
    [GNTTABOP_unmap_and_replace] = {sizeof(struct gnttab_unmap_and_replace), replace_batch, NULL},
    [GNTTABOP_copy] = {sizeof(struct gnttab_copy), copy_batch, NULL},
    [GNTTABOP_swap_grant_ref] = {sizeof(struct gnttab_swap_grant_ref), swap_batch, NULL},
    [GNTTABOP_setup_table] = {sizeof(struct gnttab_setup_table), NULL, setup_table},
    [GNTTABOP_get_status_frames] = {sizeof(struct gnttab_get_status_frames), NULL,
                                    get_status_frames},
    [GNTTABOP_query_size] = {sizeof(struct gnttab_query_size), NULL, query_size},
    [GNTTABOP_dump_table] = {sizeof(struct gnttab_dump_table), NULL, dump_table},
    [GNTTABOP_set_version] = {sizeof(struct gnttab_set_version), NULL, set_version},
    [GNTTABOP_get_version] = {sizeof(struct gnttab_get_version), NULL, get_version},
};

int64_t do_grant_table_op(struct hypercall *call)
{
    uint32_t command = (uint32_t)call->arg[0];
    uint32_t count = (uint32_t)call->arg[2];
    const struct operation *operation;

    if (command >= ARRAY_SIZE(operations) || !operations[command].size) {
        return -XEN_ENOSYS;
    }
    operation = &operations[command];
    if (operation->perform_batch && count <= INT32_MAX) {
        return batched(call, operation);
    }
    if (operation->perform && count == 1) {
        return single(operation, GVA(call->arg[1]));
    }
    return -XEN_EINVAL;
}

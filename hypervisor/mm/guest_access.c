// SPDX-License-Identifier: Apache-2.0
// Copies to and from guest memory, a frame at a time: translate, get hold of the frame, map, copy,
// undo. The frame stays while the guest or another domain changes the mapping: a frame of the
// current domain is borrowed from the p2m, one of another domain is referenced.
// A translation is remembered until the vcpu goes back into the guest: what the guest's other vcpus
// do to its tables meanwhile cannot be expected to count before that, as with a processor's own TLB
// during one instruction. The p2m is looked at each time.

#include <bulkhead/arch/mm.h>
#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/page.h>
#include <bulkhead/string.h>

#define MAX_COPY (1UL << 20)

// What to do with the bytes of one frame.
struct transfer {
    char *to;         // from the guest, when not NULL
    const char *from; // to the guest, when not NULL; both NULL: zeroes to the guest
};

static int transfer_in_frame(struct domain *d, gpa_t at, size_t count, struct transfer *t)
{
    bool own = this_cpu()->current && this_cpu()->current->domain == d;
    gfn_t gfn = gpa_to_gfn(at);
    enum p2m_type type;
    struct page *page =
        own ? p2m_borrow_page(d, gfn, !t->to, &type) : p2m_get_page(d, gfn, !t->to, &type);
    char *mapped, *guest;

    if (!page) {
        return -XEN_EFAULT;
    }
    mapped = arch_map_slot(page_to_mfn(page)); // whether it is the heap's or not
    guest = mapped + (at.a & (PAGE_SIZE - 1));
    if (t->to) {
        memcpy(t->to, guest, count);
        t->to += count;
    } else if (t->from) {
        memcpy(guest, t->from, count);
        t->from += count;
    } else {
        memset(guest, 0, count);
    }
    arch_unmap_slot(mapped);
    if (own) {
        p2m_return_page(page);
    } else {
        page_put(page);
    }
    return 0;
}

static int translate(struct vcpu *v, gva_t at, bool write, gpa_t *out)
{
    struct guest_translation *known = &v->walked[at.a / PAGE_SIZE % ARRAY_SIZE(v->walked)];
    uint64_t offset = at.a & (PAGE_SIZE - 1);
    int error;

    if (known->exit != v->exits + 1 || known->page.a != at.a - offset || (write && !known->write)) {
        error = arch_walk_guest(v, at, write, out);
        if (error) {
            return error;
        }
        *known = (struct guest_translation){v->exits + 1, GVA(at.a - offset), GPA(out->a - offset),
                                            write};
    }
    *out = GPA(known->to.a + offset);
    return 0;
}

static int transfer_linear(gva_t at, size_t size, struct transfer t)
{
    struct vcpu *v = current_vcpu();
    int error = size > MAX_COPY ? -XEN_EFAULT : 0;

    while (size && !error) {
        size_t count = MIN(size, PAGE_SIZE - (at.a & (PAGE_SIZE - 1)));
        gpa_t gpa;

        error = translate(v, at, !t.to, &gpa);
        if (!error) {
            error = transfer_in_frame(v->domain, gpa, count, &t);
        }
        at.a += count;
        size -= count;
    }
    return error;
}

static int transfer_physical(struct domain *d, gpa_t at, size_t size, struct transfer t)
{
    int error = size > MAX_COPY ? -XEN_EFAULT : 0;

    while (size && !error) {
        size_t count = MIN(size, PAGE_SIZE - (at.a & (PAGE_SIZE - 1)));

        error = transfer_in_frame(d, at, count, &t);
        at.a += count;
        size -= count;
    }
    return error;
}

int copy_from_guest(void *to, gva_t from, size_t size)
{
    return transfer_linear(from, size, (struct transfer){.to = to});
}

int copy_to_guest(gva_t to, const void *from, size_t size)
{
    return transfer_linear(to, size, (struct transfer){.from = from});
}

int clear_guest(gva_t to, size_t size)
{
    return transfer_linear(to, size, (struct transfer){0});
}

int copy_from_guest_physical(struct domain *d, void *to, gpa_t from, size_t size)
{
    return transfer_physical(d, from, size, (struct transfer){.to = to});
}

int copy_to_guest_physical(struct domain *d, gpa_t to, const void *from, size_t size)
{
    return transfer_physical(d, to, size, (struct transfer){.from = from});
}

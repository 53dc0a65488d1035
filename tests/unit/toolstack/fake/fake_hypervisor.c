// SPDX-License-Identifier: Apache-2.0
//
// A hypervisor in one process: domains with pages that are allocated when they are populated. It
// does what the toolstack's builder asks for and answers with an error to everything else.
// Destroying a domain cannot be made to fail: what must always work is what undoing relies on.
#include "fake.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/save.h>
#include <xen/hypfs.h>
#include <xen/memory.h>
#include <xen/version.h>
#include <xen/sysctl.h>
#include <xencall.h>
#include <xenforeignmemory.h>

enum { DOMAINS = 8, FRAMES = 1 << 20, MAPPINGS = 64, STATE_SIZE = 64 };

struct fake_domain {
    bool used;
    xen_domain_handle_t handle;
    uint32_t flags;
    uint32_t vcpus;
    uint64_t pages;
    unsigned int looks_left; // of one that is dying
    unsigned char **frames;
    unsigned char grants[4096];
};

static struct fake_domain domains[DOMAINS];
static size_t buffers;
static struct mapping {
    void *address;
    struct fake_domain *domain;
    xen_pfn_t *frames;
    size_t count;
} mappings[MAPPINGS];

static void free_domain(struct fake_domain *domain)
{
    for (size_t i = 0; domain->frames && i < FRAMES; i++)
        free(domain->frames[i]);
    free(domain->frames);
    *domain = (struct fake_domain){0};
}

void fake_hypervisor_reset(void)
{
    for (size_t i = 0; i < DOMAINS; i++)
        free_domain(&domains[i]);
    domains[0].used = true;
    domains[0].vcpus = 2;
}

void fake_dying_domain(unsigned int domid, unsigned int looks)
{
    domains[domid] =
        (struct fake_domain){.used = true, .flags = XEN_DOMINF_dying, .looks_left = looks};
}

void fake_destroy(void)
{
    static const char *const trees[] = {
        "/local/domain/1", "/libxl/1", "/local/domain/0/backend/vbd/1",
        "/local/domain/0/backend/vif/1", "/local/domain/0/backend/console/1"};

    char *vm = fake_value("/local/domain/1/vm") ? strdup(fake_value("/local/domain/1/vm")) : NULL;

    free_domain(&domains[1]);
    if (vm)
        fake_store_remove(vm);
    free(vm);
    for (size_t i = 0; i < sizeof(trees) / sizeof(trees[0]); i++)
        fake_store_remove(trees[i]);
}

size_t fake_domains(void)
{
    size_t count = 0;

    for (size_t i = 1; i < DOMAINS; i++)
        count += domains[i].used;
    return count;
}

size_t fake_mappings(void)
{
    size_t count = 0;

    for (size_t i = 0; i < MAPPINGS; i++)
        count += mappings[i].address != NULL;
    return count;
}

size_t fake_buffers(void)
{
    return buffers;
}

const unsigned char *fake_page(unsigned int domid, unsigned long frame)
{
    return frame < FRAMES && domains[domid].frames ? domains[domid].frames[frame] : NULL;
}

static void describe(size_t domid, struct xen_domctl_getdomaininfo *info)
{
    const struct fake_domain *domain = &domains[domid];

    memset(info, 0, sizeof(*info));
    info->domain = (domid_t)domid;
    info->flags = domain->flags;
    info->tot_pages = domain->pages;
    info->max_vcpu_id = domain->vcpus - 1;
    info->nr_online_vcpus = domain->vcpus;
    memcpy(info->handle, domain->handle, sizeof(info->handle));
}

static int create(struct xen_domctl *operation)
{
    bool chosen = operation->domain > 0 && operation->domain < DOMAINS;

    if (chosen && domains[operation->domain].used)
        return -EEXIST;
    for (size_t i = chosen ? operation->domain : 1; i < DOMAINS; i++) {
        if (domains[i].used)
            continue;
        domains[i].used = true;
        domains[i].flags = XEN_DOMINF_paused | XEN_DOMINF_hvm_guest;
        domains[i].vcpus = operation->u.createdomain.max_vcpus;
        domains[i].frames = calloc(FRAMES, sizeof(*domains[i].frames));
        memcpy(domains[i].handle, operation->u.createdomain.handle, sizeof(domains[i].handle));
        operation->domain = (domid_t)i;
        return 0;
    }
    return -ENOMEM;
}

static int get_state(struct xen_domctl_hvmcontext *context)
{
    struct {
        struct hvm_save_descriptor descriptor;
        struct hvm_save_header header;
    } state = {.descriptor = {HVM_SAVE_CODE(HEADER), 0, sizeof(state.header)},
               .header.magic = HVM_FILE_MAGIC};

    if (context->buffer.p)
        memcpy(context->buffer.p, &state, sizeof(state));
    context->size = sizeof(state);
    return 0;
}

// What runs ends at once, if FAKE_ENDS says so: one letter for each domain that is let run, in
// their order. p: power off, r: reboot, c: crash, w: watchdog; any other lives.
static void run(struct fake_domain *domain)
{
    static const char letters[] = "prscw";
    static size_t place;
    const char *ends = getenv("FAKE_ENDS");

    domain->flags &= ~XEN_DOMINF_paused;
    if (!ends || place >= strlen(ends) || domain->flags & XEN_DOMINF_shutdown)
        return;
    const char *letter = strchr(letters, ends[place++]);

    if (letter)
        domain->flags |= XEN_DOMINF_shutdown | (uint32_t)(letter - letters)
                                                   << XEN_DOMINF_shutdownshift;
}

static int domctl(struct xen_domctl *operation)
{
    struct fake_domain *domain = &domains[operation->domain % DOMAINS];

    if (operation->cmd == XEN_DOMCTL_createdomain)
        return create(operation);
    if (operation->domain >= DOMAINS || !domain->used)
        return -ESRCH;
    switch (operation->cmd) {
    case XEN_DOMCTL_destroydomain:
        free_domain(domain);
        return 0;
    case XEN_DOMCTL_getdomaininfo:
        describe(operation->domain, &operation->u.getdomaininfo);
        if (domain->looks_left && --domain->looks_left == 0)
            free_domain(domain);
        return 0;
    case XEN_DOMCTL_pausedomain:
        domain->flags |= XEN_DOMINF_paused;
        return 0;
    case XEN_DOMCTL_unpausedomain:
        run(domain);
        return 0;
    case XEN_DOMCTL_setdomainhandle:
        memcpy(domain->handle, operation->u.setdomainhandle.handle, sizeof(domain->handle));
        return 0;
    case XEN_DOMCTL_get_cpu_policy:
        operation->u.cpu_policy.nr_leaves = 0;
        operation->u.cpu_policy.nr_msrs = 0;
        return 0;
    case XEN_DOMCTL_gethvmcontext:
        return get_state(&operation->u.hvmcontext);
    case XEN_DOMCTL_max_vcpus:
    case XEN_DOMCTL_max_mem:
    case XEN_DOMCTL_set_paging_mempool_size:
    case XEN_DOMCTL_set_cpu_policy:
    case XEN_DOMCTL_sethvmcontext:
        return 0;
    default:
        return -EOPNOTSUPP;
    }
}

static int sysctl(struct xen_sysctl *operation)
{
    switch (operation->cmd) {
    case XEN_SYSCTL_physinfo:
        operation->u.physinfo.capabilities = XEN_SYSCTL_PHYSCAP_hap | XEN_SYSCTL_PHYSCAP_gnttab_v1;
        operation->u.physinfo.free_pages = 1 << 18;
        operation->u.physinfo.max_cpu_id = 1;
        return 0;
    case XEN_SYSCTL_sched_id:
        operation->u.sched_id.sched_id = XEN_SCHEDULER_CREDIT2;
        return 0;
    case XEN_SYSCTL_readconsole:
        operation->u.readconsole.count = 0;
        return 0;
    case XEN_SYSCTL_getdomaininfolist:
        operation->u.getdomaininfolist.num_domains = 0;
        for (size_t i = operation->u.getdomaininfolist.first_domain; i < DOMAINS; i++)
            if (domains[i].used)
                describe(i, &operation->u.getdomaininfolist.buffer
                                 .p[operation->u.getdomaininfolist.num_domains++]);
        return 0;
    default:
        return -EOPNOTSUPP;
    }
}

static int populate(const struct xen_memory_reservation *reservation)
{
    struct fake_domain *domain = &domains[reservation->domid % DOMAINS];

    if (!domain->used)
        return -ESRCH;
    for (unsigned long i = 0; i < reservation->nr_extents; i++) {
        for (unsigned long j = 0; j < 1ul << reservation->extent_order; j++) {
            unsigned long frame = reservation->extent_start.p[i] + j;

            if (frame >= FRAMES || domain->frames[frame])
                return (int)i;
            domain->frames[frame] = malloc(4096);
            memset(domain->frames[frame], 0xc2, 4096);
            domain->pages++;
        }
    }
    return (int)reservation->nr_extents;
}

static int version(unsigned int command, void *argument)
{
    switch (command) {
    case XENVER_version:
        return 4 << 16 | 20;
    case XENVER_extraversion:
        strcpy(argument, "-bulkhead");
        return 0;
    case XENVER_pagesize:
        return 4096;
    default:
        return -ENOSYS;
    }
}

static int dispatch(unsigned int op, uint64_t first, uint64_t second)
{
    switch (op) {
    case __HYPERVISOR_domctl:
        return domctl((struct xen_domctl *)first);
    case __HYPERVISOR_sysctl:
        return sysctl((struct xen_sysctl *)first);
    case __HYPERVISOR_memory_op:
        if (first == XENMEM_populate_physmap)
            return populate((const struct xen_memory_reservation *)second);
        return first == XENMEM_set_memory_map ? 0 : -EOPNOTSUPP;
    case __HYPERVISOR_event_channel_op:
        ((struct evtchn_alloc_unbound *)second)->port = 7;
        return 0;
    case __HYPERVISOR_grant_table_op:
        ((struct gnttab_query_size *)second)->nr_frames = 1;
        return first == GNTTABOP_query_size ? 0 : -EOPNOTSUPP;
    case __HYPERVISOR_hvm_op:
        return 0;
    case __HYPERVISOR_xen_version:
        return version((unsigned int)first, (void *)second);
    default:
        return -ENOSYS;
    }
}

static bool must_work(unsigned int op, uint64_t first)
{
    return op == __HYPERVISOR_domctl &&
           ((struct xen_domctl *)first)->cmd == XEN_DOMCTL_destroydomain;
}

static int call(unsigned int op, uint64_t first, uint64_t second)
{
    int result = fake_call_fails() && !must_work(op, first) ? -ENOMEM : dispatch(op, first, second);

    if (result >= 0)
        return result;
    errno = -result;
    return -1;
}

xencall_handle *xencall_open(struct xentoollog_logger *logger, unsigned flags)
{
    (void)logger;
    (void)flags;
    return malloc(1);
}

int xencall_close(xencall_handle *handle)
{
    free(handle);
    return 0;
}

int xencall1(xencall_handle *handle, unsigned int op, uint64_t first)
{
    (void)handle;
    return call(op, first, 0);
}

int xencall2(xencall_handle *handle, unsigned int op, uint64_t first, uint64_t second)
{
    (void)handle;
    return call(op, first, second);
}

int xencall3(xencall_handle *handle, unsigned int op, uint64_t first, uint64_t second,
             uint64_t third)
{
    (void)handle;
    (void)third;
    return call(op, first, second);
}

static const struct fake_fact {
    const char *path, *text;
} facts[] = {
    {"/pci/0000:00:03.0/class", "060400"},
    {"/pci/0000:00:03.0/place", "0000:00:03.0"},
    {"/pci/0000:00:03.0/owner", "0"},
    {"/pci/0000:01:00.0/class", "020000"},
    {"/pci/0000:01:00.0/place", "0000:00:03.0/00.0"},
    {"/pci/0000:01:00.0/vendor", "8086"},
    {"/pci/0000:01:00.0/device", "10d3"},
    {"/pci/0000:01:00.0/serial", "52-54-00-ff-ff-12-34-56"},
    {"/pci/0000:02:00.0/class", "010802"},
    {"/pci/0000:02:00.0/place", "0000:00:1c.0/00.0"},
    {"/pci/0000:02:00.0/owner", "3"},
};

static int list_functions(struct xen_hypfs_direntry *head)
{
    static const char *const names[] = {"0000:00:03.0", "0000:01:00.0", "0000:02:00.0"};
    struct {
        struct xen_hypfs_dirlistentry entry;
        char name[14];
    } items[3] = {0};

    for (unsigned int i = 0; i < 3; i++) {
        items[i].entry.off_next = i < 2 ? sizeof(items[0]) : 0;
        strcpy((char *)&items[i] + offsetof(struct xen_hypfs_dirlistentry, name), names[i]);
    }
    *head = (struct xen_hypfs_direntry){.content_len = sizeof(items)};
    memcpy(head + 1, items, sizeof(items));
    return 0;
}

static int read_hypfs(const char *path, struct xen_hypfs_direntry *head, size_t size)
{
    if (!strcmp(path, "/pci"))
        return size > sizeof(*head) ? list_functions(head) : -ENOBUFS;
    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
        if (!strcmp(path, facts[i].path)) {
            *head = (struct xen_hypfs_direntry){.type = XEN_HYPFS_TYPE_STRING};
            strcpy((char *)(head + 1), facts[i].text);
            return 0;
        }
    return -ENOENT;
}

int xencall5(xencall_handle *handle, unsigned int op, uint64_t first, uint64_t second,
             uint64_t third, uint64_t fourth, uint64_t fifth)
{
    (void)handle;
    (void)third;
    int result = op != __HYPERVISOR_hypfs_op || first != XEN_HYPFS_OP_read
                     ? -ENOSYS
                     : read_hypfs((const char *)second, (struct xen_hypfs_direntry *)fourth, fifth);

    if (result >= 0)
        return result;
    errno = -result;
    return -1;
}

void *xencall_alloc_buffer(xencall_handle *handle, size_t size)
{
    (void)handle;
    buffers++;
    return malloc(size);
}

void xencall_free_buffer(xencall_handle *handle, void *buffer)
{
    (void)handle;
    buffers -= buffer != NULL;
    free(buffer);
}

xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *logger, unsigned flags)
{
    (void)logger;
    (void)flags;
    return malloc(1);
}

int xenforeignmemory_close(xenforeignmemory_handle *handle)
{
    free(handle);
    return 0;
}

static struct mapping *free_mapping(void)
{
    for (size_t i = 0; i < MAPPINGS; i++)
        if (!mappings[i].address)
            return &mappings[i];
    abort();
}

// A copy of the pages, written back when it is unmapped.
void *xenforeignmemory_map(xenforeignmemory_handle *handle, uint32_t domid, int protection,
                           size_t count, const xen_pfn_t frames[], int errors[])
{
    struct fake_domain *domain = &domains[domid % DOMAINS];

    (void)handle;
    (void)protection;
    (void)errors;
    errno = ENOMEM;
    if (fake_call_fails())
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (!domain->used || frames[i] >= FRAMES || !domain->frames[frames[i]])
            return NULL;
    struct mapping *mapping = free_mapping();

    *mapping =
        (struct mapping){malloc(count * 4096), domain, malloc(count * sizeof(*frames)), count};
    memcpy(mapping->frames, frames, count * sizeof(*frames));
    for (size_t i = 0; i < count; i++)
        memcpy((char *)mapping->address + i * 4096, domain->frames[frames[i]], 4096);
    return mapping->address;
}

int xenforeignmemory_unmap(xenforeignmemory_handle *handle, void *address, size_t count)
{
    (void)handle;
    for (size_t i = 0; i < MAPPINGS; i++) {
        struct mapping *mapping = &mappings[i];

        if (mapping->address != address)
            continue;
        if (mapping->count != count)
            abort();
        // The domain may be gone by now.
        for (size_t j = 0; j < count && mapping->domain->frames; j++)
            memcpy(mapping->domain->frames[mapping->frames[j]], (char *)address + j * 4096, 4096);
        free(mapping->address);
        free(mapping->frames);
        *mapping = (struct mapping){0};
        return 0;
    }
    abort();
}

xenforeignmemory_resource_handle *
xenforeignmemory_map_resource(xenforeignmemory_handle *handle, domid_t domid, unsigned int type,
                              unsigned int id, unsigned long frame, unsigned long count,
                              void **address, int protection, int flags)
{
    (void)handle;
    (void)protection;
    (void)flags;
    errno = ENOMEM;
    if (fake_call_fails() || type != XENMEM_resource_grant_table || id || frame || count != 1)
        return NULL;
    *address = domains[domid % DOMAINS].grants;
    return malloc(1);
}

int xenforeignmemory_unmap_resource(xenforeignmemory_handle *handle,
                                    xenforeignmemory_resource_handle *resource)
{
    (void)handle;
    free(resource);
    return 0;
}

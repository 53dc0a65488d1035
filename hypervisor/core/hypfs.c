// SPDX-License-Identifier: Apache-2.0
// The hypfs_op hypercall: a small tree of what the hypervisor was built from, its CPU pools, its
// options, and the machine's PCI functions. Nothing is stored: an entry is made by the directory
// above it when somebody asks, from the path's first part to its last. Locking: write_lock around
// an option's change; the rest is constant or read as it is. Errors: the path is copied once and
// checked; a buffer that is too small gets the size wanted.

#include <bulkhead/build_info.h>
#include <bulkhead/cmdline.h>
#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/hypercall.h>
#include <bulkhead/pci.h>
#include <bulkhead/sched.h>
#include <bulkhead/string.h>
#include <xen/hypfs.h>

#define NAME_SIZE 40u
#define MAX_WRITE 128u
#define MAX_DEPTH 8u
#define ENTRY_ALIGN 4u
#define LIST_NAME offsetof(struct xen_hypfs_dirlistentry, name)

struct entry {
    uint8_t type; // XEN_HYPFS_TYPE_*
    char name[NAME_SIZE];
    // Directories: makes the index-th entry within; false: there are no more.
    bool (*child)(const struct entry *directory, unsigned int index, struct entry *out);
    const char *text; // strings; NULL: they are in made
    char made[PCI_FACT_SIZE];
    uint32_t number;                     // numbers; CPU pools: the id
    const struct cmdline_option *option; // options: may be written if it can be set at run time
    struct pci_device *function;         // directories of PCI functions
};

static struct spinlock write_lock = SPINLOCK_INIT;

static void make_string(struct entry *e, const char *name, const char *text)
{
    *e = (struct entry){.type = XEN_HYPFS_TYPE_STRING, .text = text};
    string_copy(e->name, name, sizeof(e->name));
}

static void make_number(struct entry *e, const char *name, uint32_t number)
{
    *e = (struct entry){.type = XEN_HYPFS_TYPE_UINT, .number = number};
    string_copy(e->name, name, sizeof(e->name));
}

static void make_directory(struct entry *e, const char *name,
                           bool (*child)(const struct entry *, unsigned int, struct entry *))
{
    *e = (struct entry){.type = XEN_HYPFS_TYPE_DIR, .child = child};
    string_copy(e->name, name, sizeof(e->name));
}

static bool compile_child(const struct entry *directory, unsigned int index, struct entry *out)
{
    static const struct {
        const char *name, *text;
    } texts[] = {
        {"compile_by", build_info_by},
        {"compile_date", build_info_date},
        {"compile_domain", build_info_domain},
        {"compiler", build_info_compiler},
    };

    (void)directory;
    if (index >= ARRAY_SIZE(texts)) {
        return false;
    }
    make_string(out, texts[index].name, texts[index].text);
    return true;
}

static bool version_child(const struct entry *directory, unsigned int index, struct entry *out)
{
    (void)directory;
    switch (index) {
    case 0:
        make_string(out, "extra", build_info_extra_version);
        return true;
    case 1:
        make_number(out, "major", XEN_ABI_MAJOR);
        return true;
    case 2:
        make_number(out, "minor", XEN_ABI_MINOR);
        return true;
    default:
        return false;
    }
}

static bool build_child(const struct entry *directory, unsigned int index, struct entry *out)
{
    (void)directory;
    switch (index) {
    case 0:
        make_string(out, "changeset", build_info_revision);
        return true;
    case 1:
        make_directory(out, "compileinfo", compile_child);
        return true;
    case 2:
        make_string(out, "config", build_info_config);
        return true;
    case 3:
        make_directory(out, "version", version_child);
        return true;
    default:
        return false;
    }
}

static bool pool_child(const struct entry *directory, unsigned int index, struct entry *out)
{
    (void)directory;
    if (index) {
        return false;
    }
    make_string(out, "sched-gran", "cpu"); // each vcpu is scheduled by itself
    return true;
}

static bool pools_child(const struct entry *directory, unsigned int index, struct entry *out)
{
    struct xen_sysctl_cpupool_op op = {.op = XEN_SYSCTL_CPUPOOL_OP_INFO};
    struct cpumask unused;

    (void)directory;
    for (;; op.cpupool_id++, index--) {
        if (sched_cpupool_op(&op, &unused)) {
            return false;
        }
        if (!index) {
            break;
        }
    }
    make_directory(out, "", pool_child);
    format_string(out->name, sizeof(out->name), "%u", op.cpupool_id);
    out->number = op.cpupool_id;
    return true;
}

// The options that have a value to show, or can be set, while the machine runs.
static bool params_child(const struct entry *directory, unsigned int index, struct entry *out)
{
    const struct cmdline_option *option;

    (void)directory;
    for (size_t i = 0; (option = cmdline_option_at(i)) != NULL; i++) {
        if (!option->show || index--) {
            continue;
        }
        make_string(out, option->name, option->show());
        out->option = option;
        return true;
    }
    return false;
}

static bool fact_child(const struct entry *directory, unsigned int index, struct entry *out)
{
    const char *name;

    make_string(out, "", NULL);
    name = pci_describe(directory->function, index, out->made);
    if (name) {
        string_copy(out->name, name, sizeof(out->name));
    }
    return name;
}

// The functions that domains can own.
static bool functions_child(const struct entry *directory, unsigned int index, struct entry *out)
{
    (void)directory;
    for (struct pci_device *p = pci_device_next(NULL); p; p = pci_device_next(p)) {
        if (p->hidden || p->removed || index--) {
            continue;
        }
        make_directory(out, "", fact_child);
        format_string(out->name, sizeof(out->name), PCI_FORMAT, PCI_ARGUMENTS(p->sbdf));
        out->function = p;
        return true;
    }
    return false;
}

static bool root_child(const struct entry *directory, unsigned int index, struct entry *out)
{
    (void)directory;
    switch (index) {
    case 0:
        make_directory(out, "buildinfo", build_child);
        return true;
    case 1:
        make_directory(out, "cpupool", pools_child);
        return true;
    case 2:
        make_directory(out, "params", params_child);
        return true;
    case 3:
        make_directory(out, "pci", functions_child);
        return true;
    default:
        return false;
    }
}

// The entry of that name (length characters) within a directory.
static bool find_child(const struct entry *directory, const char *name, size_t length,
                       struct entry *out)
{
    for (unsigned int i = 0; directory->child(directory, i, out); i++) {
        if (strlen(out->name) == length && !memcmp(out->name, name, length)) {
            return true;
        }
    }
    return false;
}

static int find(const char *path, struct entry *out)
{
    unsigned int depth = 0;

    if (*path++ != '/') {
        return -XEN_EINVAL;
    }
    make_directory(out, "", root_child);
    while (*path) {
        const char *end = strchr(path, '/');
        size_t length = end ? (size_t)(end - path) : strlen(path);
        struct entry within;

        if (out->type != XEN_HYPFS_TYPE_DIR || depth++ == MAX_DEPTH ||
            !find_child(out, path, length, &within)) {
            return -XEN_ENOENT;
        }
        *out = within;
        path += length + (end != NULL);
    }
    return 0;
}

static const char *text_of(const struct entry *e)
{
    return e->text ? e->text : e->made;
}

static uint32_t list_entry_size(const struct entry *e)
{
    return ALIGN_UP((uint32_t)(LIST_NAME + strlen(e->name) + 1), ENTRY_ALIGN);
}

static uint32_t content_length(const struct entry *e)
{
    struct entry child;
    uint32_t length = 0;

    switch (e->type) {
    case XEN_HYPFS_TYPE_DIR:
        for (unsigned int i = 0; e->child(e, i, &child); i++) {
            length += list_entry_size(&child);
        }
        return length;
    case XEN_HYPFS_TYPE_STRING:
        return (uint32_t)strlen(text_of(e)) + 1;
    default:
        return sizeof(e->number);
    }
}

static void describe(const struct entry *e, struct xen_hypfs_direntry *out)
{
    *out = (struct xen_hypfs_direntry){.type = e->type, .encoding = XEN_HYPFS_ENC_PLAIN};
    out->content_len = content_length(e);
    out->max_write_len = e->option && e->option->runtime ? MAX_WRITE : 0;
}

static int write_list(const struct entry *directory, gva_t at)
{
    union {
        struct xen_hypfs_dirlistentry head;
        char bytes[ALIGN_UP(LIST_NAME + NAME_SIZE, ENTRY_ALIGN)];
    } item;
    struct entry child, next;
    bool more = directory->child(directory, 0, &child);

    for (unsigned int i = 1; more; i++, child = next) {
        uint32_t size = list_entry_size(&child);

        more = directory->child(directory, i, &next);
        memset(&item, 0, sizeof(item));
        describe(&child, &item.head.e);
        item.head.off_next = more ? (uint16_t)size : 0;
        memcpy(item.bytes + LIST_NAME, child.name, strlen(child.name));
        if (copy_to_guest(at, &item, size)) {
            return -XEN_EFAULT;
        }
        at.a += size;
    }
    return 0;
}

static int read_entry(const struct entry *e, gva_t buffer, uint64_t size)
{
    struct xen_hypfs_direntry head;
    gva_t content = GVA(buffer.a + sizeof(head));

    describe(e, &head);
    if (size < sizeof(head)) {
        return -XEN_ENOBUFS;
    }
    if (copy_to_guest(buffer, &head, sizeof(head))) {
        return -XEN_EFAULT;
    }
    if (size - sizeof(head) < head.content_len) {
        return -XEN_ENOBUFS;
    }
    switch (e->type) {
    case XEN_HYPFS_TYPE_DIR:
        return write_list(e, content);
    case XEN_HYPFS_TYPE_STRING:
        return copy_to_guest(content, text_of(e), head.content_len);
    default:
        return copy_to_guest(content, &e->number, sizeof(e->number));
    }
}

static int write_entry(const struct entry *e, gva_t buffer, uint64_t size)
{
    char value[MAX_WRITE];
    int error;

    if (!e->option || !e->option->runtime) {
        return -XEN_EACCES;
    }
    if (size > sizeof(value)) {
        return -XEN_ENOSPC;
    }
    if (!size) {
        return -XEN_EINVAL;
    }
    if (copy_from_guest(value, buffer, size)) {
        return -XEN_EFAULT;
    }
    if (memchr(value, 0, size) != value + size - 1) {
        return -XEN_EINVAL;
    }
    spin_lock(&write_lock);
    error = e->option->runtime(value);
    spin_unlock(&write_lock);
    return error;
}

static int take_path(char path[XEN_HYPFS_MAX_PATHLEN], gva_t at, uint64_t length)
{
    if (!length || length > XEN_HYPFS_MAX_PATHLEN) {
        return -XEN_EINVAL;
    }
    if (copy_from_guest(path, at, length)) {
        return -XEN_EFAULT;
    }
    return memchr(path, 0, length) == path + length - 1 ? 0 : -XEN_EINVAL;
}

// arg: operation, path, its length, buffer, its size.
int64_t do_hypfs_op(struct hypercall *call)
{
    gva_t buffer = GVA(call->arg[3]);
    char path[XEN_HYPFS_MAX_PATHLEN];
    struct entry e;
    int error;

    if (!current_domain()->privileged) {
        return -XEN_EPERM;
    }
    if (call->arg[0] == XEN_HYPFS_OP_get_version) {
        bool none = !(call->arg[1] | call->arg[2] | call->arg[3] | call->arg[4]);

        return none ? XEN_HYPFS_VERSION : -XEN_EINVAL;
    }
    error = take_path(path, GVA(call->arg[1]), call->arg[2]);
    if (!error) {
        error = find(path, &e);
    }
    if (error) {
        return error;
    }
    switch (call->arg[0]) {
    case XEN_HYPFS_OP_read:
        return read_entry(&e, buffer, call->arg[4]);
    case XEN_HYPFS_OP_write_contents:
        return write_entry(&e, buffer, call->arg[4]);
    default:
        return -XEN_EOPNOTSUPP;
    }
}

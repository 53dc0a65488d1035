// SPDX-License-Identifier: Apache-2.0
// Hypfs: reading, listing, writing, and paths that lead nowhere.

#include "control.h"

#include <string.h>

#include <xen/hypfs.h>

#define PATH_ADDRESS (BUFFER_ADDRESS + 2048)
#define TEST(name) cmocka_unit_test_setup_teardown(name, control_start, control_stop)

static int64_t hypfs(uint32_t op, const char *path, uint64_t size)
{
    strcpy((char *)control_buffer() + 2048, path);
    return control_call(domain0->vcpus[0], do_hypfs_op, op, PATH_ADDRESS, strlen(path) + 1,
                        BUFFER_ADDRESS, size);
}

static void read_text(const char *path, const char *expected)
{
    struct xen_hypfs_direntry *entry = control_buffer();

    assert_int_equal(hypfs(XEN_HYPFS_OP_read, path, 1024), 0);
    assert_int_equal(entry->type, XEN_HYPFS_TYPE_STRING);
    assert_int_equal(entry->content_len, strlen(expected) + 1);
    assert_string_equal((char *)(entry + 1), expected);
}

static void values(void **state)
{
    struct xen_hypfs_direntry *entry = control_buffer();

    (void)state;
    read_text("/buildinfo/changeset", "0123456789ab");
    read_text("/buildinfo/compileinfo/compiler", "a compiler");
    read_text("/buildinfo/version/extra", "-bulkhead");
    read_text("/buildinfo/config", "-O2");
    read_text("/cpupool/0/sched-gran", "cpu");
    read_text("/params/readable", "fixed");
    read_text("/pci/0000:01:01.0/bus", "1");
    assert_int_equal(hypfs(XEN_HYPFS_OP_read, "/buildinfo/version/minor", 1024), 0);
    assert_int_equal(entry->type, XEN_HYPFS_TYPE_UINT);
    assert_int_equal(*(uint32_t *)(entry + 1), 20);
    assert_int_equal(entry->max_write_len, 0);
}

// The names in a directory, with blanks between them.
static void list(const char *path, char *names)
{
    struct xen_hypfs_direntry *entry = control_buffer();
    char *at = (char *)(entry + 1);

    *names = 0;
    assert_int_equal(hypfs(XEN_HYPFS_OP_read, path, 2000), 0);
    assert_int_equal(entry->type, XEN_HYPFS_TYPE_DIR);
    for (bool more = true; more;) {
        struct xen_hypfs_dirlistentry *item = (void *)at;

        assert_int_equal((uintptr_t)at % 4, 0);
        strcat(strcat(names, item->name), " ");
        more = item->off_next;
        at += item->off_next;
    }
}

static void directories(void **state)
{
    char names[256];

    (void)state;
    list("/", names);
    assert_string_equal(names, "buildinfo cpupool params pci ");
    list("/buildinfo", names);
    assert_string_equal(names, "changeset compileinfo config version ");
    list("/buildinfo/compileinfo", names);
    assert_string_equal(names, "compile_by compile_date compile_domain compiler ");
    list("/cpupool", names);
    assert_string_equal(names, "0 ");
    list("/params", names);
    assert_string_equal(names, "changeable readable ");
    list("/pci", names);
    assert_string_equal(names, "0000:00:00.0 0000:00:00.1 0000:01:00.0 0000:01:01.0 ");
    list("/pci/0000:00:00.1", names);
    assert_string_equal(names, "device bus ");
}

static void small_buffers(void **state)
{
    struct xen_hypfs_direntry *entry = control_buffer();

    (void)state;
    assert_int_equal(hypfs(XEN_HYPFS_OP_read, "/params/readable", 0), -XEN_ENOBUFS);
    memset(entry, 0, 64);
    assert_int_equal(hypfs(XEN_HYPFS_OP_read, "/params/readable", sizeof(*entry) + 5),
                     -XEN_ENOBUFS);
    assert_int_equal(entry->content_len, 6);
    assert_int_equal(((char *)(entry + 1))[0], 0);
    assert_int_equal(hypfs(XEN_HYPFS_OP_read, "/params/readable", sizeof(*entry) + 6), 0);
}

static void bad_paths(void **state)
{
    static const char *const none[] = {
        "/nothing", "/buildinfo/changeset/x", "/params/boot-only", "/cpupool/1",
        "//",       "/buildinfo//config",     "/cpupool/0/",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(none) - 1; i++) {
        assert_int_equal(hypfs(XEN_HYPFS_OP_read, none[i], 1024), -XEN_ENOENT);
    }
    assert_int_equal(hypfs(XEN_HYPFS_OP_read, "/cpupool/0/", 1024), 0);
    assert_int_equal(hypfs(XEN_HYPFS_OP_read, "", 1024), -XEN_EINVAL);
    assert_int_equal(hypfs(XEN_HYPFS_OP_read, "buildinfo", 1024), -XEN_EINVAL);
    // Lengths that do not fit the text.
    strcpy((char *)control_buffer() + 2048, "/params");
    assert_int_equal(control_call(domain0->vcpus[0], do_hypfs_op, XEN_HYPFS_OP_read, PATH_ADDRESS,
                                  0, BUFFER_ADDRESS, 1024),
                     -XEN_EINVAL);
    assert_int_equal(control_call(domain0->vcpus[0], do_hypfs_op, XEN_HYPFS_OP_read, PATH_ADDRESS,
                                  3, BUFFER_ADDRESS, 1024),
                     -XEN_EINVAL);
    assert_int_equal(control_call(domain0->vcpus[0], do_hypfs_op, XEN_HYPFS_OP_read, PATH_ADDRESS,
                                  XEN_HYPFS_MAX_PATHLEN + 1, BUFFER_ADDRESS, 1024),
                     -XEN_EINVAL);
    assert_int_equal(control_call(domain0->vcpus[0], do_hypfs_op, XEN_HYPFS_OP_read, 1UL << 63, 8,
                                  BUFFER_ADDRESS, 1024),
                     -XEN_EFAULT);
}

static void writing(void **state)
{
    (void)state;
    strcpy(control_buffer(), "two");
    assert_int_equal(hypfs(XEN_HYPFS_OP_write_contents, "/params/changeable", 4), 0);
    read_text("/params/changeable", "two");
    strcpy(control_buffer(), "two");
    assert_int_equal(hypfs(XEN_HYPFS_OP_write_contents, "/params/changeable", 3), -XEN_EINVAL);
    assert_int_equal(hypfs(XEN_HYPFS_OP_write_contents, "/params/changeable", 0), -XEN_EINVAL);
    assert_int_equal(hypfs(XEN_HYPFS_OP_write_contents, "/params/changeable", 129), -XEN_ENOSPC);
    assert_int_equal(hypfs(XEN_HYPFS_OP_write_contents, "/params/readable", 4), -XEN_EACCES);
    assert_int_equal(hypfs(XEN_HYPFS_OP_write_contents, "/buildinfo", 4), -XEN_EACCES);
    strcpy(control_buffer(), "much too long a value");
    assert_int_equal(hypfs(XEN_HYPFS_OP_write_contents, "/params/changeable", 22), -XEN_EINVAL);
}

static void access(void **state)
{
    struct domain *guest = world_create(7, &(struct world_config){0});

    (void)state;
    assert_int_equal(
        control_call(guest->vcpus[0], do_hypfs_op, XEN_HYPFS_OP_get_version, 0, 0, 0, 0),
        -XEN_EPERM);
    world_destroy(guest);
    assert_int_equal(
        control_call(domain0->vcpus[0], do_hypfs_op, XEN_HYPFS_OP_get_version, 0, 0, 0, 0), 1);
    assert_int_equal(
        control_call(domain0->vcpus[0], do_hypfs_op, XEN_HYPFS_OP_get_version, 1, 0, 0, 0),
        -XEN_EINVAL);
    assert_int_equal(hypfs(99, "/", 100), -XEN_EOPNOTSUPP);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(values),    TEST(directories), TEST(small_buffers),
        TEST(bad_paths), TEST(writing),     TEST(access),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

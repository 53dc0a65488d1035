// SPDX-License-Identifier: Apache-2.0
//
// Paths and permission lists by themselves.

#include "check.h"

static void paths_are_checked(void **state)
{
    static const char *const bad[] = {"",     "//",   "/a//b", "/a/", "a/",
                                      "/a b", "/a.b", "/\x80", "a//b"};
    char out[PATH_SIZE];
    char text[PATH_SIZE + 2];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(path_resolve(out, bad[i], 3), 0);
    }
    assert_int_equal(path_resolve(out, "/", 3), 1);
    assert_int_equal(path_resolve(out, "/a-B_9@", 3), 7);
    assert_int_equal(path_resolve(out, "x/y", 65535), strlen("/local/domain/65535/x/y"));
    assert_string_equal(out, "/local/domain/65535/x/y");
    assert_int_equal(path_resolve(out, "@releaseDomain", 3), 14);

    memset(text, 'x', sizeof(text));
    text[0] = '/';
    text[PATH_LONGEST] = '\0';
    assert_int_equal(path_resolve(out, text, 0), PATH_LONGEST);
    text[PATH_LONGEST] = 'x';
    text[PATH_LONGEST + 1] = '\0';
    assert_int_equal(path_resolve(out, text, 0), 0);
    text[XENSTORE_REL_PATH_MAX + 1] = '\0';
    assert_int_equal(path_resolve(out, text + 1, 65535), XENSTORE_REL_PATH_MAX + 20);
    text[XENSTORE_REL_PATH_MAX + 1] = 'x';
    text[XENSTORE_REL_PATH_MAX + 2] = '\0';
    assert_int_equal(path_resolve(out, text + 1, 65535), 0);
}

static void paths_are_taken_apart(void **state)
{
    const char *rest = "/a/bc/d";
    struct component component;

    (void)state;
    assert_int_equal(path_depth(rest), 3);
    assert_int_equal(path_depth("/"), 0);
    assert_int_equal(path_parent_length("/a"), 0);
    assert_int_equal(path_parent_length(rest), 5);
    assert_true(path_next(&rest, &component));
    assert_true(path_next(&rest, &component));
    assert_int_equal(component.length, 2);
    assert_memory_equal(component.name, "bc", 2);
    assert_true(path_next(&rest, &component));
    assert_false(path_next(&rest, &component));
}

static void lists_are_shared(void **state)
{
    static struct permission_table table;
    struct permission entries[] = {{1, ACCESS_READ}, {2, ACCESS_WRITE}};
    struct permissions *one = permissions_intern(&table, entries, 2);
    struct permissions *same = permissions_intern(&table, entries, 2);
    struct permissions *other = permissions_with_owner(&table, one, 2);

    (void)state;
    assert_ptr_equal(one, same);
    assert_ptr_not_equal(one, other);
    assert_int_equal(permissions_access(one, 1), ACCESS_ALL);
    assert_int_equal(permissions_access(one, 2), ACCESS_WRITE);
    assert_int_equal(permissions_access(one, 3), ACCESS_READ);
    permissions_forget(&table, 2);
    assert_int_equal(permissions_access(one, 2), ACCESS_READ);
    assert_int_equal(permissions_access(other, 0), ACCESS_ALL);
    assert_int_equal(permissions_access(other, 2), 0);
    permissions_put(&table, one);
    permissions_put(&table, same);
    permissions_put(&table, other);
    for (unsigned i = 0; i < PERMISSIONS_BUCKETS; i++) {
        assert_null(table.bucket[i]);
    }
}

static void lists_are_parsed(void **state)
{
    static const char *const bad[] = {"", "x1", "r", "r-1", "r65536", "r1x", "1", "rr1"};
    struct permission entries[4];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(permissions_parse(entries, 4, bad[i], strlen(bad[i]) + 1), -1);
    }
    assert_int_equal(permissions_parse(entries, 4, "n0", 2), -1);
    assert_int_equal(permissions_parse(entries, 1, "n0\0r1", 6), -1);
    assert_int_equal(permissions_parse(entries, 4, "b7\0w65535", 10), 2);
    assert_int_equal(entries[0].domid, 7);
    assert_int_equal(entries[0].access, ACCESS_READ | ACCESS_WRITE);
    assert_int_equal(entries[1].domid, 65535);
    assert_int_equal(entries[1].access, ACCESS_WRITE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_checked),
        cmocka_unit_test(paths_are_taken_apart),
        cmocka_unit_test(lists_are_shared),
        cmocka_unit_test(lists_are_parsed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

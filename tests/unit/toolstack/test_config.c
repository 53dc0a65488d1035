// SPDX-License-Identifier: Apache-2.0
//
// The configuration syntax: what it reads, and where it says that something is wrong.
#include "check.h"

#include <stdio.h>
#include <toolstack/config.h>

static struct error *parse(struct config *config, const char *text)
{
    return config_add_text(config, "test.cfg", text, strlen(text));
}

static const char *string_of(struct config *config, const char *key)
{
    const char *value = NULL;

    assert_works(config_string(config, key, &value));
    return value;
}

static void reads_every_kind_of_value(void **state)
{
    struct config config = {0};
    uint64_t number = 0;
    bool flag = false;

    (void)state;
    assert_works(parse(&config, "# a comment\n"
                                "name = \"guest\" # behind it\n"
                                "kernel='/boot/it\"s'; memory = 0x100\r\n"
                                "vcpus=\"2\"\n\n"
                                "flag = 1\n"
                                "disk = [ 'a,b', # first\n  \"c\",\n]\n"
                                "empty = []\n"
                                "nested = [ [ 1, 2 ], [ ] ]"));
    assert_string_equal(string_of(&config, "name"), "guest");
    assert_string_equal(string_of(&config, "kernel"), "/boot/it\"s");
    assert_works(config_number(&config, "memory", 0, 1000, &number));
    assert_int_equal(number, 256);
    assert_works(config_number(&config, "vcpus", 0, 1000, &number));
    assert_int_equal(number, 2);
    assert_works(config_boolean(&config, "flag", &flag));
    assert_true(flag);
    const struct config_value *list = config_find(&config, "disk");

    assert_int_equal(list->count, 2);
    assert_string_equal(list->items[1].text, "c");
    assert_int_equal(list->items[1].place.line, 8);
    assert_int_equal(config_find(&config, "empty")->count, 0);
    assert_int_equal(config_find(&config, "nested")->items[0].count, 2);
    config_free(&config);
}

static void appends_with_plus(void **state)
{
    struct config config = {0};

    (void)state;
    assert_works(parse(&config, "extra = \"a\"\nextra += \" b\"\nvif += [ '1' ]\nvif += [ '2' ]"));
    assert_string_equal(string_of(&config, "extra"), "a b");
    assert_int_equal(config_find(&config, "vif")->count, 2);
    assert_fails(parse(&config, "vif += \"x\""), ERROR_SYNTAX, "test.cfg:1:8: +=");
    config_free(&config);
}

static void later_settings_win(void **state)
{
    struct config config = {0};
    uint64_t number = 0;

    (void)state;
    assert_works(parse(&config, "memory = 100"));
    assert_works(config_add_text(&config, "setting 1", "memory=200", 10));
    assert_works(config_number(&config, "memory", 0, 1000, &number));
    assert_int_equal(number, 200);
    config_free(&config);
}

static void says_where_it_is_wrong(void **state)
{
    static const struct {
        const char *text;
        const char *message;
    } cases[] = {
        {"a = \n", "test.cfg:1:5: a value"},
        {"a = \"x\nb = 1", "test.cfg:1:5: the string that begins here does not end"},
        {"a = 'x", "test.cfg:1:5: the string"},
        {"\n\n  = 3", "test.cfg:3:3: the name of a setting is expected here, not '='"},
        {"a 3", "test.cfg:1:3: '=' is expected here, not '3'"},
        {"a = 3 b = 4", "test.cfg:1:7: the end of the line is expected"},
        {"a = [ 1 2 ]", "test.cfg:1:9: a comma or a closing bracket"},
        {"a = [ 1,", "test.cfg:1:9: a value (a number, a quoted string or a list) is expected "
                     "here, not the end of the file"},
        {"a = 12x", "test.cfg:1:5: \"12x\" is no number"},
        {"a = pvh", "test.cfg:1:5: \"pvh\" is no number"},
        {"a = 99999999999999999999999", "is no number"},
        {"a = [[[[[1]]]]]", "lists go no deeper than 4"},
        {"a = 1\n\x01", "test.cfg:2:1: the name of a setting is expected here, not byte 0x01"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct config config = {0};

        assert_fails(parse(&config, cases[i].text), ERROR_SYNTAX, cases[i].message);
        config_free(&config);
    }
}

static void checks_kinds_and_ranges(void **state)
{
    struct config config = {0};
    const char *text = NULL;
    uint64_t number = 5;
    bool flag = true;

    (void)state;
    assert_works(parse(&config, "s = \"x\"\nn = 5\nl = []"));
    assert_fails(config_string(&config, "n", &text), ERROR_VALUE,
                 "test.cfg:2:5: n must be a string");
    assert_fails(config_number(&config, "s", 0, 9, &number), ERROR_VALUE, "\"x\" is none");
    assert_fails(config_number(&config, "l", 0, 9, &number), ERROR_VALUE, "this is a list");
    assert_fails(config_number(&config, "n", 6, 9, &number), ERROR_VALUE, "from 6 to 9, not 5");
    assert_fails(config_boolean(&config, "n", &flag), ERROR_VALUE, "n must be 0 or 1");
    assert_works(config_number(&config, "missing", 6, 9, &number));
    assert_int_equal(number, 5);
    config_free(&config);
}

static void warns_of_what_nobody_reads(void **state)
{
    struct config config = {0};
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);

    (void)state;
    assert_works(parse(&config, "name = \"x\"\nmemroy = 5\n  vnc = 1\nzzzzzz = 2"));
    string_of(&config, "name");
    config_warn_unused(&config, stream);
    fclose(stream);
    assert_string_equal(text,
                        "test.cfg:2:1: warning: there is no setting memroy; do you mean memory?\n"
                        "test.cfg:3:3: warning: vnc has no effect on this kind of domain\n"
                        "test.cfg:4:1: warning: there is no setting zzzzzz\n");
    free(text);
    config_free(&config);
}

static void finds_the_nearest_word(void **state)
{
    static const char *const words[] = {"kernel", "ramdisk", "restart", NULL};

    (void)state;
    assert_string_equal(config_nearest("kernal", words), "kernel");
    assert_string_equal(config_nearest("ramdsik", words), "ramdisk");
    assert_null(config_nearest("xyz", words));
    assert_null(config_nearest("", words));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_kind_of_value), cmocka_unit_test(appends_with_plus),
        cmocka_unit_test(later_settings_win),        cmocka_unit_test(says_where_it_is_wrong),
        cmocka_unit_test(checks_kinds_and_ranges),   cmocka_unit_test(warns_of_what_nobody_reads),
        cmocka_unit_test(finds_the_nearest_word),
    };

    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
// The command line: words, values, negation, quotation, sizes, and a warning for all that is wrong.

#include "testing.h"

#include <bulkhead/cmdline.h>
#include <bulkhead/console.h>

#include "options.h"

static unsigned int warnings;
static char last_warning[1024];

void log_message(enum log_level level, const char *format, ...)
{
    va_list args;

    assert_int_equal(level, LOG_WARNING);
    va_start(args, format);
    vsnprintf(last_warning, sizeof(last_warning), format, args);
    va_end(args);
    warnings++;
}

static int reset(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof(seen));
    warnings = 0;
    return 0;
}

static void cmdline_sets_options(void **state)
{
    (void)state;
    cmdline_parse("  size=3M  flag\ttext=a=b,c ");
    assert_int_equal(warnings, 0);
    assert_int_equal(seen.size, 3 << 20);
    assert_true(seen.flag);
    assert_string_equal(seen.text, "a=b,c");
    assert_string_equal(cmdline_text, "  size=3M  flag\ttext=a=b,c ");
}

static void cmdline_negates(void **state)
{
    (void)state;
    seen.flag = true;
    cmdline_parse("no-flag");
    assert_int_equal(warnings, 0);
    assert_false(seen.flag);
}

static void cmdline_quotes(void **state)
{
    (void)state;
    cmdline_parse("text=\"two words\" size=1");
    assert_string_equal(seen.text, "two words");
    assert_int_equal(seen.size, 1024);
}

static void cmdline_warns(void **state)
{
    static const char *const lines[] = {
        "unknown",        "no-unknown", "size=", "size=12X", "flag=maybe",
        "runtime-only=1", "size=1MM",   "=",     "no-"};

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        warnings = 0;
        cmdline_parse(lines[i]);
        assert_int_equal(warnings, 1);
    }
    cmdline_parse("nonsense=7");
    assert_non_null(strstr(last_warning, "\"nonsense\""));
}

static void cmdline_cuts_long_words(void **state)
{
    char line[3000];

    (void)state;
    memset(line, 'x', sizeof(line) - 1);
    memcpy(line, "text=", 5);
    line[sizeof(line) - 1] = 0;
    cmdline_parse(line);
    assert_int_equal(warnings, 1);
    assert_int_equal(strlen(cmdline_text), sizeof(cmdline_text) - 1);
}

static void cmdline_sizes(void **state)
{
    uint64_t n;

    (void)state;
    assert_int_equal(cmdline_parse_size("5B", &n), 0);
    assert_int_equal(n, 5);
    assert_int_equal(cmdline_parse_size("5", &n), 0);
    assert_int_equal(n, 5 << 10);
    assert_int_equal(cmdline_parse_size("2g", &n), 0);
    assert_int_equal(n, 2UL << 30);
    assert_int_equal(cmdline_parse_size("1T", &n), 0);
    assert_int_equal(n, 1UL << 40);
    assert_int_not_equal(cmdline_parse_size("99999999T", &n), 0);
    assert_int_not_equal(cmdline_parse_size("K", &n), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(cmdline_sets_options, reset),
        cmocka_unit_test_setup(cmdline_negates, reset),
        cmocka_unit_test_setup(cmdline_quotes, reset),
        cmocka_unit_test_setup(cmdline_warns, reset),
        cmocka_unit_test_setup(cmdline_cuts_long_words, reset),
        cmocka_unit_test_setup(cmdline_sizes, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

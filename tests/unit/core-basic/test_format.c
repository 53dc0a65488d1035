// SPDX-License-Identifier: Apache-2.0
// Text formatting against the C library's.

#include "testing.h"

#include <bulkhead/console.h>

// The same format and arguments to both must give the same text and length.
#define check_same(...)                                                                            \
    do {                                                                                           \
        char ours[256], theirs[256];                                                               \
        int our_length = format_string(ours, sizeof(ours), __VA_ARGS__);                           \
        int their_length = snprintf(theirs, sizeof(theirs), __VA_ARGS__);                          \
        assert_string_equal(ours, theirs);                                                         \
        assert_int_equal(our_length, their_length);                                                \
    } while (0)

static void format_integers(void **state)
{
    static const long values[] = {0, 1, -1, 9, 10, 255, -256, INT32_MAX, INT32_MIN};

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        check_same("%d %i %u", (int)values[i], (int)values[i], (unsigned int)values[i]);
        check_same("%8d|%-8d|%08d|%+d", (int)values[i], (int)values[i], (int)values[i],
                   (int)values[i]);
        check_same("%x %X %#lx", (unsigned int)values[i], (unsigned int)values[i],
                   values[i] ? (unsigned long)values[i] : 1);
        check_same("%ld %lu %lx %lld %llu", values[i], (unsigned long)values[i],
                   (unsigned long)values[i], (long long)values[i], (unsigned long long)values[i]);
        check_same("%016lx %zu %.5d %10.4d", (unsigned long)values[i], (size_t)values[i],
                   (int)values[i], (int)values[i]);
    }
    check_same("%ld %ld %lu", INT64_MAX, INT64_MIN, UINT64_MAX);
}

static void format_short_integers(void **state)
{
    (void)state;
    check_same("%hhd %hhu %hhx", (signed char)-3, (unsigned char)253, (unsigned char)0xab);
    check_same("%hd %hu %04hx", (short)-300, (unsigned short)65000, (unsigned short)0xabc);
}

static void format_text(void **state)
{
    (void)state;
    check_same("[%s] [%10s] [%-10s] [%.2s] [%5.1s]", "text", "text", "text", "text", "text");
    check_same("[%*s] [%-*s] [%.*s] [%*d]", 6, "ab", 6, "ab", 1, "ab", -5, 42);
    check_same("%c%c%%%c", 'a', 'b', 'c');
    check_same("plain");
}

static void format_pointers(void **state)
{
    char text[64];

    (void)state;
    format_string(text, sizeof(text), "%p", (void *)0x1234abcd);
    assert_string_equal(text, "0x1234abcd");
}

static void format_truncates(void **state)
{
    char text[5];

    (void)state;
    assert_int_equal(format_string(text, sizeof(text), "%s", "longer than that"), 16);
    assert_string_equal(text, "long");
    assert_int_equal(format_string(NULL, 0, "%d", 123), 3);
    assert_int_equal(format_string(text, 1, "%d", 123), 3);
    assert_string_equal(text, "");
}

// A text without an end, cut by its precision, is not read further.
static void format_reads_no_more_than_its_precision(void **state)
{
    char *text = malloc(3), out[8];

    (void)state;
    memcpy(text, "abc", 3);
    format_string(out, sizeof(out), "%.3s", text);
    assert_string_equal(out, "abc");
    free(text);
}

static void format_survives_wrong_formats(void **state)
{
    static const char *volatile formats[] = {"%", "%5", "%-", "%.", "%l", "%q", "100%"};
    char text[32];

    (void)state;
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-security"
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        assert_true(format_string(text, sizeof(text), formats[i]) > 0);
#pragma GCC diagnostic pop
        assert_non_null(strchr(text, '%'));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(format_integers),
        cmocka_unit_test(format_short_integers),
        cmocka_unit_test(format_text),
        cmocka_unit_test(format_pointers),
        cmocka_unit_test(format_truncates),
        cmocka_unit_test(format_reads_no_more_than_its_precision),
        cmocka_unit_test(format_survives_wrong_formats),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
// The hypervisor's string functions against the C library's.

#include "testing.h"

int hv_memcmp(const void *a, const void *b, size_t n);
void *hv_memchr(const void *s, int c, size_t n);
size_t hv_strlen(const char *s);
size_t hv_strnlen(const char *s, size_t max);
int hv_strcmp(const char *a, const char *b);
int hv_strncmp(const char *a, const char *b, size_t n);
char *hv_strchr(const char *s, int c);
size_t string_copy(char *to, const char *from, size_t size);
uint64_t string_to_number(const char *s, const char **end, unsigned int base);

static int sign(int n)
{
    return (n > 0) - (n < 0);
}

static void string_comparisons(void **state)
{
    static const char *const texts[] = {"", "a", "ab", "abc", "abd", "\xff", "b"};
    const size_t count = sizeof(texts) / sizeof(texts[0]);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(hv_strlen(texts[i]), strlen(texts[i]));
        for (size_t j = 0; j < count; j++) {
            assert_int_equal(hv_strcmp(texts[i], texts[j]), sign(strcmp(texts[i], texts[j])));
            for (size_t n = 0; n < 4; n++) {
                assert_int_equal(hv_strncmp(texts[i], texts[j], n),
                                 sign(strncmp(texts[i], texts[j], n)));
            }
        }
    }
    assert_int_equal(hv_memcmp("a\0b", "a\0c", 3), -1);
    assert_int_equal(hv_memcmp("a\0b", "a\0c", 2), 0);
}

static void string_searches(void **state)
{
    const char *text = "hello";

    (void)state;
    assert_ptr_equal(hv_strchr(text, 'l'), text + 2);
    assert_ptr_equal(hv_strchr(text, 0), text + 5);
    assert_null(hv_strchr(text, 'x'));
    assert_ptr_equal(hv_memchr(text, 'o', 5), text + 4);
    assert_null(hv_memchr(text, 'o', 4));
    assert_int_equal(hv_strnlen(text, 3), 3);
    assert_int_equal(hv_strnlen(text, 9), 5);
}

static void string_copy_terminates(void **state)
{
    char to[4];

    (void)state;
    assert_int_equal(string_copy(to, "ab", sizeof(to)), 2);
    assert_string_equal(to, "ab");
    assert_int_equal(string_copy(to, "abcdef", sizeof(to)), 6);
    assert_string_equal(to, "abc");
    assert_int_equal(string_copy(NULL, "abc", 0), 3);
}

static void string_numbers(void **state)
{
    static const struct {
        const char *text;
        unsigned int base;
        uint64_t value;
        size_t used;
    } cases[] = {
        {"123", 0, 123, 3},
        {"0x1fG", 0, 0x1f, 4},
        {"0x", 0, 0, 1},
        {"ff", 16, 255, 2},
        {"0xff", 16, 255, 4},
        {"", 0, 0, 0},
        {"x", 10, 0, 0},
        {"18446744073709551615", 10, UINT64_MAX, 20},
        {"18446744073709551616k", 10, UINT64_MAX, 20},
        {"99999999999999999999999", 0, UINT64_MAX, 23},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *end;

        assert_int_equal(string_to_number(cases[i].text, &end, cases[i].base), cases[i].value);
        assert_int_equal(end - cases[i].text, cases[i].used);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(string_comparisons),
        cmocka_unit_test(string_searches),
        cmocka_unit_test(string_copy_terminates),
        cmocka_unit_test(string_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

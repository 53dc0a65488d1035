// SPDX-License-Identifier: Apache-2.0
//
// Errors: what they print, that what is known is not overwritten, and that codes stay what they
// are.
#include "check.h"

#include <errno.h>
#include <stdio.h>
#include <toolstack/doctor.h>
#include <toolstack/memory.h>

static char *printed(struct error *error)
{
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);

    error_print(error, stream, "xl: ");
    fclose(stream);
    error_free(error);
    return text;
}

static void prints_domain_device_and_advice(void **state)
{
    struct error *error = error_new(ERROR_DEVICE, "it is %s", "broken");

    (void)state;
    error_in_device(error, "disk %s", "xvda");
    error_in_domain(error, "guest", 3);
    error_advice(error, "Mend it.");
    char *text = printed(error);

    assert_string_equal(text, "xl: guest (domain 3), disk xvda: it is broken [device]\n"
                              "xl: Mend it.\n");
    free(text);
}

static void keeps_what_is_known(void **state)
{
    struct error *error = error_new(ERROR_STATE, "no");

    (void)state;
    error_in_domain(error, "first", -1);
    error_in_domain(error, "second", 7);
    error_advice(error, "a");
    error_advice(error, "b");
    char *text = printed(error);

    assert_string_equal(text, "xl: first (domain 7): no [wrong-state]\nxl: a\n");
    free(text);
}

static void explains_numbers_of_either_sign(void **state)
{
    (void)state;
    assert_fails(error_errno(ERROR_HYPERVISOR, -ENOMEM, "cannot x"), ERROR_HYPERVISOR,
                 "cannot x: Cannot allocate memory");
    assert_fails(error_errno(ERROR_SYSTEM, ENOENT, "cannot y"), ERROR_SYSTEM,
                 "cannot y: No such file");
}

static void takes_null_for_no_error(void **state)
{
    struct error *error = error_new(ERROR_STATE, "one");

    (void)state;
    assert_null(error_in_domain(NULL, "x", 1));
    assert_null(error_advice(NULL, "x"));
    assert_ptr_equal(error_first(NULL, error), error);
    assert_ptr_equal(error_first(error, error_new(ERROR_STATE, "two")), error);
    error_free(error);
}

// Scripts rely on the words.
static void has_the_published_words(void **state)
{
    (void)state;
    assert_string_equal(error_word(ERROR_NO_DOMAIN), "no-such-domain");
    assert_string_equal(error_word(ERROR_SYNTAX), "config-syntax");
    assert_string_equal(error_word(ERROR_HOST_MEMORY), "not-enough-memory");
    assert_string_equal(error_word(ERROR_KERNEL), "kernel-image");
}

// Counts the lines of the manual that begin a row of a table with the word as code.
static unsigned int rows_of(const char *word)
{
    FILE *manual = fopen(MANUAL, "r");
    char *row = memory_format("| `%s` |", word);
    unsigned int count = 0;
    char line[1024];

    assert_non_null(manual);
    while (fgets(line, sizeof(line), manual))
        count += !strncmp(line, row, strlen(row));
    fclose(manual);
    free(row);
    return count;
}

static void manual_explains_every_code(void **state)
{
    static const char *const words[] = {
#define X(name, word) word,
        ERROR_CODES(X) FINDING_TOPICS(X)
#undef X
    };

    (void)state;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (rows_of(words[i]) != 1)
            fail_msg("%s has %u rows in %s", words[i], rows_of(words[i]), MANUAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_domain_device_and_advice),
        cmocka_unit_test(keeps_what_is_known),
        cmocka_unit_test(explains_numbers_of_either_sign),
        cmocka_unit_test(takes_null_for_no_error),
        cmocka_unit_test(has_the_published_words),
        cmocka_unit_test(manual_explains_every_code),
    };

    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}

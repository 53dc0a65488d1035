// SPDX-License-Identifier: Apache-2.0
//
// What the tests of the toolstack share: cmocka with what it needs, and checks of errors, which
// free the error they look at.
#ifndef CHECK_H
#define CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <toolstack/error.h>

#define assert_works(expression) assert_no_error((expression), __FILE__, __LINE__)

static inline void assert_no_error(struct error *error, const char *file, int line)
{
    if (!error)
        return;
    error_print(error, stderr, "# ");
    error_free(error);
    _fail(file, line);
}

// The error has this code and holds this text in its message.
static inline void assert_fails(struct error *error, enum error_code code, const char *text)
{
    assert_non_null(error);
    assert_string_equal(error_word(error->code), error_word(code));
    if (!strstr(error->message, text))
        fail_msg("\"%s\" does not hold \"%s\"", error->message, text);
    error_free(error);
}

#endif

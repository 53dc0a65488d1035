// SPDX-License-Identifier: Apache-2.0
/*
 * cmocka with what it wants included before it, and a check of the loader's error sentences.
 */
#ifndef TEST_CHECK_H
#define TEST_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "report.h"

static inline void assert_says(const struct load_error *error, const char *text)
{
    if (strstr(error->message, text) == NULL) {
        fail_msg("the message is \"%s\", without \"%s\"", error->message, text);
    }
}

#endif

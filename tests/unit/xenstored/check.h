// SPDX-License-Identifier: Apache-2.0
//
// cmocka with what it wants included before it, and the set-up of a test with a world.
#ifndef TEST_XENSTORED_CHECK_H
#define TEST_XENSTORED_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "world.h"

static inline int set_up(void **state)
{
    world_begin();
    *state = socket_open();
    return 0;
}

static inline int tear_down(void **state)
{
    socket_close(*state);
    world_end();
    return 0;
}

#define store_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif

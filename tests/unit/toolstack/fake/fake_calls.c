// SPDX-License-Identifier: Apache-2.0
//
// Counting calls, and making one of them fail.
#include "fake.h"

static unsigned int count;
static unsigned int failing;
static bool failed;
static unsigned int vanishing;

void fake_reset(void)
{
    fake_hypervisor_reset();
    fake_store_reset();
    fake_fail_at(0);
}

void fake_fail_at(unsigned int call)
{
    failing = call;
    count = 0;
    failed = false;
}

void fake_vanish_at(unsigned int call)
{
    fake_fail_at(0);
    vanishing = call;
}

unsigned int fake_calls(void)
{
    return count;
}

bool fake_has_failed(void)
{
    return failed;
}

bool fake_call_fails(void)
{
    if (++count == vanishing) {
        vanishing = 0;
        fake_destroy();
    }
    if (count != failing)
        return false;
    failed = true;
    return true;
}

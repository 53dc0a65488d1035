// SPDX-License-Identifier: Apache-2.0
//
// What makes xl a program of the tests' own: linked with it and with the stand-ins for the
// hypervisor and xenstored, it finds domain 0 alone on every start.
#include "fake/fake.h"

__attribute__((constructor)) static void begin(void)
{
    fake_reset();
}

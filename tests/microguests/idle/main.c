// SPDX-License-Identifier: Apache-2.0
// A guest that does nothing: what it costs, it costs by being there. It sleeps until destroyed; an
// interrupt that comes by mistake sends it back to sleep.

#include "guest.h"

void program(void)
{
    for (;;) {
        wait_for_interrupt();
    }
}

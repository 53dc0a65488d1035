# SPDX-License-Identifier: Apache-2.0
"""The life of a PVH guest (test_first_guest.py) under our own toolstack."""

from test_first_guest import (  # noqa: F401 (in the order in which they are to run)
    test_guest_starts,
    test_guest_talks_on_its_console,
    test_guest_answers_pings,
    test_guest_shuts_down_and_gives_its_memory_back,
    test_disk_keeps_what_the_guest_wrote,
    test_guest_is_destroyed_while_it_runs,
)

CONFIGURATION = {"memory": 4096, "toolstack": "bulkhead"}

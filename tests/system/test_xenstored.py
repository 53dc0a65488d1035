# SPDX-License-Identifier: Apache-2.0
"""The life of a PVH guest with our xenstored under Debian's xl and xenconsoled.

The scenarios of test_first_guest.py run in their order on one boot whose domain 0, guest and tools
all are clients of our daemon, and then the daemon is looked at.
"""

# pylint: disable=unused-import
from test_first_guest import (  # noqa: F401 (scenarios of this file)
    test_guest_starts,
    test_guest_talks_on_its_console,
    test_guest_answers_pings,
    test_guest_shuts_down_and_gives_its_memory_back,
    test_disk_keeps_what_the_guest_wrote,
    test_guest_is_destroyed_while_it_runs,
)

CONFIGURATION = {"memory": 4096, "toolstack": "xenstored"}


def test_daemon_is_ours_and_sound(dom0):
    assert dom0.check("readlink /proc/$(cat /run/xenstored.pid)/exe").strip() == "/bulkhead/usr/sbin/xenstored"
    control = "/usr/lib/xen-4.20/bin/xenstore-control"
    assert dom0.check(f"{control} check").strip() == "OK"
    assert "domain 0:" in dom0.check(f"{control} memreport")
    assert "domain 1:" not in dom0.check(f"{control} memreport")

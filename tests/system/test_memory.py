# SPDX-License-Identifier: Apache-2.0
"""Guests' memory on four processors: created all at once, in large pages, and all given back.

The scenarios run in this order on one boot.
"""

import re

import pytest

CONFIGURATION = {"cpus": 4, "memory": 6144}
GUESTS = 3
memory = {}


def free_memory(dom0):
    return int(dom0.check("xl info free_memory"))


def configure(dom0, name, size):
    """A guest of that name without disk or network, with its memory in MiB."""
    dom0.check(
        "grep -v -e ^disk -e ^vif -e ^name -e ^memory guest.cfg >%s.cfg;"
        " echo 'name = \"%s\"' >>%s.cfg; echo 'memory = %d' >>%s.cfg" % (name, name, name, size, name)
    )


def table_pages(dom0, name):
    """Pages of second-level tables, from the hypervisor's debug key m."""
    domid = dom0.check(f"xl domid {name}").strip()
    dom0.check("xl dmesg -c >/dev/null; xl debug-keys m; sleep 1")
    match = re.search(rf"d{domid}: .*tables (\d+)", dom0.check("xl dmesg | sed 's/^/> /'"))
    return int(match.group(1))


def test_guests_are_created_at_once(dom0):
    memory["before"] = free_memory(dom0)
    names = [f"g{i}" for i in range(GUESTS)]
    for name in names:
        configure(dom0, name, 128)
    dom0.check(" & ".join(f"xl create {name}.cfg" for name in names) + " & wait", timeout=240)
    listing = dom0.check("xl list")
    for name in names:
        assert re.search(rf"^{name} +\d+ +128 +1", listing, re.M), listing
    for name in names:
        dom0.check(f"wait-for 120 sh -c 'xl list {name} | grep -q -- -b----'", timeout=150)


def test_their_memory_comes_back(dom0):
    assert memory["before"] - free_memory(dom0) >= GUESTS * 128
    for i in range(GUESTS):
        dom0.check(f"xl destroy g{i}", timeout=60)
    dom0.check(f"wait-for 30 sh -c '[ $(xl info free_memory) -ge {memory['before'] - 2} ]'", timeout=60)


@pytest.mark.only("bulkhead")
def test_a_large_guest_has_large_pages(dom0):
    configure(dom0, "large", 2100)
    dom0.check("xl create large.cfg", timeout=240)
    # In 4 KiB pages there would be more than a thousand, in 2 MiB pages four.
    assert table_pages(dom0, "large") <= 16
    dom0.check("xl destroy large", timeout=60)
    dom0.check(f"wait-for 30 sh -c '[ $(xl info free_memory) -ge {memory['before'] - 2} ]'", timeout=60)

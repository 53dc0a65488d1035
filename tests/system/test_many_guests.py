# SPDX-License-Identifier: Apache-2.0
"""Many guests at once, and many one after the other; then all memory is there again, to the page.

xl takes seconds for each guest under emulation: a normal run creates and destroys CHURN guests with
disk and network interface, --long does it 200 times.
"""

import re

from guests import (
    CONSOLES,
    free_pages,
    linux_guest,
    microguest,
    wait_console,
    wait_free_pages,
    wait_gone,
)

CONFIGURATION = {"memory": 4096, "hypervisor_options": "dom0_max_vcpus=1"}
GUESTS = 64
CHURN = 8
memory = {}


def ticks(dom0):
    """How often each of the guests says that it has woken."""
    said = dom0.check(f"for log in {CONSOLES}/guest-tick*.log; do tail -n 1 $log; done")
    return [int(count) for count in re.findall(r"ticker: (\d+)", said)]


def test_a_guest_comes_and_goes(dom0):
    """What the first guest leaves in place for the next is there when memory is counted."""
    path = linux_guest(dom0, "first", 2)
    dom0.check(f"xl create -q {path}", timeout=240)
    wait_console(dom0, "first", "GUEST-READY", 240)
    dom0.check("xl destroy first", timeout=60)
    wait_gone(dom0, "first")
    memory["before"] = free_pages(dom0)


def test_64_guests_make_progress(dom0):
    for number in range(GUESTS):
        microguest(dom0, f"tick{number}", "ticker")
    assert dom0.check("xl list", timeout=60).count("tick") == GUESTS
    for number in range(GUESTS):
        wait_console(dom0, f"tick{number}", "ticker: ", 60)
    before = ticks(dom0)
    assert len(before) == GUESTS
    dom0.check("sleep 10")
    after = ticks(dom0)
    assert all(b > a for a, b in zip(before, after)), (before, after)


def test_64_guests_give_back_what_they_had(dom0):
    dom0.check(f"for n in $(seq 0 {GUESTS - 1}); do xl destroy tick$n; done", timeout=600)
    assert "tick" not in dom0.check("xl list")
    wait_free_pages(dom0, memory["before"])


def test_creates_and_destroys(dom0, request):
    path = linux_guest(dom0, "churn", 3)
    for i in range(200 if request.config.getoption("--long") else CHURN):
        dom0.check(f": > {CONSOLES}/guest-churn.log; xl create -q {path}", timeout=240)
        if i % 4 == 3:  # destroyed while its frontends run, the others while it boots
            wait_console(dom0, "churn", "GUEST-READY", 240)
        dom0.check("xl destroy churn", timeout=60)
        wait_gone(dom0, "churn")
    wait_free_pages(dom0, memory["before"])
    assert "churn" not in dom0.check("xenstore-ls -f")

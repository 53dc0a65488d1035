# SPDX-License-Identifier: Apache-2.0
"""Many guests at once, and many one after the other; then all memory is there again, to the page.

xl takes seconds for each guest under emulation: a normal run creates and destroys CHURN guests with
disk and network interface, --long does it 200 times.
"""

import re

from guests import (
    CONSOLES,
    HEAP_BLOCK,
    free_pages,
    linux_guest,
    microguest,
    wait_console,
    wait_free_pages,
    wait_gone,
)

CONFIGURATION = {"memory": 4096, "hypervisor_options": "dom0_max_vcpus=1"}
GUESTS = 64
CHURN = 4
MIB = 256  # pages
# What a guest may cost besides its own memory, in pages; heap and tables come in pieces of 2 MiB.
OVERHEAD = 1.2 * MIB
LARGE = 4
memory = {}


def destroy(dom0, names):
    dom0.check("; ".join(f"xl destroy {name}" for name in names), timeout=600)
    wait_gone(dom0, names[-1])


def ticks(dom0):
    """How often each of the guests says that it has woken."""
    said = dom0.check(f"for log in {CONSOLES}/guest-tick*.log; do tail -n 1 $log; done")
    return [int(count) for count in re.findall(r"ticker: (\d+)", said)]


def test_what_a_guest_of_256_mib_costs(dom0):
    memory["before"] = free_pages(dom0)
    names = [f"large{number}" for number in range(LARGE)]
    for name in names:
        microguest(dom0, name, "ticker", memory=256)
    taken = memory["before"] - free_pages(dom0)
    print(f"{taken / LARGE - 256 * MIB} pages besides its own for each")
    assert taken / LARGE - 256 * MIB <= OVERHEAD
    destroy(dom0, names)
    wait_free_pages(dom0, memory["before"])


def test_creates_and_destroys(dom0, request):
    path = linux_guest(dom0, "churn", 3)
    times = 200 if request.config.getoption("--long") else CHURN
    for i in range(times):
        dom0.check(f": > {CONSOLES}/guest-churn.log; xl create -q {path}", timeout=240)
        if i % 20 == CHURN - 1:  # destroyed while its frontends run, the others while it boots
            wait_console(dom0, "churn", "GUEST-READY", 240)
        dom0.check("xl destroy churn", timeout=60)
        wait_gone(dom0, "churn")
    wait_free_pages(dom0, memory["before"])
    assert "churn" not in dom0.check("xenstore-ls -f")


def test_64_guests_make_progress(dom0):
    free = {0: memory["before"]}
    for number in range(GUESTS):
        microguest(dom0, f"tick{number}", "ticker")
        if number + 1 in (1, GUESTS // 2, GUESTS):
            free[number + 1] = free_pages(dom0)
    assert dom0.check("xl list", timeout=60).count("tick") == GUESTS
    # The later half is not dearer than the first.
    halves = [free[n] - free[n + GUESTS // 2] - 16 * MIB * GUESTS // 2 for n in (0, GUESTS // 2)]
    print(f"free pages by number of guests: {free}; besides their own, by halves: {halves}")
    assert max(halves) <= OVERHEAD * GUESTS / 2
    assert halves[1] <= halves[0] + 2 * HEAP_BLOCK
    wait_console(dom0, f"tick{GUESTS - 1}", "ticker: [0-9]", 60)
    before = ticks(dom0)
    assert len(before) == GUESTS
    dom0.check("sleep 10")
    after = ticks(dom0)
    assert all(b > a for a, b in zip(before, after)), (before, after)


def test_64_guests_give_back_what_they_had(dom0):
    """But for two blocks of the hypervisor's heap in which domain 0's own has come to lie."""
    destroy(dom0, [f"tick{number}" for number in range(GUESTS)])
    assert "tick" not in dom0.check("xl list")
    wait_free_pages(dom0, memory["before"], blocks=2)

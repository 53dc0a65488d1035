# SPDX-License-Identifier: Apache-2.0
"""No hypercall holds a CPU for more than a bounded number of instructions without a window for
interrupts, whoever makes it.

The hypervisor keeps the longest such stretch of each hypercall (debug key l) in cycles of the time
stamp counter, which counts instructions here. One processor: with more, the turns of the others
would count, too. What happened while domain 0 started is in the records.
"""

import re

import pytest

from guests import microguest, wait_gone
from hostile import finish
from keyboard import switch_input

CONFIGURATION = {"cpus": 1, "icount": True, "memory": 6144}
BOUND = 1_000_000  # as docs/architecture.md promises
# What certainly was called, and does more than to give an answer.
CALLED = ("memory_op", "domctl", "grant_table_op", "event_channel_op", "multicall", "vcpu_op")

pytestmark = pytest.mark.only("bulkhead")


def longest_stretches(dom0):
    """Cycles and operation of each hypercall's longest stretch, by its name."""
    begin = len(dom0.transcript.text)
    switch_input(dom0, "Xen|Bulkhead")
    dom0.console.send("l")
    dom0.expect("Longest stretch of hypercall", 60)
    switch_input(dom0, "DOM0|domain 0")
    found = re.findall(
        r"Longest stretch of hypercall \d+ \((\w+)\): (\d+) cycles, operation (\w+)",
        dom0.transcript.text[begin:],
    )
    return {name: (int(cycles), int(operation, 16)) for name, cycles, operation in found}


@pytest.mark.parametrize("memory,vcpus", [(256, 1), (2100, 64)])
def test_guests_are_made_and_destroyed(dom0, memory, vcpus):
    """The tools' hypercalls, large and small pages, many vcpus."""
    microguest(dom0, "life", "ticker", memory=memory, vcpus=vcpus)
    for command in ("xl list -l >/dev/null", "xl vcpu-list", f"xl mem-set life {memory // 2}", "xl info -n"):
        dom0.check(command, timeout=120)
    dom0.check("xl destroy life", timeout=120)
    wait_gone(dom0, "life")


@pytest.mark.parametrize(
    "mode,count,vcpus", [("hypercalls", 20000, 2), ("storm", 1000, 4), ("grants", 20000, 1)]
)
def test_hostile_guests(dom0, mode, count, vcpus):
    print(finish(dom0, "hostile", mode, count, 300, vcpus=vcpus))


def test_no_hypercall_holds_a_cpu_for_long(dom0):
    stretches = longest_stretches(dom0)
    for name, (cycles, operation) in sorted(stretches.items()):
        print(f"{name}: at most {cycles} instructions, operation {operation:#x}")
    for name in CALLED:
        assert stretches[name][0] > 100, f"{name} was not measured: {stretches}"
    too_long = {name: found for name, found in stretches.items() if found[0] > BOUND}
    assert not too_long, too_long

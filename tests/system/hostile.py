# SPDX-License-Identifier: Apache-2.0
"""Running the hostile microguest, some of whose random deeds may hit itself."""

import re
import time

import pytest

from guests import console, microguest, wait_console, wait_gone

ATTEMPTS = 15
OWN_ENDS = (
    "triple fault",
    "no memory to",
    "no memory for page tables",
    "the processor has to write to a read-only page",
)


def must_answer(dom0):
    begin = time.monotonic()
    dom0.check("xl info", timeout=60)
    assert time.monotonic() - begin < 60


def last_crash(dom0):
    """Which domain crashed last, and why; its number tells one crash from another."""
    return dom0.check("xl dmesg | grep -o 'domain .* crashed: .*' | tail -n 1")


def steps(said):
    """How far a guest has got, by its own words."""
    return max((int(number) for number in re.findall(r"hostile: (\d+) steps", said)), default=0)


def finish(dom0, name, mode, count, seconds, vcpus=1):
    """Runs guests until one has come to its end, or all together have made that many steps.

    Who ends itself is replaced by another, with another seed; any other end is a failure. Returns
    what they said.
    """
    said, left = "", count
    for _ in range(ATTEMPTS):
        before = last_crash(dom0)
        microguest(dom0, name, "hostile", f"mode={mode} count={count}", vcpus=vcpus)
        must_answer(dom0)
        try:
            said += wait_console(dom0, name, "hostile: done", seconds)
            wait_gone(dom0, name)
            return said
        except AssertionError:
            crash = last_crash(dom0)
            if crash == before or not any(end in crash for end in OWN_ENDS):
                raise
        wait_gone(dom0, name)
        said += console(dom0, name) + crash + "\n"
        left -= steps(console(dom0, name))
        if left <= 0:
            return said
    pytest.fail(f"{ATTEMPTS} guests died too early:\n{said}")

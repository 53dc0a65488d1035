# SPDX-License-Identifier: Apache-2.0
"""The microguest "selftest" as domain 0's kernel: what a guest may rely on, checked from inside.

Its groups are the scenarios here; one boot runs them all.
"""

import os
import re
import subprocess

import pytest

import conftest

MICROGUESTS = os.path.join(conftest.TOP, "tests", "microguests")
PROGRAM = os.path.join(conftest.TOP, "out", "microguests", "selftest")
GROUPS = (
    "identity hypercalls time events timers memory grants exceptions apic_memory vcpus"
    " extended_state apic_interrupts fifo_events control_registers apic_priority"
).split()


@pytest.fixture(scope="module")
def groups(request):
    """What each group said, by its name."""
    subprocess.run(["make", "-s", "-C", MICROGUESTS], check=True)
    booter = conftest.Booter(request.config, request.module.__name__)
    with booter(memory=2048, dom0_memory=512, modules=(PROGRAM,)) as guest:
        guest.expect(r"selftest: \d+ passed, \d+ failed", 240)
        text = guest.transcript.text
    parts = re.split(r"group (\w+)\r*\n", text)
    return dict(zip(parts[1::2], parts[2::2]))


@pytest.mark.only("bulkhead")
@pytest.mark.parametrize("group", GROUPS)
def test_group(groups, group):
    said = groups[group]
    assert not re.findall(r"FAIL .*", said)
    assert "PASS " in said

# SPDX-License-Identifier: Apache-2.0
"""What the hypervisor tells when it dies: a debug key lets it."""

import pytest

from keyboard import switch_input

pytestmark = pytest.mark.only("bulkhead")


def test_a_fatal_fault_tells_all(boot):
    with boot(hypervisor_options="noreboot") as machine:
        machine.wait_shell()
        switch_input(machine, "Xen|Bulkhead")
        machine.console.send("C")
        machine.expect("Fatal invalid opcode .* on CPU[01]", 30)
        for part in ("RIP: ", r"\] crash\+0x", "CPU[01]: (idle|runs d0v)", "Call trace", "Halted"):
            machine.expect(part, 60)

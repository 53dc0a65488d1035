# SPDX-License-Identifier: Apache-2.0
"""The serial console: the hypervisor's own keys, and domain 0's shell under load."""

import time

CTRL_A = "\x01"


def switch_input(dom0, to):
    """Three times ctrl-a hands the keyboard to the other of domain 0 and the hypervisor."""
    for _ in range(3):
        dom0.console.send(CTRL_A)
        time.sleep(0.1)
    dom0.expect(f"(?i)input (goes )?to ({to})", 20)


def test_debug_keys_from_the_console(dom0):
    switch_input(dom0, "Xen|Bulkhead")
    dom0.console.send("h")
    dom0.expect("'d'", 20)
    switch_input(dom0, "DOM0|domain 0")
    dom0.check("true")


def test_hot_loops_do_not_starve_the_console(dom0):
    dom0.check("for i in $(seq $(($(nproc) * 2))); do (while :; do :; done) & done")
    for _ in range(5):
        begin = time.monotonic()
        assert dom0.check("echo alive", timeout=30).strip() == "alive"
        assert time.monotonic() - begin < 10
    dom0.check("xl list", timeout=60)
    dom0.check("kill $(jobs -p)")


def test_a_fatal_fault_tells_all(boot):
    with boot(hypervisor_options="noreboot") as machine:
        machine.wait_shell()
        switch_input(machine, "Xen|Bulkhead")
        machine.console.send("C")
        machine.expect("Fatal invalid opcode .* on CPU[01]", 30)
        for part in ("RIP: ", r"\] crash\+0x", "CPU[01]: (idle|runs d0v)", "Call trace", "Halted"):
            machine.expect(part, 60)

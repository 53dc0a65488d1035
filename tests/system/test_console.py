# SPDX-License-Identifier: Apache-2.0
"""The serial console: the hypervisor's own keys, and domain 0's shell under load."""

import time

from keyboard import switch_input


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

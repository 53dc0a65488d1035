# SPDX-License-Identifier: Apache-2.0
"""Whom the keyboard of the serial console belongs to."""

import time

CTRL_A = "\x01"


def switch_input(dom0, to):
    """Three times ctrl-a hands the keyboard to the other of domain 0 and the hypervisor."""
    for _ in range(3):
        dom0.console.send(CTRL_A)
        time.sleep(0.1)
    dom0.expect(f"(?i)input (goes )?to ({to})", 20)

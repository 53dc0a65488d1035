# SPDX-License-Identifier: Apache-2.0
"""Domain 0 turns the machine off and restarts it. QEMU runs with -no-reboot: a restart ends it,
and says why it ended."""

import pytest


@pytest.mark.parametrize(
    "command, reason", [("poweroff", "guest-shutdown"), ("reboot", "guest-reset")]
)
def test_power(boot, command, reason):
    with boot() as dom0:
        dom0.wait_shell()
        dom0.console.sendline(command)
        assert dom0.expect_end(timeout=60) == reason

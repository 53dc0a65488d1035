# SPDX-License-Identifier: Apache-2.0
"""Domain 0 drives the same disks with line interrupts only."""

import pytest

from disks import DISKS, write_and_read_back

CONFIGURATION = {"devices": tuple(DISKS), "dom0_options": "pci=nomsi"}


@pytest.mark.parametrize("kind", DISKS)
def test_disk_keeps_256_mib(dom0, kind):
    write_and_read_back(dom0, DISKS[kind])


def test_no_message_is_used(dom0):
    assert "pci-msi" not in dom0.check("cat /proc/interrupts").lower()

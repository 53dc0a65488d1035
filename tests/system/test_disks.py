# SPDX-License-Identifier: Apache-2.0
"""Domain 0 drives disks behind three kinds of controller, with their DMA through the IOMMU."""

import pytest

from disks import DISKS, write_and_read_back

CONFIGURATION = {"devices": tuple(DISKS)}
MACHINES = {"amd-iommu": {"iommu": "amd-iommu"}, "intel-iommu": {"iommu": "intel-iommu"}}


@pytest.mark.parametrize("kind", DISKS)
def test_disk_keeps_256_mib(dom0, kind):
    write_and_read_back(dom0, DISKS[kind])


@pytest.mark.parametrize("kind", DISKS)
def test_disk_interrupts_by_message(dom0, kind):
    names = {"virtio-blk": "virtio", "nvme": "nvme0q", "ahci": "ahci"}
    lines = dom0.check(f"grep {names[kind]} /proc/interrupts")
    assert "MSI" in lines.upper() or "pirq-msi" in lines
    assert any(int(word) > 0 for word in lines.split() if word.isdigit())

# SPDX-License-Identifier: Apache-2.0
"""Domain 0 drives disks behind three kinds of controller, with their DMA through the IOMMU."""

import pytest

CONFIGURATION = {"devices": ("virtio-blk", "nvme", "ahci")}

DISKS = {"virtio-blk": "/dev/vda", "nvme": "/dev/nvme0n1", "ahci": "/dev/sda"}


def write_and_read_back(dom0, disk):
    """256 MiB of a repeatable stream, past all caches on the way back."""
    size = "count=256 bs=1M iflag=fullblock"
    dom0.check("ls /root/key 2>/dev/null || head -c 1M /dev/urandom > /root/key")
    stream = "for i in $(seq 256); do cat /root/key; echo $i; done"
    wanted = dom0.check(f"{{ {stream}; }} | dd {size} status=none | sha256sum", timeout=300)
    dom0.check(f"{{ {stream}; }} | dd {size} of={disk} conv=fsync status=none", timeout=300)
    dom0.check("echo 3 > /proc/sys/vm/drop_caches")
    found = dom0.check(f"dd if={disk} {size} status=none | sha256sum", timeout=300)
    assert found == wanted


@pytest.mark.parametrize("kind", DISKS)
def test_disk_keeps_256_mib(dom0, kind):
    write_and_read_back(dom0, DISKS[kind])


@pytest.mark.parametrize("kind", DISKS)
def test_disk_interrupts_by_message(dom0, kind):
    names = {"virtio-blk": "virtio", "nvme": "nvme0q", "ahci": "ahci"}
    lines = dom0.check(f"grep {names[kind]} /proc/interrupts")
    assert "MSI" in lines.upper() or "pirq-msi" in lines
    assert any(int(word) > 0 for word in lines.split() if word.isdigit())


def test_disks_without_msi(boot):
    """The same with line interrupts only."""
    with boot(devices=CONFIGURATION["devices"], dom0_options="pci=nomsi") as dom0:
        dom0.wait_shell()
        for disk in DISKS.values():
            write_and_read_back(dom0, disk)
        assert "msi" not in dom0.check("cat /proc/interrupts").lower()

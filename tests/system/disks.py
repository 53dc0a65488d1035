# SPDX-License-Identifier: Apache-2.0
"""What the disk scenarios share: where the rig's disks appear in domain 0, and how one is tried."""

DISKS = {"virtio-blk": "/dev/vda", "nvme": "/dev/nvme0n1", "ahci": "/dev/sda"}


def write_and_read_back(dom0, disk):
    """Writes 256 MiB of a stream that never repeats a sector and reads it back past the caches."""
    size = "count=256 bs=1M iflag=fullblock"
    dom0.check("[ -e /root/key ] || head -c 1M /dev/urandom > /root/key")
    stream = "{ for i in $(seq 256); do cat /root/key; echo $i; done; }"
    wanted = dom0.check(f"{stream} | dd {size} status=none | sha256sum", timeout=300)
    dom0.check(f"{stream} | dd {size} of={disk} conv=fsync status=none", timeout=300)
    dom0.check("echo 3 > /proc/sys/vm/drop_caches")
    found = dom0.check(f"dd if={disk} {size} status=none | sha256sum", timeout=300)
    assert found == wanted

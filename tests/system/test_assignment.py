# SPDX-License-Identifier: Apache-2.0
"""A disk controller belongs to a PVH guest: no device model, no backend. Its owners drive it, die
while it works, and attack its configuration space; the next one finds it in order.

The scenarios run in this order on one boot. Debian's libxl does not give devices to PVH guests:
tests/tools/pci_assign.c does, between creation and the first run. The guest's ACPI tables know of no
PCI, so its kernel is told to look for the bus without them.
"""

import re
import time

from guests import microguest, wait_console, wait_gone

CONFIGURATION = {"devices": ("nvme",), "memory": 2048, "dom0_memory": 768, "hardware": True}
MACHINES = {"amd-iommu": {"iommu": "amd-iommu"}, "intel-iommu": {"iommu": "intel-iommu"}}
OPTIONS = "'cmdline=\"console=hvc0 quiet pci=noacpi\"'"
WORD = "kumquat"  # what the disk is full of

state = {}


def said(dom0):
    """All that the serial console has said, the hypervisor's lines among it."""
    dom0.check("true")
    return dom0.transcript.text


def resets(dom0):
    return said(dom0).count(f"{state['nvme']} was reset (FLR: done)")


def create(dom0):
    """Starts the guest with the disk controller."""
    dom0.check(f"xl create -p guest.cfg {OPTIONS}", timeout=180)
    dom0.check(f"pci_assign give $(xl domid guest) {state['nvme']}")
    dom0.check("xl unpause guest")


class GuestShell:
    """The guest's shell on its console, inside domain 0's."""

    def __init__(self, dom0):
        self.dom0 = dom0

    def __enter__(self):
        self.dom0.console.sendline("xl console guest")
        return self

    def __exit__(self, *_):
        self.dom0.console.send("\x1d")
        time.sleep(2)
        self.dom0.check("true")

    def wait(self):
        self.dom0.expect("GUEST-READY", 240)
        self.dom0.expect("guest# ", 30)

    def run(self, command):
        """The lines that a command says. The shell's editor echoes what is sent, perhaps wrapped."""
        self.dom0.console.sendline(f"{{ {command}; }} 2>&1 | sed 's/.*/<&>/'; echo en''ded")
        self.dom0.expect(r"\nended\r*\n", 180)
        return re.findall(r"^<([^&].*)>\r*$", self.dom0.console.before, re.MULTILINE)


def test_a_disk_controller_goes_to_a_guest(dom0):
    state["nvme"] = dom0.check("basename $(readlink /sys/class/nvme/nvme0/device)").strip()
    dom0.check(f"echo {state['nvme']} > /sys/bus/pci/devices/{state['nvme']}/driver/unbind")
    create(dom0)
    assert resets(dom0) == 1
    with GuestShell(dom0) as guest:
        guest.wait()
        lines = guest.run("cat /sys/bus/pci/devices/*/class")
        assert lines == ["0x060000", "0x010802"]


def test_the_guest_drives_it(dom0):
    with GuestShell(dom0) as guest:
        guest.run("modprobe nvme; sleep 2; ls /dev/nvme0n1")
        assert guest.run("ls /dev/nvme0n1") == ["/dev/nvme0n1"]
        guest.run("dd if=/dev/urandom of=/root/data bs=1M count=16")
        guest.run("dd if=/root/data of=/dev/nvme0n1 bs=1M conv=fsync")
        guest.run("echo 3 > /proc/sys/vm/drop_caches")
        same = guest.run("dd if=/dev/nvme0n1 bs=1M count=16 | cmp - /root/data && echo same")
        assert same[-1] == "same"
        assert any("nvme0q" in line for line in guest.run("grep nvme /proc/interrupts"))


def test_its_owner_dies_while_it_writes_to_memory(dom0):
    """What the disk is full of is nowhere in memory then, and does not come back."""
    pattern = f"{WORD}\n".encode() * 8
    with GuestShell(dom0) as guest:
        guest.run("rm /root/data")
        guest.run(f"yes {WORD} | dd of=/dev/nvme0n1 bs=1M count=32 iflag=fullblock conv=fsync")
        guest.run("echo 3 > /proc/sys/vm/drop_caches")
        guest.run(
            "while true; do dd if=/dev/nvme0n1 of=/dev/null bs=1M count=32 iflag=direct; done "
            ">/dev/null 2>&1 &"
        )
        time.sleep(2)
    assert dom0.hardware.find(pattern)
    dom0.check("xl destroy guest")
    wait_gone(dom0, "guest")
    dom0.hardware.wait_nowhere(pattern, 60)
    time.sleep(1)
    assert not dom0.hardware.find(pattern)


def test_its_owner_attacks_its_configuration_space(dom0):
    microguest(dom0, "hostile", "hostile", "mode=configuration count=20000", functions=[state["nvme"]])
    assert resets(dom0) == 2
    print(wait_console(dom0, "hostile", "hostile: done", 120))
    wait_gone(dom0, "hostile")


def test_the_next_owner_drives_it(dom0):
    create(dom0)
    assert resets(dom0) == 3
    with GuestShell(dom0) as guest:
        guest.wait()
        guest.run("modprobe nvme; sleep 2")
        assert guest.run("ls /dev/nvme0n1") == ["/dev/nvme0n1"]
        assert guest.run("dd if=/dev/nvme0n1 bs=1M count=1 | uniq") == [WORD]
    dom0.check("xl destroy guest")

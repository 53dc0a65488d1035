# SPDX-License-Identifier: Apache-2.0
"""Devices belong to a PVH guest: no device model, no backend. The guest drives a disk controller, and
orders QEMU's edu to do DMA where it has no business.

The scenarios run in this order on one boot. Debian's libxl does not give devices to PVH guests:
tests/tools/pci_assign.c does, between creation and the first run. The guest's ACPI tables know of no
PCI, so its kernel is told to look for the bus without them.
"""

import re
import time

import pytest

from test_isolation import EDU, console, hypervisor_image, refusals

CONFIGURATION = {"devices": ("edu", "nvme"), "hypervisor_options": "hide=00:10.0"}
MACHINES = {"amd-iommu": {"iommu": "amd-iommu"}, "intel-iommu": {"iommu": "intel-iommu"}}
# EDU is withheld from domain 0, so nobody has used it.
GUEST_NVME = "0000:00:01.0"  # on the guest's bus, in the order in which they are given
GUEST_EDU = "0000:00:02.0"
OPTIONS = "'cmdline=\"console=hvc0 quiet pci=noacpi\"'"


def find_nvme(dom0):
    return dom0.check("basename $(readlink /sys/class/nvme/nvme0/device)").strip()


def create(dom0, functions):
    """Starts the guest with these functions of the machine; returns its domid."""
    dom0.check(f"xl create -p guest.cfg {OPTIONS}", timeout=180)
    domid = int(dom0.check("xl domid guest"))
    for function in functions:
        dom0.check(f"pci_assign give {domid} {function}")
    dom0.check("xl unpause guest")
    return domid


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


state = {}


def test_devices_go_to_a_guest(dom0):
    nvme = state["nvme"] = find_nvme(dom0)
    dom0.check(f"echo {nvme} > /sys/bus/pci/devices/{nvme}/driver/unbind")
    state["domid"] = create(dom0, [nvme, EDU])
    assert f"{nvme} was reset (FLR: done)" in console(dom0)
    with GuestShell(dom0) as guest:
        guest.wait()
        lines = guest.run("cat /sys/bus/pci/devices/*/class")
        assert lines == ["0x060000", "0x010802", "0x00ff00"]


def test_guest_drives_the_disk_controller(dom0):
    with GuestShell(dom0) as guest:
        guest.run("modprobe nvme; sleep 2; ls /dev/nvme0n1")
        assert guest.run("ls /dev/nvme0n1") == ["/dev/nvme0n1"]
        guest.run("dd if=/dev/urandom of=/root/data bs=1M count=16")
        guest.run("dd if=/root/data of=/dev/nvme0n1 bs=1M conv=fsync")
        guest.run("echo 3 > /proc/sys/vm/drop_caches")
        assert guest.run("dd if=/dev/nvme0n1 bs=1M count=16 | cmp - /root/data && echo same")[-1] == "same"
        assert any("nvme0q" in line for line in guest.run("grep nvme /proc/interrupts"))


def test_guest_reaches_its_own_memory(dom0):
    with GuestShell(dom0) as guest:
        assert "copied" in guest.run(f"edu_dma {GUEST_EDU} self")[0]


@pytest.mark.parametrize("access", ["read", "write"])
def test_guest_reaches_no_other_memory(dom0, access):
    word = {"read": "read from", "write": "write to"}[access]
    places = [hypervisor_image(dom0), 0x30000000]
    before = [refusals(dom0, state["domid"], word, address) for address in places]
    with GuestShell(dom0) as guest:
        for address in places:
            guest.run(f"edu_dma {GUEST_EDU} {access} {address:x}")
        assert "copied" in guest.run(f"edu_dma {GUEST_EDU} self")[0]
    for address, count in zip(places, before):
        assert refusals(dom0, state["domid"], word, address) > count


def test_killed_guest_leaves_devices_to_the_next(dom0):
    dom0.check("xl destroy guest; wait-for 60 sh -c '! xl list guest'", timeout=120)
    before = console(dom0).count(f"{state['nvme']} was reset (FLR: done)")
    create(dom0, [state["nvme"]])
    assert console(dom0).count(f"{state['nvme']} was reset (FLR: done)") == before + 1
    with GuestShell(dom0) as guest:
        guest.wait()
        guest.run("modprobe nvme; sleep 2")
        assert guest.run("ls /dev/nvme0n1") == ["/dev/nvme0n1"]


def test_what_cannot_be_reset_is_not_handed_on(dom0):
    status, said = dom0.run(f"pci_assign give $(xl domid guest) {EDU}")
    assert status == 1 and "Input/output error" in said
    assert f"{EDU} cannot be reset and stays with nobody (FLR: not offered;" in console(dom0)

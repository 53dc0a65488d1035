# SPDX-License-Identifier: Apache-2.0
"""The distribution's disk image on BIOS and on UEFI machines: it starts its driver domains by itself, and a
guest works through them.

Both machines have one copy of the image: what is saved on the first is there on the second. The
configuration partition also brings what the scenario needs in domain 0: a guest.
"""

import os
import shutil
import sys

import pytest

import machine
from guests import ConsoleShell, wait_console, write_configuration

sys.path.insert(0, os.path.join(machine.TOP, "driverdomains", "common"))

import archive  # noqa: E402 (found only after the line above)

IMAGE = os.path.join(machine.IMAGES, "scratch-image.img")
MACHINES = {"bios": {"loader": "image-bios"}, "uefi": {"loader": "image-uefi"}}
CONFIGURATION = {"disk_image": IMAGE, "memory": 3072, "devices": ("e1000e", "nvme", "xhci")}
CONFIGURATION_AT = -5 << 20  # from the end: its 4 MiB, and one for the table's copy
PROOF = "/etc/bulkhead/proof"
GUESTS = {"plain": (20, "xenbr0"), "tagged": (21, "xenbr0.5")}
pytestmark = pytest.mark.only("bulkhead")


@pytest.fixture(scope="module", autouse=True)
def image():
    """A copy of the image whose configuration partition holds an archive of ours."""
    shutil.copyfile(machine.Configuration().disk_image, IMAGE)
    with open(os.path.join(machine.IMAGES, "guest.initrd"), "rb") as initrd:
        files = {
            "guest/initrd": archive.regular(0o644, initrd.read()),
            PROOF[1:]: archive.regular(0o644, b"placed\n"),
        }
    archive.add_parents(files)
    packed = os.path.join(machine.IMAGES, "configuration.cpio")
    archive.write(files, packed)
    with open(packed, "rb") as source, open(IMAGE, "r+b") as target:
        target.seek(CONFIGURATION_AT, os.SEEK_END)
        target.write(source.read())


@pytest.fixture
def only_bios(dom0):
    if dom0.configuration.loader != "image-bios":
        pytest.skip("once is enough")


def test_domain0_has_memory_left_and_no_device(dom0):
    assert dom0.check("ls /sys/bus/pci/devices; ls -d /dev/sd* /sys/class/net/eth* 2>/dev/null; true") == ""
    free = int(dom0.check("awk '/MemAvailable/ { print $2 }' /proc/meminfo"))
    print(f"{free} KiB of domain 0's memory are left")
    assert free > 40 << 10


def test_configuration_is_there(dom0):
    expected = "placed" if dom0.configuration.loader == "image-bios" else "saved"
    assert dom0.check(f"cat {PROOF}") == expected


def test_driver_domains_start_by_themselves(dom0):
    for name in ("storage", "net", "usb"):
        said = wait_console(dom0, name, "DRIVERDOMAIN-READY", 180)
        assert "DRIVERDOMAIN-FAILED" not in said, said
    print(dom0.check("bulkheadd status; xl list", timeout=60))


def test_guests_start(dom0, only_bios):
    for name, (number, bridge) in GUESTS.items():
        path = write_configuration(
            dom0,
            name,
            [
                f'name="{name}"',
                'type="pvh"',
                'kernel="/usr/lib/bulkhead/driverdomains/vmlinuz"',
                'ramdisk="/guest/initrd"',
                'cmdline="console=hvc0 quiet"',
                "memory=192",
                f'vif=["backend=net,script=vif-openvswitch,bridge={bridge},ip=10.0.2.{number}"]',
                'disk=["vdev=xvda,access=rw,backend=storage,script=block,target=/dev/nvme0n1"]'
                if name == "plain"
                else "",
            ],
        )
        dom0.check(f"xl create -q {path}", timeout=180)
        wait_console(dom0, name, "GUEST-READY", 180)
        with ConsoleShell(dom0, name) as guest:
            guest.check(f"ifconfig eth0 10.0.2.{number} netmask 255.255.255.0")


def test_a_guest_has_network_and_disk(dom0, only_bios):
    with ConsoleShell(dom0, "plain") as guest:
        assert " 0% packet loss" in guest.check("ping -c 3 10.0.2.2")
        guest.check("dd if=/dev/urandom of=/root/key bs=1M count=4")
        guest.check("dd if=/root/key of=/dev/xvda bs=1M; sync; echo 3 >/proc/sys/vm/drop_caches")
        guest.check("head -c 4M /dev/xvda | cmp - /root/key")


def test_a_guest_sees_its_vlan_only(dom0, only_bios):
    with ConsoleShell(dom0, "tagged") as guest:
        guest.check("! ping -c 2 -W 1 10.0.2.2")
        guest.check("! ping -c 2 -W 1 10.0.2.20")


def test_a_guest_cannot_use_foreign_addresses(dom0, only_bios):
    with ConsoleShell(dom0, "plain") as guest:
        guest.check("ifconfig eth0 10.0.2.99; ! ping -c 2 -W 1 10.0.2.2")
        guest.check("ifconfig eth0 10.0.2.20; ping -c 1 -W 5 10.0.2.2")
        guest.check("ifconfig eth0 hw ether 00:16:3e:99:99:99; ! ping -c 2 -W 1 10.0.2.2")
    with ConsoleShell(dom0, "net") as net:
        drops = net.check("nft list ruleset | grep 'drop' | grep -v 'packets 0'")
        assert len(drops.splitlines()) >= 2, drops


def test_a_mistake_is_told(dom0, only_bios):
    """The script runs in the driver domain; its reason reaches whoever typed the command."""
    status, said = dom0.run(
        "xl network-attach tagged backend=net script=vif-openvswitch bridge=nobridge", timeout=90
    )
    assert status != 0 and "Open vSwitch has no bridge nobridge here" in said, said


def test_driver_domains_are_closed_up(dom0, only_bios):
    for name in ("storage", "net", "usb"):
        with ConsoleShell(dom0, name) as domain:
            assert domain.check("netstat -ltun | grep -v '^Active.*' | grep -v '^Proto.*' | grep -v :68; true") == ""
            domain.check("! touch /somewhere")
            print(name, domain.check("cut -d ' ' -f 1 /proc/uptime; free -m | head -n 2"))


def test_configuration_is_saved(dom0, only_bios):
    dom0.check(f"echo saved >{PROOF}")
    assert "configuration saved" in dom0.check("save-configuration", timeout=120)

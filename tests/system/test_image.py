# SPDX-License-Identifier: Apache-2.0
"""The distribution's disk image on BIOS and on UEFI machines: it starts what its configuration says, and keeps
that: both machines have one copy of the image, and what is saved on the first is there on the second.

To be quick the configuration has the storage domain only, which owns the disk that the machine booted
from; test_run.py has all of them.
"""

import os
import shutil

import pytest

import distribution
import machine
from guests import wait_console

IMAGE = os.path.join(machine.IMAGES, "scratch-image.img")
MACHINES = {"bios": {"loader": "image-bios"}, "uefi": {"loader": "image-uefi"}}
CONFIGURATION = {"disk_image": IMAGE, "memory": 2048}
CONFIGURATION_AT = -5 << 20  # from the end: its 4 MiB, and one for the table's copy
PROOF = "/etc/bulkhead/proof"
PLACED = {
    PROOF: "placed\n",
    "/etc/bulkhead/launch.conf": 'domains = [ "storage" ]\nstorage.devices = [ "class=storage" ]\n',
}
pytestmark = pytest.mark.only("bulkhead")


@pytest.fixture(scope="module", autouse=True)
def image():
    """A copy of the image whose configuration partition holds an archive of ours."""
    distribution.build()
    shutil.copyfile(machine.Configuration().disk_image, IMAGE)
    with open(distribution.pack(PLACED, "configuration"), "rb") as source:
        with open(IMAGE, "r+b") as target:
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


def test_storage_domain_starts_by_itself(dom0, only_bios):
    said = wait_console(dom0, "storage", "DRIVERDOMAIN-READY", 120)
    assert "DRIVERDOMAIN-FAILED" not in said, said
    print(dom0.check("bulkheadd status; xl list", timeout=60))


def test_configuration_is_saved(dom0, only_bios):
    dom0.check(f"echo saved >{PROOF}")
    assert "configuration saved" in dom0.check("save-configuration", timeout=120)

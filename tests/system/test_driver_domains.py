# SPDX-License-Identifier: Apache-2.0
"""Three driver domains on our vPCI serve a guest, and domain 0 has no PCI device at all.

The scenarios run in this order on one boot. The domains are those of driverdomains/: net with an
e1000e, storage with an NVMe and an AHCI controller, usb with an xHCI controller and a stick.
"""

import pytest

import driver_domains
from driver_domains import FUNCTIONS
from guests import ConsoleShell, wait_gone

CONFIGURATION = driver_domains.MACHINE
MACHINES = {"amd-iommu": {"iommu": "amd-iommu"}, "intel-iommu": {"iommu": "intel-iommu"}}
DRIVERS = {"storage": ["nvme0q1", "ahci"], "net": ["eth0-rx-0"], "usb": ["xhci_hcd"]}


def test_domain0_has_no_device(dom0):
    devices = "/sys/bus/pci/devices/* /sys/class/net/eth* /dev/nvme* /dev/sd*"
    assert dom0.check(f"ls -d {devices} 2>/dev/null ||:") == ""


def test_driver_domains_begin(dom0):
    driver_domains.create(dom0, *FUNCTIONS)
    driver_domains.wait_ready(dom0, *FUNCTIONS)


def test_drivers_are_told_by_messages(dom0):
    for name, drivers in DRIVERS.items():
        with ConsoleShell(dom0, name) as domain:
            interrupts = domain.check("cat /proc/interrupts").splitlines()
        for driver in drivers:
            assert any(driver in line and "PCI-MSI" in line for line in interrupts), interrupts


def test_guest_begins(dom0):
    driver_domains.create_guest(dom0)


def test_guest_reaches_the_network(dom0):
    with ConsoleShell(dom0, "guest") as guest:
        assert " 0% packet loss" in guest.check("ping -c 5 10.0.2.2")
        driver_domains.echo(guest, 1024)


@pytest.mark.parametrize("disk, megabytes", [("xvda", 256), ("xvdb", 16), ("xvdc", 16)])
def test_guest_keeps_data(dom0, disk, megabytes):
    with ConsoleShell(dom0, "guest") as guest:
        driver_domains.write_and_read_back(guest, disk, megabytes)


def test_driver_domains_come_back(dom0):
    """Killed while they serve, created again: the devices are reset and a new guest has them all."""
    for name in FUNCTIONS:
        dom0.check(f"xl destroy {name}", timeout=60)
    dom0.check("xl destroy guest", timeout=120)
    wait_gone(dom0, "guest", *FUNCTIONS)
    driver_domains.create(dom0, *FUNCTIONS)
    driver_domains.wait_ready(dom0, *FUNCTIONS)
    driver_domains.check_service(dom0)

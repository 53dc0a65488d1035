# SPDX-License-Identifier: Apache-2.0
"""Driver domains are killed at any moment, while they begin and under load, and created again.

Nothing of them is left, and after all that the devices still serve a guest. Four rounds; fifty with
--long. The moments are random; the seed is printed.
"""

import random
import time

import pytest

import driver_domains
from driver_domains import FUNCTIONS
from guests import ConsoleShell, free_pages, wait_free_pages, wait_gone

CONFIGURATION = driver_domains.MACHINE
MACHINES = {"amd-iommu": {"iommu": "amd-iommu"}, "intel-iommu": {"iommu": "intel-iommu"}}
READ = "(while dd if=/dev/{} of=/dev/null bs=256k iflag=direct; do :; done) >/dev/null 2>&1 &"
LOADS = {
    "storage": [READ.format("nvme0n1"), READ.format("sda")],
    "net": ["ip address add 10.0.2.15/24 dev xenbr0;", "ping -A 10.0.2.2 >/dev/null 2>&1 &"],
    "usb": [READ.format("sda")],
}
BEGINNING = 40  # seconds in which the domains begin, more or less


@pytest.fixture(scope="module")
def chance():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    return random.Random(seed)


def start_loads(dom0):
    for name, commands in LOADS.items():
        with ConsoleShell(dom0, name) as domain:
            for command in commands:
                domain.check(f"{command} :")


def kill_all(dom0, chance):
    for name in chance.sample(list(FUNCTIONS), len(FUNCTIONS)):
        dom0.check(f"xl destroy {name}", timeout=60)
        time.sleep(chance.random())
    wait_gone(dom0, *FUNCTIONS)


def test_driver_domains_are_killed(dom0, chance, request):
    pages = free_pages(dom0)
    for count in range(50 if request.config.getoption("--long") else 4):
        driver_domains.create(dom0, *FUNCTIONS)
        if count % 2:
            driver_domains.wait_ready(dom0, *FUNCTIONS)
            start_loads(dom0)
            time.sleep(chance.uniform(0, 3))
        else:
            time.sleep(chance.uniform(0, BEGINNING))
        kill_all(dom0, chance)
        wait_free_pages(dom0, pages)


def test_their_devices_serve_a_guest(dom0):
    driver_domains.create(dom0, *FUNCTIONS)
    driver_domains.wait_ready(dom0, *FUNCTIONS)
    driver_domains.check_service(dom0)

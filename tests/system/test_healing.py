# SPDX-License-Identifier: Apache-2.0
"""Driver domains die under load, come back with the same domid, and their clients go on.

Two guests: one writes to a disk that the domain "storage" serves and checks what it reads; between
the two there is a TCP connection through the bridge of the domain "net". The machine has no PCI
device to give away: storage passes on a disk that domain 0 serves to it.
"""

import re
import pytest

from guests import console, in_guest, wait_console, write_configuration

CONFIGURATION = {"memory": 4096, "toolstack": "bulkhead"}
DOMIDS = {"storage": 10, "net": 11}
outages = {}


def driver_domain(dom0, name, disks=""):
    write_configuration(
        dom0,
        name,
        [
            f'name="{name}"',
            'type="pvh"',
            'kernel="/guest/vmlinuz"',
            'ramdisk="/guest/driverdomain.initrd"',
            'cmdline="console=hvc0 quiet"',
            "memory=256",
            f"domid={DOMIDS[name]}",
            "driver_domain=1",
            f"disk=[{disks}]",
        ],
    )


def client(dom0, name, number, disks=""):
    control = f'"bridge=xenbr0,mac=00:16:3e:00:00:{number:02x}"'
    served = f'"backend=net,bridge=xenbr0,mac=00:16:3e:00:01:{number:02x}"'
    return write_configuration(
        dom0,
        name,
        [
            f'name="{name}"',
            'type="pvh"',
            'kernel="/guest/vmlinuz"',
            'ramdisk="/guest/initrd"',
            'cmdline="console=hvc0 quiet"',
            "memory=192",
            f"vif=[{control},{served}]",
            f"disk=[{disks}]",
        ],
    )


def wait_served(dom0, name, kind, client_name, device, seconds=120):
    """Waits until the domain serves the client's device again."""
    domid = dom0.check(f"xl domid {client_name}").strip()
    path = f"/local/domain/{DOMIDS[name]}/backend/{kind}/{domid}/{device}"
    dom0.check(
        f"wait-for {seconds} sh -c '[ $(xenstore-read {path}/state) = 4 ] && "
        f"[ $(xenstore-read {path}/hotplug-status) = connected ]'",
        timeout=seconds + 60,
    )


def background(dom0, number, command):
    in_guest(dom0, number, f"{command} >/tmp/{command.split()[1]}.log 2>&1 </dev/null &")


@pytest.fixture(scope="module")
def load(dom0):
    """Both driver domains, both guests, and the load in them."""
    dom0.check("truncate -s 64M /guest/storage.img")
    driver_domain(dom0, "storage", '"format=raw,vdev=xvda,access=rw,target=/guest/storage.img"')
    driver_domain(dom0, "net")
    for name in DOMIDS:
        dom0.check(f"xl create -q /tmp/{name}.cfg", timeout=180)
    for name in DOMIDS:
        wait_console(dom0, name, "DRIVER-DOMAIN-READY", 180)
    disk = '"format=raw,vdev=xvda,access=rw,backend=storage,target=/dev/xvda"'
    dom0.check(f"xl create -q {client(dom0, 'one', 2, disk)}", timeout=240)
    dom0.check(f"xl create -q {client(dom0, 'two', 3)}", timeout=240)
    for name, number in (("one", 2), ("two", 3)):
        wait_console(dom0, name, "GUEST-READY", 180)
        in_guest(dom0, number, f"ifconfig eth1 10.1.0.{number} netmask 255.255.255.0 up")
    background(dom0, 3, "verified_load listen")
    background(dom0, 2, "verified_load connect 10.1.0.3")
    background(dom0, 2, "verified_load disk /dev/xvda")
    background(dom0, 2, "ping -i 0.2 10.1.0.3")
    dom0.check("sleep 5")
    return dom0


def kill(dom0, name):
    """Ends a driver domain at once and starts it again with the same domid."""
    dom0.check(f"xl destroy {name}", timeout=120)
    dom0.check("sleep 2")
    dom0.check(f"xl create -q /tmp/{name}.cfg", timeout=180)


def test_storage_comes_back(load, request):
    for _ in range(request.config.getoption("--kills")):
        kill(load, "storage")
        wait_served(load, "storage", "vbd", "one", 51712)
        load.check("sleep 5")


def test_network_comes_back(load, request):
    for _ in range(request.config.getoption("--kills")):
        kill(load, "net")
        for name in ("one", "two"):
            wait_served(load, "net", "vif", name, 1)
        load.check("sleep 10")


def result(dom0, number, which):
    said = in_guest(dom0, number, f"cat /tmp/{which}.log")
    print(said)
    found = re.search(
        rf"{which}: (\d+) done, (\d+) checked, (\d+) wrong, (\d+) errors, longest (\d+) ms", said
    )
    assert found, said
    done, checked, wrong, errors, longest = map(int, found.groups())
    assert done > 50 and checked > 50, said
    assert (wrong, errors) == (0, 0), said
    return longest


def test_nothing_was_lost(load):
    in_guest(load, 2, "touch /tmp/stop")
    load.check("sleep 5")
    for number, which in ((2, "disk"), (2, "connect"), (3, "listen")):
        outages[which] = result(load, number, which)
    print("longest steps in milliseconds:", outages)


def test_guests_noticed_nothing(load):
    for number, name in ((2, "one"), (3, "two")):
        said = in_guest(load, number, "dmesg | tail -n 40; ls /sys/class/net")
        assert not re.search("I/O error|further use|xenbus.*clos", said), said
        assert "eth2" not in said
        assert "Oops" not in console(load, name)

# SPDX-License-Identifier: Apache-2.0
"""The network driver domain's switch: guests see their VLAN only, cannot use addresses that are not
theirs, and what a hotplug script complains about in there reaches whoever typed the command.
"""

import pytest

import distribution
from guests import ConsoleShell, wait_console

GUESTS = {"plain": (20, "xenbr0"), "tagged": (21, "xenbr0.5"), "other": (22, "xenbr0.5")}
pytestmark = pytest.mark.only("bulkhead")


def CONFIGURATION():  # as conftest.py calls it
    """The distribution with a network card; bulkheadd starts the guests behind it, too."""
    distribution.build("dom0", "launched")
    launch = ['domains = [ "net", "plain", "tagged", "other" ]', 'net.devices = [ "class=network" ]']
    files = {"/etc/bulkhead/launch.conf": "\n".join(launch) + "\n"}
    for name, (number, bridge) in GUESTS.items():
        vif = f"bridge={bridge},mac=00:16:3e:00:00:{number:02x},ip=10.0.2.{number}"
        files[f"/etc/xen/{name}.cfg"] = distribution.guest(name, vif)
    return {
        "memory": 2048,
        "dom0_memory": 256,
        "devices": ("e1000e",),
        "hypervisor_options": "hide=all",
        "modules": distribution.modules(distribution.pack(files, "switch")),
    }


def test_guests_start(dom0):
    for name, (number, _) in GUESTS.items():
        wait_console(dom0, name, "GUEST-READY", 240)
        with ConsoleShell(dom0, name) as guest:
            guest.check(f"ifconfig eth0 10.0.2.{number} netmask 255.255.255.0")


def test_a_guest_reaches_the_uplink(dom0):
    with ConsoleShell(dom0, "plain") as guest:
        assert " 0% packet loss" in guest.check("ping -c 3 10.0.2.2")


def test_guests_of_a_vlan_see_each_other_only(dom0):
    with ConsoleShell(dom0, "tagged") as guest:
        assert " 0% packet loss" in guest.check("ping -c 3 10.0.2.22")
        guest.check("! ping -c 2 -W 1 10.0.2.2")
        guest.check("! ping -c 2 -W 1 10.0.2.20")


def test_a_guest_cannot_use_foreign_addresses(dom0):
    with ConsoleShell(dom0, "plain") as guest:
        guest.check("ifconfig eth0 10.0.2.99; ! ping -c 2 -W 1 10.0.2.2")
        guest.check("ifconfig eth0 10.0.2.20; ping -c 1 -W 5 10.0.2.2")
        guest.check("ifconfig eth0 hw ether 00:16:3e:99:99:99; ! ping -c 2 -W 1 10.0.2.2")
    with ConsoleShell(dom0, "net") as net:
        drops = net.check("nft list ruleset | grep -w drop | grep -v 'packets 0'")
        assert len(drops.splitlines()) >= 2, drops


def test_the_domain_is_closed_up(dom0):
    with ConsoleShell(dom0, "net") as net:
        assert net.check("netstat -ltun | grep -v '^Active' | grep -v '^Proto'; true") == ""
        net.check("! touch /somewhere")
        print(net.check("free -m | head -n 2"))


def test_a_mistake_is_told(dom0):
    status, said = dom0.run(
        "xl network-attach tagged backend=net script=vif-openvswitch bridge=nobridge", timeout=90
    )
    assert status != 0 and "Open vSwitch has no bridge nobridge here" in said, said

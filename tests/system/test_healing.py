# SPDX-License-Identifier: Apache-2.0
"""Driver domains die under load, come back by themselves with the same domid, and their clients go on.

bulkheadd starts everything. Two guests: one writes to a disk that the domain "storage" serves and
checks what it reads; between the two there is a TCP connection through the bridge of the domain
"net". The machine has no PCI device to give away: storage passes on a disk that domain 0 serves to it.
"""

import re

import pytest

from guests import console, in_guest, wait_console, write_configuration

CONFIGURATION = {"memory": 4096, "toolstack": "bulkhead"}
# In the order of the launch configuration.
DOMAINS = ("storage", "net", "one", "two")
restarts = dict.fromkeys(DOMAINS, 0)


def configure(dom0, name, initrd, memory, settings):
    common = [
        f'name="{name}"',
        'type="pvh"',
        'kernel="/guest/vmlinuz"',
        f'ramdisk="/guest/{initrd}"',
        'cmdline="console=hvc0 quiet"',
        f"memory={memory}",
    ]
    write_configuration(dom0, name, common + settings)


def client_interfaces(number):
    """One to talk to it from domain 0, one that the driver domain serves."""
    control = f'"bridge=xenbr0,mac=00:16:3e:00:00:{number:02x}"'
    served = f'"backend=net,bridge=xenbr0,mac=00:16:3e:00:01:{number:02x}"'
    return f"vif=[{control},{served}]"


def status(dom0, name, key):
    return dom0.check(f"xenstore-read /tool/bulkheadd/{DOMAINS.index(name)}/{key}").strip()


def wait_ready(dom0, name, seconds):
    """Waits until bulkheadd has restarted the domain as often as it died, and its clients are served."""
    path = f"/tool/bulkheadd/{DOMAINS.index(name)}"
    dom0.check(
        f"wait-for {seconds} sh -c '[ $(xenstore-read {path}/restarts) = {restarts[name]} ] && "
        f"[ $(xenstore-read {path}/phase) = ready ]' || "
        "{ bulkheadd status; tail -n 50 /var/log/xen/bulkheadd.log; false; }",
        timeout=seconds + 60,
    )


def background(dom0, number, command):
    """Leaves a command running in a guest; its output is in /tmp/WORD.log, by its second word."""
    log = f"/tmp/{command.split()[1]}.log"
    in_guest(dom0, number, f"{{ {command} >{log} 2>&1 </dev/null & }}")


def launch(dom0):
    """Starts bulkheadd with the driver domains and the guests."""
    dom0.check("truncate -s 64M /guest/storage.img")
    disk = '"format=raw,vdev=xvda,access=rw,target=/guest/storage.img"'
    served_disk = '"format=raw,vdev=xvda,access=rw,backend=storage,target=/dev/xvda"'
    driver = "driverdomain.initrd"
    configure(dom0, "storage", driver, 256, ["driver_domain=1", f"disk=[{disk}]"])
    configure(dom0, "net", driver, 256, ["driver_domain=1"])
    configure(dom0, "one", "initrd", 192, [client_interfaces(2), f"disk=[{served_disk}]"])
    configure(dom0, "two", "initrd", 192, [client_interfaces(3)])
    lines = ["domains=[" + ",".join(f'"{name}"' for name in DOMAINS) + "]", "net.heartbeat=30"]
    lines += [f'{name}.config="/tmp/{name}.cfg"' for name in DOMAINS]
    lines += [f"{name}.restarts=100" for name in ("storage", "net")]
    write_configuration(dom0, "launch", lines)
    dom0.check("bulkheadd -c /tmp/launch.cfg", timeout=60)
    for name in DOMAINS:
        wait_ready(dom0, name, 240)


@pytest.fixture(scope="module")
def load(dom0):
    """All domains, and the load in the guests."""
    launch(dom0)
    for name, number in (("one", 2), ("two", 3)):
        wait_console(dom0, name, "GUEST-READY", 180)
        in_guest(dom0, number, f"ifconfig eth1 10.1.0.{number} netmask 255.255.255.0 up")
    background(dom0, 3, "verified_load listen")
    background(dom0, 2, "verified_load connect 10.1.0.3")
    background(dom0, 2, "verified_load disk /dev/xvda")
    dom0.check("sleep 5")
    return dom0


def kill(dom0, name, command):
    restarts[name] += 1
    dom0.check(f"{command} {name}", timeout=120)
    wait_ready(dom0, name, 180)
    print(f"{name}: down for {status(dom0, name, 'outage')} ms: {status(dom0, name, 'reason')}")
    dom0.check("sleep 3")


def test_storage_comes_back(load, request):
    for _ in range(request.config.getoption("--kills")):
        kill(load, "storage", "xl destroy")


def test_network_comes_back(load, request):
    for _ in range(request.config.getoption("--kills")):
        kill(load, "net", "xl destroy")


def result(dom0, number, which):
    # A TCP that has been without an answer for a while asks again after as long a while.
    wait = f"for i in $(seq 120); do grep -q longest /tmp/{which}.log && break; sleep 1; done"
    said = in_guest(dom0, number, f"{wait}; cat /tmp/{which}.log", timeout=150)
    print(said)
    found = re.search(
        rf"{which}: (\d+) done, (\d+) checked, (\d+) wrong, (\d+) errors, longest (\d+) ms", said
    )
    assert found, said
    done, checked, wrong, errors, _ = map(int, found.groups())
    assert done > 50 and checked > 50, said
    assert (wrong, errors) == (0, 0), said


def test_nothing_was_lost(load):
    in_guest(load, 2, "touch /tmp/stop")
    failed = []
    for number, which in ((2, "disk"), (2, "connect"), (3, "listen")):
        try:
            result(load, number, which)
        except AssertionError as error:
            failed.append(str(error))
    assert not failed, failed


def test_guests_noticed_nothing(load):
    for number, name in ((2, "one"), (3, "two")):
        said = in_guest(load, number, "dmesg | tail -n 30; ls /sys/class/net")
        print(said)
        assert not re.search("I/O error|further use", said), said
        assert "eth2" not in said
        assert "Oops" not in console(load, name)


def test_a_hung_domain_comes_back(load):
    kill(load, "net", "xl pause")
    assert "silent" in status(load, "net", "reason")
    in_guest(load, 2, "ping -c 2 10.1.0.3")

# SPDX-License-Identifier: Apache-2.0
"""Tests of the hotplug scripts in the network driver domain's own image: its shell, its nft, its
Open vSwitch, in namespaces of this machine. Ethernet pairs stand in for guests' interfaces, and a folder
of files for xenstore. Frames are really sent, and arrive or do not.

  test_hotplug.py IMAGE      the folder that the builder left; needs root, or user namespaces
"""

import glob
import os
import shutil
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time

import tap

SCRATCH = os.environ.get("HOTPLUG_ROOT", "")
GUESTS = {1: "00:16:3e:00:00:01", 2: "00:16:3e:00:00:02", 3: "00:16:3e:00:00:03"}
SOL_PACKET, PACKET_AUXDATA, VLAN_VALID = 263, 8, 0x10
IPV4, ARP, IPV6, VLAN = 0x0800, 0x0806, 0x86DD, 0x8100

STORE = {
    "xenstore-read": 'cat "/run/store$1" 2>/dev/null',
    "xenstore-list": 'ls "/run/store$1" 2>/dev/null',
    "xenstore-write": 'while [ $# -gt 0 ]; do mkdir -p "/run/store${1%/*}"; '
    'printf %s "$2" >"/run/store$1"; shift 2; done',
}


def in_root(*command, check=True, **environment):
    """Runs a command in the image; returns its exit status and all that it said."""
    whole = ["chroot", SCRATCH, "/usr/bin/env", "-i", "PATH=/usr/local/bin:/usr/sbin:/usr/bin"]
    whole += [f"{name}={value}" for name, value in environment.items()]
    done = subprocess.run([*whole, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=60, check=False)  # fmt: skip
    assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}"
    return done.returncode, done.stdout


def path(kind, domid):
    return f"/local/domain/7/backend/{kind}/{domid}/0"


def describe(kind, domid, **nodes):
    """Writes a backend's nodes as a toolstack does, in place of what was there."""
    folder = f"{SCRATCH}/run/store{path(kind, domid)}"
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for name, value in nodes.items():
        with open(f"{folder}/{name.replace('_', '-')}", "w", encoding="ascii") as node:
            node.write(value)


def told(kind, domid, name):
    try:
        with open(f"{SCRATCH}/run/store{path(kind, domid)}/{name}", encoding="ascii") as node:
            return node.read()
    except FileNotFoundError:
        return None


def call(script, action, kind, domid, check=True):
    extra = ["type_if=vif"] if kind == "vif" else []
    return in_root(f"/etc/xen/scripts/{script}", action, *extra, check=check,
                   XENBUS_PATH=path(kind, domid), XENBUS_TYPE=kind, vif=f"vif{domid}.0")[0]  # fmt: skip


def connect(script, domid, **nodes):
    describe("vif", domid, mac=GUESTS[domid], **nodes)
    call(script, "online", "vif", domid)
    assert told("vif", domid, "hotplug-status") == "connected"


def refused(script, action, kind, domid, reason):
    """The script must fail and tell why."""
    assert call(script, action, kind, domid, check=False) == 1
    assert told(kind, domid, "hotplug-status") == "error"
    assert reason in told(kind, domid, "hotplug-error"), told(kind, domid, "hotplug-error")


class Network:
    """Pairs of interfaces for all guests: vifN.0 here, and guestN, from which the guest would send."""

    def __enter__(self):
        self.sockets = {}
        for domid in GUESTS:
            subprocess.run(["ip", "link", "add", f"vif{domid}.0", "type", "veth",
                            "peer", "name", f"guest{domid}"], check=True)  # fmt: skip
            subprocess.run(["ip", "link", "set", f"guest{domid}", "up"], check=True)
            self.sockets[domid] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.sockets[domid].setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            self.sockets[domid].bind((f"guest{domid}", 0))
        return self

    def __exit__(self, *_):
        for domid, guest in self.sockets.items():
            guest.close()
            subprocess.run(["ip", "link", "del", f"guest{domid}"], check=True)
        subprocess.run(["ip", "link", "del", "xenbr0"], check=False, stderr=subprocess.DEVNULL)
        in_root("nft", "flush", "ruleset")

    def passes(self, sender, receiver, frame, seconds=3.0):
        """Whether a frame that one guest sends reaches the other; a good one that follows it must."""
        marker = arp([10, 0, 0, sender], GUESTS[sender], os.urandom(10))
        for sent in (frame, marker):
            self.sockets[sender].send(sent)
        end = time.monotonic() + seconds
        seen = False
        while time.monotonic() < end:
            self.sockets[receiver].settimeout(max(end - time.monotonic(), 0.01))
            try:
                got = self.sockets[receiver].recv(2000)
            except socket.timeout:
                break
            seen = seen or got.startswith(frame)
            if got.startswith(marker):
                return seen
        raise AssertionError("the frame that must pass did not")

    def hears(self, receiver, frame, seconds=3.0):
        """Whether a guest gets a frame that was sent a moment ago."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.sockets[receiver].settimeout(max(end - time.monotonic(), 0.01))
            try:
                if whole_frame(self.sockets[receiver]).startswith(frame):
                    return True
            except socket.timeout:
                break
        return False

    def stopped(self, sender, receiver, frame):
        return not self.passes(sender, receiver, frame)


def octets(mac):
    return bytes(int(part, 16) for part in mac.split(":"))


def ethernet(mac, kind, payload):
    return b"\xff" * 6 + octets(mac) + struct.pack(">H", kind) + payload.ljust(46, b"\0")


def whole_frame(guest):
    """The next frame with its VLAN tag, which the kernel takes out and tells beside it."""
    frame, beside, _, _ = guest.recvmsg(2000, 100)
    for _, _, data in beside:
        status, tag = struct.unpack_from("=I12xH", data)
        if status & VLAN_VALID:
            return tagged_as(frame, tag)
    return frame


def tagged_as(frame, tag):
    return frame[:12] + struct.pack(">HH", VLAN, tag) + frame[12:]


def untagged(frame):
    return frame[:12] + frame[16:]


def ipv4(address, mac=GUESTS[1]):
    """A whole header: a bridge may look at more than the guard does."""
    words = [0x4500, 20, 0, 0, 0x40FD, 0, *struct.unpack(">HH", bytes(address)), 0x0A00, 2]
    total = sum(words)
    words[5] = ~(total + (total >> 16)) & 0xFFFF
    return ethernet(mac, IPV4, struct.pack(">10H", *words))


def arp(address, mac=GUESTS[1], rest=b"", sender=None):
    """An answer that says: the IP address is at that MAC address."""
    head = bytes([0, 1, 8, 0, 6, 4, 0, 2])
    return ethernet(sender or mac, ARP, head + octets(mac) + bytes(address) + rest)


def ipv6(address, icmp=b""):
    fixed = b"\x60\0\0\0" + struct.pack(">HBB", len(icmp), 58, 255)
    to = socket.inet_pton(socket.AF_INET6, "ff02::1")
    return ethernet(GUESTS[1], IPV6, fixed + socket.inet_pton(socket.AF_INET6, address) + to + icmp)


def make_bridge():
    in_root("ip", "link", "add", "name", "xenbr0", "type", "bridge")
    in_root("ip", "link", "set", "xenbr0", "up")


def test_bridge_connects_guests():
    with Network() as network:
        make_bridge()
        for domid in (1, 2):
            connect("vif-bridge", domid, bridge="xenbr0")
        assert network.passes(1, 2, ipv4([192, 0, 2, 1]))
        call("vif-bridge", "offline", "vif", 1)
        assert "vif1.0" not in in_root("nft", "list", "ruleset")[1]
        assert not os.path.exists("/sys/class/net/vif1.0/master")


def test_a_foreign_mac_address_is_stopped():
    with Network() as network:
        make_bridge()
        for domid in (1, 2):
            connect("vif-bridge", domid, bridge="xenbr0")
        assert network.stopped(1, 2, ipv4([10, 0, 0, 1], mac=GUESTS[3]))
        assert network.stopped(1, 2, arp([10, 0, 0, 1], mac=GUESTS[3], sender=GUESTS[1]))
        assert network.stopped(1, 2, ethernet(GUESTS[1], VLAN, b"\0\5\x08\0"))
        assert network.passes(1, 2, arp([10, 0, 0, 9]))


def test_a_foreign_ip_address_is_stopped():
    with Network() as network:
        make_bridge()
        connect("vif-bridge", 1, bridge="xenbr0", ip="10.0.0.1 2001:db8::1")
        connect("vif-bridge", 2, bridge="xenbr0")
        assert network.passes(1, 2, ipv4([10, 0, 0, 1])) and network.passes(1, 2, arp([10, 0, 0, 1]))
        assert network.stopped(1, 2, ipv4([10, 0, 0, 9])) and network.stopped(1, 2, arp([10, 0, 0, 9]))
        assert network.passes(1, 2, ipv6("2001:db8::1")) and network.passes(1, 2, ipv6("::"))
        assert network.passes(1, 2, ipv6("fe80::216:3eff:fe00:1"))
        assert network.stopped(1, 2, ipv6("2001:db8::2")) and network.stopped(1, 2, ipv6("fe80::1"))
        advert = bytes([134]) + bytes(15)
        assert network.stopped(1, 2, ipv6("fe80::216:3eff:fe00:1", advert))
        neighbour = bytes([136]) + bytes(7) + socket.inet_pton(socket.AF_INET6, "2001:db8::2")
        assert network.stopped(1, 2, ipv6("fe80::216:3eff:fe00:1", neighbour))
        assert network.stopped(1, 2, ethernet(GUESTS[1], 0x88B5, b"anything else"))


class Switch:
    """Open vSwitch as the driver domain runs it, but for its kernel module: frames go through vswitchd."""

    def __enter__(self):
        in_root("/bin/sh", "-c", """
            mkdir -p /run/openvswitch /run/log && cd /run/openvswitch &&
            ovsdb-tool create conf.db /usr/share/openvswitch/vswitch.ovsschema &&
            ovsdb-server conf.db --remote=punix:db.sock --pidfile --detach --no-chdir -vconsole:off &&
            ovs-vsctl --no-wait init && /usr/lib/openvswitch-switch/ovs-vswitchd unix:db.sock \\
            --pidfile --detach --no-chdir -vconsole:off --log-file=/run/log/vswitchd.log &&
            ovs-vsctl --timeout=20 add-br xenbr0 -- set bridge xenbr0 datapath_type=netdev""")  # fmt: skip
        return self

    def __exit__(self, *_):
        in_root("/bin/sh", "-c", "kill $(cat /run/openvswitch/*.pid); rm -rf /run/openvswitch")


def tagged(tag, mac):
    return ethernet(mac, VLAN, struct.pack(">HH", tag, 0x88B5) + b"tagged frame of a test")


def test_openvswitch_keeps_vlans_apart():
    with Network() as network, Switch():
        connect("vif-openvswitch", 1, bridge="xenbr0.5")
        connect("vif-openvswitch", 2, bridge="xenbr0.6")
        connect("vif-openvswitch", 3, bridge="xenbr0:5:7")
        plain = ethernet(GUESTS[1], 0x88B5, b"a frame of VLAN 5")
        network.sockets[1].send(plain)
        assert network.hears(3, tagged_as(plain, 5)) and not network.hears(2, plain, seconds=1)
        network.sockets[3].send(tagged(5, GUESTS[3]))
        assert network.hears(1, untagged(tagged(5, GUESTS[3])))
        network.sockets[3].send(tagged(6, GUESTS[3]))
        assert not network.hears(2, untagged(tagged(6, GUESTS[3])), seconds=1)
        call("vif-openvswitch", "offline", "vif", 1)
        assert "vif1.0" not in in_root("ovs-vsctl", "list-ports", "xenbr0")[1]


def test_an_interface_gets_the_name_that_is_asked_for():
    with Network():
        make_bridge()
        connect("vif-bridge", 1, bridge="xenbr0", vifname="web0")
        assert os.path.exists("/sys/class/net/web0/master")
        call("vif-bridge", "online", "vif", 1)
        call("vif-bridge", "offline", "vif", 1)
        assert not os.path.exists("/sys/class/net/web0/master")


def test_mistakes_are_told():
    with Network():
        make_bridge()
        describe("vif", 1, mac=GUESTS[1], bridge="nobridge")
        refused("vif-bridge", "online", "vif", 1, "nobridge is no bridge here")
        describe("vif", 1, bridge="xenbr0")
        refused("vif-bridge", "online", "vif", 1, "no mac node")
        describe("vif", 1, mac="nonsense", bridge="xenbr0")
        refused("vif-bridge", "online", "vif", 1, "nft refuses the rules")
        describe("vif", 1, mac=GUESTS[1], ip="300.0.0.1", bridge="xenbr0")
        refused("vif-bridge", "online", "vif", 1, "nft refuses the rules")
        refused("vif-bridge", "dance", "vif", 1, "the action is none of")
        describe("vif", 9, mac=GUESTS[1], bridge="xenbr0")
        refused("vif-bridge", "online", "vif", 9, "there is no interface vif9.0")
        describe("vif", 1, mac=GUESTS[1])
        refused("vif-route", "online", "vif", 1, "needs the guest's address")
        for bridge, reason in (("b.0", "1 to 4094"), ("b.x", "is no VLAN"), ("b:5000", "1 to 4094"),
                               ("b.5", "has no bridge b here")):  # fmt: skip
            describe("vif", 1, mac=GUESTS[1], bridge=bridge)
            refused("vif-openvswitch", "online", "vif", 1, reason)


def test_routes_lead_to_guests():
    with Network():
        connect("vif-route", 1, ip="10.0.0.1 10.0.0.11")
        routes = in_root("ip", "route")[1]
        assert "10.0.0.1 dev vif1.0" in routes and "10.0.0.11 dev vif1.0" in routes
        call("vif-route", "offline", "vif", 1)
        assert "vif1.0" not in in_root("ip", "route")[1]


def test_translation_counts_the_guests():
    with Network():
        for domid in (1, 2):
            connect("vif-nat", domid, ip=f"10.0.0.{domid}")
        rules = in_root("nft", "list", "table", "ip", "bulkhead_nat")[1]
        assert "elements = { 10.0.0.1, 10.0.0.2 }" in rules and rules.count("masquerade") == 1
        call("vif-nat", "offline", "vif", 1)
        rules = in_root("nft", "list", "table", "ip", "bulkhead_nat")[1]
        assert "elements = { 10.0.0.2 }" in rules


def test_block_tells_the_device():
    device = f"{SCRATCH}/dev/disk0"
    os.mknod(device, stat.S_IFBLK | 0o600, os.makedev(259, 18))
    describe("vbd", 1, params="/dev/disk0", mode="w", type="phy")
    call("block", "add", "vbd", 1)
    assert told("vbd", 1, "physical-device") == "103:12"
    assert told("vbd", 1, "hotplug-status") == "connected"
    describe("vbd", 2, params="disk0", mode="r", type="phy")
    refused("block", "add", "vbd", 2, "is written by domain 1; add ! to the mode")
    describe("vbd", 2, params="disk0", mode="w", type="phy")
    refused("block", "add", "vbd", 2, "is already used by domain 1; add ! to the mode")
    describe("vbd", 2, params="disk0", mode="w!", type="phy")
    call("block", "add", "vbd", 2)
    describe("vbd", 2, params="/dev/nothing", mode="w", type="phy")
    refused("block", "add", "vbd", 2, "/dev/nothing is no block device here")
    describe("vbd", 2, params="LABEL=nothing", mode="w", type="phy")
    refused("block", "add", "vbd", 2, "no file system here has LABEL=nothing")
    describe("vbd", 2, mode="w", type="phy")
    refused("block", "add", "vbd", 2, "the disk has no target")
    call("block", "remove", "vbd", 1)


def enter_namespaces(image):
    """Runs this program again with a network, mounts and processes of its own."""
    with tempfile.TemporaryDirectory(prefix="hotplug-") as root:
        packed = subprocess.run(["zstd", "-dcq", f"{image}/initrd"], check=True, stdout=subprocess.PIPE)
        subprocess.run(["cpio", "-idm", "--quiet"], input=packed.stdout, cwd=root, check=True)
        os.makedirs(f"{root}/usr/local/bin")
        for name, text in STORE.items():
            with open(f"{root}/usr/local/bin/{name}", "w", encoding="ascii") as program:
                program.write(f"#!/bin/sh\n{text}\n")
            os.chmod(f"{root}/usr/local/bin/{name}", 0o755)
        command = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc"]
        if os.geteuid() != 0:
            command.append("--map-root-user")
        command += [sys.executable, os.path.abspath(__file__)]
        return subprocess.run(command, env={**os.environ, "HOTPLUG_ROOT": root}, check=False).returncode


def mount_all():
    """What the scripts find at /proc, /sys and /dev: this network's, and a folder that can be filled."""
    mounts = (("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", "/dev"), ("tmpfs", "/run"))
    for kind, where in mounts:
        subprocess.run(["mount", "-t", kind, kind, SCRATCH + where], check=True)
    os.makedirs(f"{SCRATCH}/run/tmp")
    subprocess.run(["mount", "-t", "sysfs", "sysfs", "/sys"], check=True)
    os.makedirs(f"{SCRATCH}/dev/net")
    for name, number in (("null", (1, 3)), ("urandom", (1, 9)), ("net/tun", (10, 200))):
        os.mknod(f"{SCRATCH}/dev/{name}", stat.S_IFCHR | 0o666, os.makedev(*number))
    in_root("ip", "link", "set", "lo", "up")
    # On a machine that runs containers bridges ask the IP rules, too; a driver domain's do not.
    for name in glob.glob("/proc/sys/net/bridge/bridge-nf-call-*"):
        with open(name, "w", encoding="ascii") as switch:
            switch.write("0")


if __name__ == "__main__":
    if not SCRATCH:
        sys.exit(enter_namespaces(sys.argv[1]))
    mount_all()
    tap.run(globals())

# SPDX-License-Identifier: Apache-2.0
"""What scenarios with driver domains share: the machine, the domains, and what a guest does with them."""

from guests import ConsoleShell, wait_console, write_configuration

# Domain 0 has nothing; the places are those that the rig gives (tests/rig/machine.py), and that of the
# AHCI controller which the emulated board has anyway.
MACHINE = {
    "toolstack": "bulkhead",
    "driver_domains": True,
    "devices": ("nvme", "e1000e", "xhci", "ahci"),
    "hypervisor_options": "hide=all",
}
MEMORY = {"storage": 160, "net": 192, "usb": 128}  # MiB, as the images' settings say
FUNCTIONS = {
    "storage": ["0000:00:11.0", "0000:00:1f.2"],
    "net": ["0000:00:12.0"],
    "usb": ["0000:00:13.0"],
}
# What a guest gets from which domain.
DISKS = {
    "xvda": ("storage", "/dev/nvme0n1"),
    "xvdb": ("storage", "/dev/sda"),
    "xvdc": ("usb", "/dev/sda"),
}
ECHO = "10.0.2.100 7"  # returns what it is sent


def create(dom0, *names):
    """Starts driver domains; wait_ready waits for them."""
    for name in names:
        create_one(dom0, name)


def create_one(dom0, name):
    functions = ",".join(f'"{function}"' for function in FUNCTIONS[name])
    path = write_configuration(
        dom0,
        name,
        [
            f'name="{name}"',
            'type="pvh"',
            'kernel="/guest/vmlinuz"',
            f'ramdisk="/guest/{name}.initrd"',
            'cmdline="console=hvc0 quiet net.mode=bridge"',
            f"memory={MEMORY[name]}",
            "driver_domain=1",
            f"pci=[{functions}]",
        ],
    )
    dom0.check(f"rm -f /var/log/xen/console/guest-{name}.log; xl create -q {path}", timeout=180)


def wait_ready(dom0, *names):
    for name in names:
        said = wait_console(dom0, name, "DRIVERDOMAIN-READY", 180)
        assert "DRIVERDOMAIN-FAILED" not in said, said


def create_guest(dom0, name="guest", number=20):
    """A guest whose disks and network come from driver domains alone, with address 10.0.2.NUMBER."""
    disks = ",".join(
        f'"format=raw,vdev={disk},access=rw,backend={backend},target={target}"'
        for disk, (backend, target) in DISKS.items()
    )
    path = write_configuration(
        dom0,
        name,
        [
            f'name="{name}"',
            'type="pvh"',
            'kernel="/guest/vmlinuz"',
            'ramdisk="/guest/initrd"',
            'cmdline="console=hvc0 quiet"',
            "memory=256",
            f"disk=[{disks}]",
            f'vif=["backend=net,bridge=xenbr0,mac=00:16:3e:00:00:{number:02x}"]',
        ],
    )
    dom0.check(f"rm -f /var/log/xen/console/guest-{name}.log; xl create -q {path}", timeout=180)
    wait_console(dom0, name, "GUEST-READY", 180)
    with ConsoleShell(dom0, name) as guest:
        guest.check(f"ifconfig eth0 10.0.2.{number} netmask 255.255.255.0")
        guest.check("head -c 1048576 /dev/urandom > /root/key")


def echo(guest, kilobytes):
    """Sends as much by TCP to the outside and gets it back."""
    guest.check(f"head -c {kilobytes}k /dev/urandom > /root/sent")
    guest.check(f"nc -w 60 {ECHO} < /root/sent | head -c {kilobytes}k > /root/received", timeout=240)
    guest.check("cmp /root/sent /root/received")


def write_and_read_back(guest, disk, megabytes):
    """Writes a stream that never repeats a sector and reads it back past the guest's cache."""
    size = f"bs=1M count={megabytes}"
    stream = f"for i in $(seq {megabytes}); do cat /root/key; echo $i; done"
    wanted = guest.check(
        f"({stream}) | dd {size} iflag=fullblock 2>/dev/null | tee /dev/{disk} | md5sum; sync",
        timeout=400,
    )
    guest.check("echo 3 > /proc/sys/vm/drop_caches")
    found = guest.check(f"dd {size} if=/dev/{disk} 2>/dev/null | md5sum", timeout=400)
    assert found == wanted


def check_service(dom0):
    """A new guest has a network and keeps what it writes to each of its disks."""
    create_guest(dom0)
    with ConsoleShell(dom0, "guest") as guest:
        echo(guest, 64)
        for disk in DISKS:
            write_and_read_back(guest, disk, 4)

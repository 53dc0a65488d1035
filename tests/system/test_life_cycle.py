# SPDX-License-Identifier: Apache-2.0
"""The whole life of PVH guests in one boot, by Debian's xl: guests of 1, 4 and 8 vcpus whose root is
a disk in domain 0, on a bridge in domain 0. The scenarios run in this order.
"""

import json
import re
import time

import pytest

from guests import (
    CONSOLES,
    free_pages,
    in_guest,
    linux_guest,
    wait_console,
    wait_free_pages,
    wait_gone,
    write_configuration,
)

# One vcpu for domain 0 and two processors for the guests.
CONFIGURATION = {
    "memory": 4096,
    "devices": ("nvme",),
    "hypervisor_options": "dom0_max_vcpus=1",
}
GUESTS = {"one": (11, 1), "four": (14, 4), "eight": (18, 8)}
ONE, FOUR, EIGHT, GRUB = 11, 14, 18, 19
# What udev does in other systems when the kernel has found processors.
BRING_UP = "for cpu in /sys/devices/system/cpu/cpu*/online; do echo 1 >$cpu; done"
memory = {}


def wait_in_guest(dom0, number, command, wanted, seconds=60):
    end = time.monotonic() + seconds
    while (said := in_guest(dom0, number, command, seconds)) != wanted and time.monotonic() < end:
        time.sleep(1)
    assert said == wanted


def memory_total(dom0, number):
    """What the guest's kernel has, in KiB."""
    return int(in_guest(dom0, number, "grep MemTotal /proc/meminfo").split()[1])


def column(dom0, name, title):
    """What xl list says of a guest under a title."""
    lines = dom0.check("xl list").splitlines()
    return lines[[line.split()[0] for line in lines].index(name)].split()[
        lines[0].split().index(title)
    ]


def wait_made_anew(dom0, name, command):
    """Waits until the guest is up again after a command that ends it; in between it has no name."""
    before = column(dom0, name, "ID")
    dom0.check(f": > {CONSOLES}/guest-{name}.log; {command}", timeout=60)
    dom0.check(f"wait-for 240 grep -q GUEST-READY {CONSOLES}/guest-{name}.log", timeout=300)
    assert int(column(dom0, name, "ID")) > int(before)


def test_guests_start(dom0):
    memory["before"] = free_pages(dom0)
    for name, (number, vcpus) in GUESTS.items():
        disks = ("/dev/nvme0n1,raw,xvdb,w",) if name == "one" else ()
        # Linux 6.12 can take up again what it had, but no vcpu that it has never had.
        most = 64 if name == "four" else vcpus
        path = linux_guest(dom0, name, number, most, disks=disks, lines=('on_crash="restart"',))
        dom0.check(f"xl create -q {path}", timeout=240)
    for name in GUESTS:
        wait_console(dom0, name, "GUEST-READY", 240)
    assert in_guest(dom0, FOUR, "nproc") == "64"
    dom0.check("xl vcpu-set four 4")
    wait_in_guest(dom0, FOUR, "nproc", "4", seconds=120)


@pytest.mark.parametrize("name", GUESTS)
def test_root_is_the_disk_and_vcpus_are_there(dom0, name):
    number, vcpus = GUESTS[name]
    assert "GUEST-ROOT hello from the disk" in dom0.check(f"cat {CONSOLES}/guest-{name}.log")
    assert in_guest(dom0, number, "nproc") == str(vcpus)
    assert in_guest(dom0, number, "grep -c ^processor /proc/cpuinfo") == str(vcpus)
    assert "/dev/xvda / ext4" in in_guest(dom0, number, "cat /proc/mounts")
    assert "5 received" in dom0.check(f"ping -c 5 -i 0.3 -s 1400 10.0.0.{number}")


def test_tcp_carries_what_was_sent(dom0):
    dom0.check("head -c 16M /dev/urandom > /root/sent")
    sums = dom0.check("sha256sum < /root/sent")
    # A listener whose own input ends would end the connection.
    in_guest(dom0, ONE, "(sleep 200 | nc -l -p 6000 > /dev/sent) >/dev/null 2>&1 & sleep 1")
    dom0.check(f"nc -w 60 10.0.0.{ONE} 6000 < /root/sent", timeout=180)
    wait_in_guest(dom0, ONE, "sha256sum < /dev/sent", sums.strip())
    dom0.check("rm /root/sent")


def test_disk_keeps_256_mib(dom0):
    stream = "(head -c 1048576 /dev/urandom > /key; for i in $(seq 256); do cat /key; echo $i; done)"
    again = "(for i in $(seq 256); do cat /key; echo $i; done)"
    size = "bs=1048576 count=256 iflag=fullblock"
    in_guest(dom0, ONE, f"{stream} | dd {size} of=/dev/xvdb conv=fsync", timeout=400)
    in_guest(dom0, ONE, "echo 3 > /proc/sys/vm/drop_caches")
    in_guest(dom0, ONE, f"{again} | dd {size} | cmp -n 268435456 - /dev/xvdb", timeout=400)


def test_console(dom0):
    dom0.console.sendline("xl console one")
    dom0.console.sendline("")
    dom0.expect("(guest)?# ", 30)
    dom0.console.sendline("echo answer $((6 * 7))")
    dom0.expect("answer 42", 30)
    dom0.console.send("\x1d")
    time.sleep(2)
    dom0.check("true")


def test_pause_and_unpause(dom0):
    dom0.check("xl pause one")
    assert "p" in column(dom0, "one", "State")
    assert dom0.run(f"ping -c 2 -W 2 10.0.0.{ONE}")[0] != 0
    dom0.check("xl unpause one")
    assert "p" not in column(dom0, "one", "State")
    assert "3 received" in dom0.check(f"ping -c 3 10.0.0.{ONE}")


def test_mem_set(dom0):
    before = free_pages(dom0)
    full = memory_total(dom0, ONE)
    dom0.check("xl mem-set one 200")
    dom0.check("wait-for 60 sh -c 'xl list one | grep -Eq \"one +[0-9]+ +(199|200) \"'", timeout=90)
    assert full - memory_total(dom0, ONE) > 50 << 10
    assert free_pages(dom0) - before > 50 << 8
    dom0.check("xl mem-set one 256")
    dom0.check("wait-for 60 sh -c 'xl list one | grep -Eq \"one +[0-9]+ +(255|256) \"'", timeout=90)


def test_vcpu_set_up_to_64(dom0):
    dom0.check("xl vcpu-set --ignore-host four 64")
    wait_in_guest(dom0, FOUR, f"{BRING_UP}; nproc", "64", seconds=120)
    assert column(dom0, "four", "VCPUs") == "64"
    sums = "for i in $(seq 63); do taskset $(printf 0x%x $((1 << i - 1))) md5sum /greeting; done"
    assert in_guest(dom0, FOUR, f"({sums}) | sort | uniq -c | wc -l") == "1"
    dom0.check("xl vcpu-set four 2")
    wait_in_guest(dom0, FOUR, "nproc", "2", seconds=120)


def test_vcpu_list(dom0):
    listed = dom0.check("xl vcpu-list eight").splitlines()[1:]
    assert [line.split()[2] for line in listed] == [str(i) for i in range(8)]


def test_vcpu_pin(dom0):
    dom0.check("xl vcpu-pin eight all 1")
    in_guest(dom0, EIGHT, "for i in 1 2 3 4 5 6 7 8; do head -c 1000000 /dev/zero | md5sum; done")
    for line in dom0.check("xl vcpu-list eight").splitlines()[1:]:
        assert re.search(r" 1 +\S+ +\S+ +1 / ", line), line
    dom0.check("xl vcpu-pin eight all all")
    assert " all / " in dom0.check("xl vcpu-list eight")


def test_block_attach_and_detach(dom0):
    dom0.check("truncate -s 8M /guest/extra.img; echo hot > /guest/extra.img")
    dom0.check("truncate -s 8M /guest/extra.img")
    dom0.check("xl block-attach one format=raw,vdev=xvdc,access=rw,target=/guest/extra.img", 120)
    assert in_guest(dom0, ONE, "sleep 1; head -n 1 /dev/xvdc") == "hot"
    assert len(dom0.check("xl block-list one").splitlines()) == 4
    dom0.check("xl block-detach one xvdc", timeout=120)
    wait_in_guest(dom0, ONE, "ls /dev | grep -c ^xvd; true", "2")


def test_network_attach_and_detach(dom0):
    dom0.check("xl network-attach one mac=00:16:3e:00:00:21 bridge=xenbr0", timeout=120)
    in_guest(dom0, ONE, "sleep 1; ifconfig eth1 10.0.0.33 netmask 255.255.255.0 up")
    assert "3 received" in dom0.check("ping -c 3 10.0.0.33")
    dom0.check("xl network-detach one 00:16:3e:00:00:21", timeout=120)
    wait_in_guest(dom0, ONE, "ls -d /sys/class/net/eth1 2>/dev/null | wc -l", "0")


def test_sysrq_and_trigger(dom0):
    dom0.check("xl sysrq one h")
    wait_in_guest(dom0, ONE, "dmesg | grep -c HELP; true", "1")
    dom0.check("xl trigger one nmi")
    # What the kernel makes of an NMI that no device of its claims.
    wait_in_guest(dom0, ONE, 'dmesg | grep -cE "for (unknown )?reason"; true', "1")


def test_long_list_and_top(dom0):
    domains = json.loads(dom0.check("xl list -l 2>/dev/null"))
    assert [d["config"]["c_info"]["name"] for d in domains if d["domid"]] == list(GUESTS)
    top = dom0.check("xentop -b -i 1")
    for name in GUESTS:
        assert re.search(rf"^ *{name} ", top, re.M), top


def test_reboot(dom0):
    in_guest(dom0, ONE, "echo kept > /note; sync")
    wait_made_anew(dom0, "one", "xl reboot one")
    assert in_guest(dom0, ONE, "cat /note") == "kept"


def test_a_crash_restarts_the_guest(dom0):
    """The kernel reports its panic, and xl makes the guest anew."""
    wait_made_anew(dom0, "eight", "xl sysrq eight c")


def test_grub_boots_a_guest_from_its_disk(dom0):
    """Debian's GRUB for PVH domains is the guest's kernel; the rest is on the guest's disk."""
    dom0.check("mkdir -p /tmp/tree/boot/grub; cp /guest/vmlinuz /guest/initrd /tmp/tree/boot")
    dom0.check("echo hello from GRUB > /tmp/tree/greeting")
    lines = ("linux /boot/vmlinuz console=hvc0", "initrd /boot/initrd", "boot")
    dom0.check(
        "printf '%s\\n' " + " ".join(f"'{line}'" for line in lines) + " >/tmp/tree/boot/grub/grub.cfg"
    )
    dom0.check("mke2fs -q -t ext2 -d /tmp/tree /guest/grub.img 32M; rm -r /tmp/tree")
    path = write_configuration(
        dom0,
        "grub",
        [
            'name="grub"',
            'type="pvh"',
            'kernel="/guest/grub"',
            "memory=256",
            'disk=["format=raw,vdev=xvda,access=rw,target=/guest/grub.img"]',
            f'vif=["bridge=xenbr0,mac=00:16:3e:00:00:{GRUB:02x}"]',
        ],
    )
    dom0.check(f"xl create -q {path}", timeout=240)
    assert "GUEST-DISK hello from GRUB" in wait_console(dom0, "grub", "GUEST-READY", 120)
    assert in_guest(dom0, GRUB, "nproc") == "1"
    dom0.check("xl shutdown -w grub; rm /guest/grub.img", timeout=120)
    wait_gone(dom0, "grub")


def test_rename(dom0):
    dom0.check("xl rename eight acht")
    assert column(dom0, "acht", "VCPUs") == "8"
    dom0.check("xl rename acht eight")


def test_shutdown_and_destroy(dom0):
    dom0.check("xl shutdown -w one", timeout=120)
    dom0.check("xl destroy eight", timeout=60)
    dom0.check("xl shutdown -w four", timeout=120)
    wait_gone(dom0, *GUESTS)
    assert "guest" not in dom0.check("xenstore-ls /local/domain/0/backend 2>/dev/null || true")
    wait_free_pages(dom0, memory["before"], blocks=1)

# SPDX-License-Identifier: Apache-2.0
"""The life of a PVH guest: Debian's stock kernel with a disk and a network interface.

The scenarios run in this order on one boot; the guest lives from the first to the last.
"""

import time

CONFIGURATION = {"memory": 4096}
memory = {}


def free_memory(dom0):
    return int(dom0.check("xl info free_memory"))


def start(dom0):
    dom0.check("xl create guest.cfg", timeout=180)


def wait_gone(dom0):
    dom0.check("wait-for 60 sh -c '! xl list guest'", timeout=90)


def leave_console(dom0):
    """xl console takes its escape character only when it arrives alone."""
    dom0.console.send("\x1d")
    time.sleep(2)
    dom0.check("true")


def test_guest_starts(dom0):
    memory["before"] = free_memory(dom0)
    start(dom0)
    lines = dom0.check("xl list").splitlines()
    name, _, size, vcpus = lines[2].split()[:4]
    assert (name, size, vcpus) == ("guest", "256", "1")
    assert 250 <= memory["before"] - free_memory(dom0) <= 280


def test_guest_talks_on_its_console(dom0):
    dom0.console.sendline("xl console guest")
    dom0.expect("GUEST-NET 00:16:3e:00:00:02", 180)
    dom0.expect("GUEST-DISK hello from the disk", 30)
    dom0.expect("GUEST-READY", 30)
    dom0.expect("guest# ", 30)
    dom0.console.sendline("echo answer $((6 * 7))")
    dom0.expect("answer 42", 30)
    dom0.console.sendline("echo kept > /mnt/note; sync; echo wrote $?")
    dom0.expect("wrote 0", 30)
    leave_console(dom0)


def test_guest_answers_pings(dom0):
    assert "5 received" in dom0.check("ping -c 5 -i 0.5 -s 1400 10.0.0.2")


def test_guest_shuts_down_and_gives_its_memory_back(dom0):
    dom0.check("xl shutdown -w guest", timeout=120)
    wait_gone(dom0)
    dom0.check(f"wait-for 30 sh -c '[ $(xl info free_memory) -ge {memory['before']} ]'", timeout=60)
    assert "/local/domain/1/" not in dom0.check("xenstore-ls -f")


def test_disk_keeps_what_the_guest_wrote(dom0):
    assert dom0.check("mount -o loop /guest/disk.img /mnt && cat /mnt/note").strip() == "kept"
    dom0.check("umount /mnt")


def test_guest_is_destroyed_while_it_runs(dom0):
    before = free_memory(dom0)
    start(dom0)
    dom0.check("sleep 5; xl destroy guest", timeout=120)
    wait_gone(dom0)
    dom0.check(f"wait-for 30 sh -c '[ $(xl info free_memory) -ge {before} ]'", timeout=60)

# SPDX-License-Identifier: Apache-2.0
"""What scenarios with several guests share: configurations, consoles, and what memory is left."""

import re
import time

CONSOLES = "/var/log/xen/console"
HEAP_BLOCK = 512  # pages that the hypervisor's heap takes and gives back at a time
# What xl tells apart when a guest ends by itself.
ENDS = ("poweroff", "reboot", "watchdog", "crash", "soft_reset")


def free_pages(dom0):
    """Pages of the machine that are free or domain 0's, whose balloon may take some back.

    By the hypervisor's debug key, for xl info says MiB only.
    """
    dom0.check("xl debug-keys m", timeout=60)
    # Lines that look like the hypervisor's own are taken out of a command's output.
    said = dom0.check("xl dmesg | grep -oE 'Frames: .*|  d0: .*' | tail -n 2", timeout=60)
    counts = re.findall(r"Frames: \d+ in all, (\d+) free|d0: (\d+) pages", said)
    if not counts:
        return int(dom0.check("xl info free_memory", timeout=60)) * 256
    return sum(int(free or own) for free, own in counts)


def wait_free_pages(dom0, pages, seconds=60, blocks=0):
    """Waits until as many pages are free; what is dying when a name is gone takes a while.

    As many blocks of the hypervisor's heap may be kept, for what domain 0 got when it was largest.
    """
    end = time.monotonic() + seconds
    least = pages - blocks * HEAP_BLOCK
    while not least <= (found := free_pages(dom0)) <= pages and time.monotonic() < end:
        time.sleep(2)
    assert least <= found <= pages, f"{found} pages are free, {pages} were before"


def microguest(
    dom0,
    name,
    kernel,
    command_line="",
    memory=16,
    vcpus=1,
    functions=(),
    afterwards="destroy",
    lines=(),
):
    """Starts a microguest of /guest with PCI functions; whatever ends it, the same is done with it."""
    lines = [
        f'name="{name}"',
        'type="pvh"',
        f'kernel="/guest/{kernel}"',
        f'cmdline="{command_line}"',
        f"memory={memory}",
        f"vcpus={vcpus}",
        *lines,
        *(f'on_{end}="{afterwards}"' for end in ENDS),
    ]
    path = write_configuration(dom0, name, lines)
    paused = "-p" if functions else ""
    dom0.check(f"rm -f {CONSOLES}/guest-{name}.log; xl create {paused} -q {path}", timeout=180)
    for function in functions:
        dom0.check(f"pci_assign give $(xl domid {name}) {function}")
    if functions:
        dom0.check(f"xl unpause {name}")


def write_configuration(dom0, name, lines):
    """Leaves the lines of an xl configuration in domain 0 and returns the file's path."""
    path = f"/tmp/{name}.cfg"
    dom0.check("printf '%s\\n' " + " ".join(f"'{line}'" for line in lines) + f" > {path}")
    return path


def linux_guest(dom0, name, number, vcpus=1, memory=256, disks=(), lines=()):
    """The configuration of a Linux guest on a root disk of its own, with address 10.0.0.NUMBER."""
    dom0.check(f"cp /guest/disk.img /guest/{name}.img")
    disks = [f"format=raw,vdev=xvda,access=rw,target=/guest/{name}.img", *disks]
    return write_configuration(
        dom0,
        name,
        [
            f'name="{name}"',
            'type="pvh"',
            'kernel="/guest/vmlinuz"',
            'ramdisk="/guest/initrd"',
            'cmdline="console=hvc0 diskroot"',
            f"memory={memory}",
            f"vcpus={vcpus}",
            "disk=[" + ",".join(f'"{disk}"' for disk in disks) + "]",
            f'vif=["bridge=xenbr0,mac=00:16:3e:00:00:{number:02x}"]',
            *lines,
        ],
    )


def in_guest(dom0, number, command, timeout=60):
    """What a command prints at the shell that the guest offers on TCP; it must succeed."""
    line = f"{command}; echo status $?; exit"
    said = dom0.check(f"echo '{line}' | nc -w {timeout} 10.0.0.{number} 5000", timeout=timeout + 60)
    text, _, status = said.rpartition("status ")
    assert status.strip() == "0", f"{command}: {said}"
    return text.strip()


def console(dom0, name):
    """All that the guest has said."""
    return dom0.check(f"cat {CONSOLES}/guest-{name}.log")


def wait_console(dom0, name, text, seconds):
    """Waits until the guest has said the text, and returns all that it has said."""
    end = time.monotonic() + seconds
    is_there = True
    while time.monotonic() < end:
        if dom0.run(f"grep -q '{text}' {CONSOLES}/guest-{name}.log")[0] == 0:
            return console(dom0, name)
        # What it said last may still have been on its way when it was found gone.
        assert is_there, f"{name} is gone; it said:\n{console(dom0, name)[-2000:]}"
        dom0.check("sleep 2")
        is_there = dom0.run(f"xl domid {name}", timeout=60)[0] == 0
    raise AssertionError(f"{name} did not say {text!r}, but:\n{console(dom0, name)[-2000:]}")


class ConsoleShell:
    """The shell on a domain's console, inside domain 0's; for a domain that has said it is ready."""

    def __init__(self, dom0, name):
        self.dom0 = dom0
        self.name = name

    def __enter__(self):
        self.dom0.console.sendline(f"xl console {self.name}")
        self.dom0.console.sendline("")
        self.dom0.expect("[a-z]# ", 60)
        return self

    def __exit__(self, *_):
        self.dom0.console.send("\x1d")
        time.sleep(2)
        self.dom0.check("true")

    def check(self, command, timeout=120):
        """What a command prints, which must succeed. The shell echoes what is sent, perhaps wrapped."""
        line = f"{{ {command}; echo status $?; }} 2>&1 | sed 's/.*/<&>/'; echo en''ded"
        self.dom0.console.sendline(line)
        self.dom0.expect(r"\nended\r*\n", timeout)
        said = re.findall(r"^<([^&].*)>\r*$", self.dom0.console.before, re.MULTILINE)
        assert said and said[-1] == "status 0", f"{self.name}: {command}: {said}"
        return "\n".join(said[:-1])


def wait_gone(dom0, *names):
    for name in names:
        dom0.check(f"wait-for 60 sh -c '! xl domid {name}'", timeout=90)

# SPDX-License-Identifier: Apache-2.0
"""The distribution for machines of the rig: what it boots, with files of a scenario's own beside.

Domain 0 gets its ramdisk in pieces, as GRUB hands them over from the disk image: its own files, what it
starts, and last an archive of the caller's, whose files replace those of the same path.
"""

import os
import subprocess
import sys

import machine

sys.path.insert(0, os.path.join(machine.TOP, "driverdomains", "common"))

import archive  # noqa: E402 (found only after the line above)

OUT = os.path.join(machine.TOP, "out", "x86_64")


def build(*targets):
    """Brings the distribution up to date: all of it, or dom0 and launched."""
    for folder, wanted in (("driverdomains", ()), ("distribution", targets)):
        command = ["make", "-s", "-C", os.path.join(machine.TOP, folder), *wanted]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def pack(files, name):
    """An archive of files, text or bytes by path, and of the rig's guest as /guest/initrd; its path."""
    with open(os.path.join(machine.IMAGES, "guest.initrd"), "rb") as initrd:
        entries = {"guest/initrd": archive.regular(0o644, initrd.read())}
    for path, data in files.items():
        data = data.encode() if isinstance(data, str) else data
        entries[path.lstrip("/")] = archive.regular(0o644, data)
    archive.add_parents(entries)
    output = os.path.join(machine.IMAGES, f"{name}.initrd")
    archive.write(entries, output)
    return output


def modules(added):
    """What a machine boots: domain 0's kernel and the pieces of its ramdisk."""
    kernel = os.path.join(OUT, "dom0", "vmlinuz")
    pieces = [os.path.join(OUT, name, "initrd") for name in ("dom0", "launched")]
    return (f"{kernel} console=hvc0 quiet", *pieces, added)


def launch_configuration():
    """The text of the distribution's /etc/bulkhead/launch.conf."""
    path = os.path.join(OUT, "launch", "etc", "bulkhead", "launch.conf")
    with open(path, encoding="utf-8") as source:
        return source.read()


def guest(name, vif, disks=()):
    """The configuration of the rig's guest; disks as the established syntax has them."""
    return f"""name = "{name}"
type = "pvh"
kernel = "/usr/lib/bulkhead/driverdomains/vmlinuz"
ramdisk = "/guest/initrd"
cmdline = "console=hvc0 quiet"
memory = 192
vif = [ "backend=net,script=vif-openvswitch,{vif}" ]
disk = [ {", ".join(f'"{disk}"' for disk in disks)} ]
"""

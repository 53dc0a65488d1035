# SPDX-License-Identifier: Apache-2.0
"""Makes the disk image of the distribution: image.py PARTS OUTPUT, without privilege.

PARTS is the folder of built things (out/x86_64). The image has a GPT with four partitions:
  1  GRUB's core for BIOS machines, which GRUB's first sector in the MBR loads
  2  the EFI system partition with GRUB for UEFI machines
  3  the system, read-only: hypervisor, domain 0, driver domains, GRUB's menu (ext2)
  4  the configuration: a cpio archive and zeros, which GRUB hands to domain 0 as it is
The rest of the disk is free; the same inputs give the same bits.
"""

import os
import shutil
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
GRUB = "/usr/lib/grub"
SECTOR, MIB = 512, 1 << 20
# Fixed identities: every image is the same, and a disk holds one.
DISK = "5B1C6A52-0B1D-4E0E-9D0C-3C2A0B6E5F01"
IDS = [f"5B1C6A52-0B1D-4E0E-9D0C-3C2A0B6E5F{n:02d}" for n in range(11, 15)]
SYSTEM_UUID = "5b1c6a52-0b1d-4e0e-9d0c-3c2a0b6e5f21"
BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
EFI_SYSTEM = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
# Firmware wants FAT32, which needs more than 65525 clusters, here of a sector each.
EFI_MIB, CONFIGURATION_MIB = 34, 4
# What GRUB needs to find the system partition and to start what is there.
MODULES = """part_gpt ext2 search search_label normal configfile test regexp multiboot2 serial terminal
    echo minicmd halt reboot ls""".split()
EARLY = "search --no-floppy --label --set=root bulkhead\nconfigfile /boot/grub.cfg\n"
# Where the first sector keeps the number of the core's first, and where that says what follows.
BOOT_KERNEL_SECTOR, CORE_LIST = 0x5C, SECTOR - 12


def run(*command, **environment):
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, env={**os.environ, **environment})  # fmt: skip
    if done.returncode != 0:
        sys.exit(f"image: {' '.join(command)}: {done.stdout}")


def grub(scratch, platform, name, modules):
    """GRUB's core for a platform, with its first commands inside; returns its bytes."""
    early, output = os.path.join(scratch, "early.cfg"), os.path.join(scratch, name)
    with open(early, "w", encoding="ascii") as config:
        config.write(EARLY)
    run("grub-mkimage", "-O", platform, "-c", early, "-p", "/boot/grub", "-o", output, *modules)
    with open(output, "rb") as core:
        return core.read()


def efi_partition(scratch, core):
    """A FAT file system with GRUB where firmware looks for it."""
    path = os.path.join(scratch, "efi.img")
    with open(os.path.join(scratch, "bootx64.efi"), "wb") as output:
        output.write(core)
    with open(path, "wb") as output:
        output.truncate(EFI_MIB * MIB)
    era = {"SOURCE_DATE_EPOCH": "0", "MTOOLS_SKIP_CHECK": "1"}
    run("mformat", "-i", path, "-F", "-c", "1", "-v", "EFI", "-N", "b01cead0", "::", **era)
    run("mmd", "-i", path, "::/EFI", "::/EFI/BOOT", **era)
    run("mcopy", "-i", path, os.path.join(scratch, "bootx64.efi"), "::/EFI/BOOT/BOOTX64.EFI", **era)
    return path


def system_partition(scratch, parts):
    """A file system with everything that GRUB loads."""
    boot = os.path.join(scratch, "system", "boot")
    os.makedirs(boot)
    for name, source in (
        ("bulkhead", "bulkhead"),
        ("vmlinuz", "dom0/vmlinuz"),
        ("domain0.initrd", "dom0/initrd"),
        ("launched.initrd", "launched/initrd"),
        ("contents-domain0", "dom0/contents"),
        *((f"contents-{name}", f"driverdomains/{name}/contents") for name in ("net", "storage", "usb")),
    ):
        shutil.copyfile(os.path.join(parts, source), os.path.join(boot, name))
    shutil.copyfile(os.path.join(HERE, "grub.cfg"), os.path.join(boot, "grub.cfg"))
    names = sorted(os.listdir(boot))
    size = sum(os.path.getsize(os.path.join(boot, name)) for name in names)
    path = os.path.join(scratch, "system.img")
    with open(path, "wb") as output:
        # A tenth for the file system's own tables, in whole MiB.
        output.truncate((size * 11 // 10 // MIB + 2) * MIB)
    run("/sbin/mke2fs", "-q", "-t", "ext2", "-L", "bulkhead", "-U", SYSTEM_UUID, "-m", "0",
        "-E", f"hash_seed={SYSTEM_UUID},root_owner=0:0", "-d", os.path.join(scratch, "system"), path,
        E2FSPROGS_FAKE_TIME="1")  # fmt: skip
    # mke2fs keeps the times of the files that it copies.
    paths = ["/", "/boot", *(f"/boot/{name}" for name in names)]
    times = [f"sif {name} {field} @0" for name in paths for field in ("ctime", "atime", "mtime")]
    commands = os.path.join(scratch, "times")
    with open(commands, "w", encoding="ascii") as output:
        output.write("\n".join(times) + "\n")
    run("/sbin/debugfs", "-w", "-f", commands, path)
    return path


def partition(path, sizes):
    """Writes the partition table for partitions of these sizes in MiB; returns their first bytes."""
    kinds = (BIOS_BOOT, EFI_SYSTEM, LINUX, LINUX)
    names = ("bulkhead-bios", "bulkhead-efi", "bulkhead-system", "bulkhead-configuration")
    lines, starts, at = ["label: gpt", f"label-id: {DISK}"], [], 1
    for size, kind, name, identity in zip(sizes, kinds, names, IDS):
        lines.append(f"start={at}MiB, size={size}MiB, type={kind}, uuid={identity}, name={name}")
        starts.append(at * MIB)
        at += size
    with open(path, "wb") as image:
        image.truncate((at + 1) * MIB)
    subprocess.run(["/sbin/sfdisk", "-q", path], input="\n".join(lines) + "\n", text=True, check=True)
    return starts


def copy_into(image, start, path):
    image.seek(start)
    with open(path, "rb") as source:
        shutil.copyfileobj(source, image, MIB)


def write_bios_core(image, start, core):
    """Puts GRUB's core at a place of the disk, and its first sector's code into the MBR."""
    core = bytearray(core)
    sectors = -(-len(core) // SECTOR)
    # The core's first sector loads the others: from where, how many, to which segment.
    struct.pack_into("<QHH", core, CORE_LIST, start // SECTOR + 1, sectors - 1, 0x820)
    image.seek(start)
    image.write(core)
    with open(os.path.join(GRUB, "i386-pc", "boot.img"), "rb") as source:
        first = bytearray(source.read(440))
    struct.pack_into("<Q", first, BOOT_KERNEL_SECTOR, start // SECTOR)
    image.seek(0)
    image.write(first)


def main():
    parts, output = sys.argv[1:]
    with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.abspath(output))) as scratch:
        bios = grub(scratch, "i386-pc", "core.img", ["biosdisk", *MODULES])
        efi = efi_partition(scratch, grub(scratch, "x86_64-efi", "grub.efi", MODULES))
        system = system_partition(scratch, parts)
        whole = os.path.join(scratch, "whole.img")
        sizes = (1, EFI_MIB, os.path.getsize(system) // MIB, CONFIGURATION_MIB)
        starts = partition(whole, sizes)
        with open(whole, "r+b") as image:
            write_bios_core(image, starts[0], bios)
            copy_into(image, starts[1], efi)
            copy_into(image, starts[2], system)
        os.replace(whole, output)
    print(f"{os.path.basename(output)}: {os.path.getsize(output) // MIB} MiB")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Boots the domain 0 loader in QEMU without a hypervisor.

An ELF file with a PVH note is composed of the stand-in for the hypervisor, a start_info, the
loader, a kernel file and a boot module, and given to QEMU's -kernel. One short boot a case; the
cases and what they must print are in cases(); the results are TAP lines. With --linux FILE, boots
that kernel file instead and waits for its first messages on the serial port. One emulated machine
at a time runs on a host: the lock is that of tests/rig.
"""
import argparse
import contextlib
import fcntl
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import threading

STAND_IN = 0x18000000
START_INFO = 0x18001000
MODULE_LIST = 0x18001100
MEMORY_MAP = 0x18002000
COMMAND_LINE = 0x18004000
LOADER = 0x18100000
OTHER_LOADER = 0x1A345000
BOOT_MODULE = 0x18300000
KERNEL = 0x18400000
MEMORY = "512M"
CPU = "EPYC,-monitor"
LOCK = pathlib.Path(__file__).parents[4] / "out/rig/lock"

DATA_ADDRESS = 0x1234560  # as in test_kernel.lds
START_INFO_MAGIC = 0x336EC578
PHYS32_ENTRY = 18
MODULE_TEXT = b"this is the boot module\0"
TIMEOUT_SECONDS = 60


def run(command, **options):
    return subprocess.run(command, check=True, **options)


class Builder:
    """Compiles and composes what QEMU boots, in a temporary directory."""

    def __init__(self, directory, loader, cc, xen_include):
        self.directory = pathlib.Path(directory)
        self.loader = pathlib.Path(loader).read_bytes()
        self.cc = cc
        self.xen_include = xen_include
        self.here = pathlib.Path(__file__).parent

    def stand_in(self, loader):
        addresses = {"START_INFO": START_INFO, "LOADER": loader}
        defines = [f"-D{name}={address:#x}" for name, address in addresses.items()]
        elf, flat = self.directory / "stand_in.o", self.directory / "stand_in.bin"
        run([self.cc, "-c", *defines, self.here / "stand_in.S", "-o", elf])
        run(["objcopy", "-O", "binary", "-j", ".text", elf, flat])
        return flat.read_bytes()

    def test_kernel(self):
        elf = self.directory / "test_kernel"
        run([self.cc, "-nostdlib", "-static", "-no-pie", "-isystem", self.xen_include,
             "-Wl,--build-id=none", "-Wl,-z,max-page-size=0x200000", "-Wl,-z,noexecstack",
             "-Wl,-T," + str(self.here / "test_kernel.lds"), self.here / "test_kernel.S",
             "-o", elf])
        return elf.read_bytes()

    def image(self, kernel, command_line, loader=LOADER):
        """Writes the file for QEMU's -kernel and returns its path."""
        modules = struct.pack("<QQQQ", KERNEL, len(kernel), COMMAND_LINE, 0)
        modules += struct.pack("<QQQQ", BOOT_MODULE, len(MODULE_TEXT), 0, 0)
        start_info = struct.pack("<IIIIQQQQII", START_INFO_MAGIC, 1, 0, 2, MODULE_LIST, 0, 0,
                                 MEMORY_MAP, 0, 0)
        path = self.directory / "image"
        path.write_bytes(elf_with_entry(STAND_IN, [
            (STAND_IN, self.stand_in(loader)), (START_INFO, start_info), (MODULE_LIST, modules),
            (COMMAND_LINE, command_line.encode() + b"\0"), (loader, self.loader),
            (BOOT_MODULE, MODULE_TEXT), (KERNEL, kernel)]))
        return path


def elf_with_entry(entry, segments):
    """An ELF64 file that loads the (address, bytes) segments and has a PVH entry note."""
    note = struct.pack("<III4sQ", 4, 8, PHYS32_ENTRY, b"Xen\0", entry)
    count = len(segments) + 1
    offset = 64 + 56 * count
    headers, content = b"", b""
    for address, data in segments:
        headers += struct.pack("<IIQQQQQQ", 1, 7, offset + len(content), address, address,
                               len(data), len(data), 1)
        content += data
    headers += struct.pack("<IIQQQQQQ", 4, 4, offset + len(content), 0, 0, len(note), len(note), 4)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, entry, 64, 0, 0,
                         64, 56, count, 0, 0, 0)
    return header + headers + content + note


def pack_bzimage(elf):
    """A bzImage, as far as the loader looks, with @elf packed by zstd as its payload."""
    packed = run(["zstd", "-q", "-c", "--no-progress"], input=elf, stdout=subprocess.PIPE).stdout
    payload = packed + struct.pack("<I", len(elf))
    setup_sectors = 4
    image = bytearray((setup_sectors + 1) * 512)
    image[0x1F1] = setup_sectors
    struct.pack_into("<4sH", image, 0x202, b"HdrS", 0x20F)
    struct.pack_into("<II", image, 0x248, 0, len(payload))
    struct.pack_into("<I", image, 0x1F4, (len(payload) + 15) // 16)
    return bytes(image) + payload


def corrupted(data, position):
    return data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1:]


def cases(elf):
    """Yields (name, kernel file, text that must appear on port 0xe9, options of boot())."""
    success = "kernel entered, command line: first words; modules: 1\n" + MODULE_TEXT[:-1].decode()
    bzimage = pack_bzimage(elf)
    truncated = f"is truncated: the file has {len(bzimage) - 9} bytes, its header promises"
    outside = elf.replace(struct.pack("<Q", DATA_ADDRESS), struct.pack("<Q", DATA_ADDRESS + 2**30))
    yield "vmlinux", elf, success, {}
    yield "bzimage", bzimage, success, {}
    yield "elsewhere", bzimage, success, {"loader": OTHER_LOADER}
    yield "no-1gib-pages", bzimage, success, {"cpu": CPU + ",-pdpe1gb"}
    yield "no-bmi2", bzimage, success, {"cpu": CPU + ",-bmi1,-bmi2"}
    yield "truncated", bzimage[:-9], truncated, {}
    yield "corrupt", corrupted(bzimage, len(bzimage) - 40), "Domain 0's kernel is corrupt: ", {}
    yield "no-kernel", MODULE_TEXT * 99, "is no kernel: the file of 2376 bytes", {}
    yield "no-note", elf.replace(b"Xen\0", b"Nex\0"), "has no PVH entry note", {}
    yield "outside", outside, "where the kernel belongs", {}


@contextlib.contextmanager
def machine_lock():
    path = pathlib.Path(os.environ.get("BULKHEAD_QEMU_LOCK", LOCK))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def qemu_command(qemu, image, cpu, *more):
    return [qemu, "-accel", "tcg", "-M", "q35", "-cpu", cpu, "-m", MEMORY, "-kernel", str(image),
            "-display", "none", "-no-reboot", "-nodefaults", *more]


def boot(qemu, image, cpu):
    """Returns what was written to port 0xe9 until the machine stopped."""
    command = qemu_command(qemu, image, cpu, "-debugcon", "stdio", "-device",
                           "isa-debug-exit,iobase=0xf4,iosize=4")
    with machine_lock():
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL, timeout=TIMEOUT_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return f"(did not stop within {TIMEOUT_SECONDS} s)"
    return done.stdout.decode(errors="replace")


def run_cases(arguments, builder):
    failures = 0
    number = 0
    for name, kernel, expected, options in cases(builder.test_kernel()):
        image = builder.image(kernel, "first words", options.get("loader", LOADER))
        output = boot(arguments.qemu, image, options.get("cpu", CPU))
        number += 1
        passed = expected in output
        failures += not passed
        print(f"{'ok' if passed else 'not ok'} {number} - dom0-loader-boot-{name}")
        print("#   " + output.strip().replace("\n", "\n#   "), flush=True)
    return failures


def run_linux(arguments, builder):
    """Boots a Linux kernel file until it has announced itself on the serial port."""
    image = builder.image(pathlib.Path(arguments.linux).read_bytes(),
                          "earlyprintk=ttyS0 console=ttyS0 panic=-1")
    command = qemu_command(arguments.qemu, image, CPU, "-serial", "stdio", "-debugcon", "null")
    with machine_lock(), subprocess.Popen(command, stdout=subprocess.PIPE,
                                          stdin=subprocess.DEVNULL,
                                          stderr=subprocess.DEVNULL) as process:
        limit = threading.Timer(TIMEOUT_SECONDS, process.kill)
        limit.start()
        try:
            for line in process.stdout:
                print(line.decode(errors="replace").rstrip())
                if b"Command line:" in line:
                    return 0
        finally:
            limit.cancel()
            process.kill()
    return 1


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loader", required=True, help="loader.bin")
    parser.add_argument("--xen-include", required=True)
    parser.add_argument("--cc", default="gcc")
    parser.add_argument("--qemu", default="qemu-system-x86_64")
    parser.add_argument("--linux", help="boot this kernel file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        builder = Builder(directory, arguments.loader, arguments.cc, arguments.xen_include)
        action = run_linux if arguments.linux else run_cases
        sys.exit(1 if action(arguments, builder) else 0)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Boots the domain 0 loader in QEMU without a hypervisor.

An ELF file with a PVH note is composed of the stand-in for the hypervisor, a start_info, the
loader, a kernel file and a boot module, and given to QEMU's -kernel. One short boot a case; the
cases and what they must print are in cases(). With --linux FILE, boots that kernel file instead
and waits for its first messages on the serial port.
"""
import argparse
import pathlib
import struct
import subprocess
import sys
import tempfile

STAND_IN = 0x18000000
START_INFO = 0x18001000
MODULE_LIST = 0x18001100
MEMORY_MAP = 0x18002000
STARTED = 0x18003000
COMMAND_LINE = 0x18004000
LOADER = 0x18100000
BOOT_MODULE = 0x18300000
KERNEL = 0x18400000
MEMORY = "512M"

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
        self.stand_in = self.assemble_stand_in()

    def assemble_stand_in(self):
        names = ("START_INFO", "STARTED", "LOADER")
        defines = [f"-D{name}={globals()[name]:#x}" for name in names]
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

    def image(self, kernel, command_line):
        """Writes the file for QEMU's -kernel and returns its path."""
        modules = struct.pack("<QQQQ", KERNEL, len(kernel), COMMAND_LINE, 0)
        modules += struct.pack("<QQQQ", BOOT_MODULE, len(MODULE_TEXT), 0, 0)
        start_info = struct.pack("<IIIIQQQQII", START_INFO_MAGIC, 1, 0, 2, MODULE_LIST, 0, 0,
                                 MEMORY_MAP, 0, 0)
        path = self.directory / "image"
        path.write_bytes(elf_with_entry(STAND_IN, [
            (STAND_IN, self.stand_in), (START_INFO, start_info), (MODULE_LIST, modules),
            (COMMAND_LINE, command_line.encode() + b"\0"), (LOADER, self.loader),
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
    """Yields (name, kernel file, text that must appear on port 0xe9)."""
    success = "kernel entered, command line: first words; modules: 1\n" + MODULE_TEXT[:-1].decode()
    bzimage = pack_bzimage(elf)
    yield "vmlinux", elf, success
    yield "bzImage", bzimage, success
    yield "truncated", bzimage[:-1000], "Domain 0's kernel is truncated: the file has"
    yield "corrupt", corrupted(bzimage, len(bzimage) - 40), "Domain 0's kernel is corrupt: "
    yield "no kernel", MODULE_TEXT * 99, "Domain 0's kernel is no kernel: the file of 2376 bytes"
    yield "no note", elf.replace(b"Xen\0", b"Nex\0"), "Domain 0's kernel has no PVH entry note"
    yield "outside", elf.replace(struct.pack("<Q", 0x1234560), struct.pack("<Q", 0x31234560)), \
        "Domain 0 has too little memory"


def qemu_command(arguments, image, *more):
    return [*arguments.qemu.split(), "-accel", "tcg", "-M", "q35", "-cpu", "EPYC,-monitor",
            "-m", MEMORY, "-kernel", str(image), "-display", "none", "-no-reboot", "-nodefaults",
            *more]


def run_cases(arguments, builder):
    failures = 0
    for name, kernel, expected in cases(builder.test_kernel()):
        image = builder.image(kernel, "first words")
        command = qemu_command(arguments, image, "-debugcon", "stdio", "-device",
                               "isa-debug-exit,iobase=0xf4,iosize=4")
        try:
            output = subprocess.run(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL,
                                    timeout=TIMEOUT_SECONDS, check=False).stdout.decode()
        except subprocess.TimeoutExpired:
            output = "(no end within the time limit)"
        passed = expected in output
        failures += not passed
        print(("ok    " if passed else "FAIL  ") + name + ": " + output.strip().replace("\n", " / "))
    return failures


def run_linux(arguments, builder):
    """Boots a Linux kernel file until it has announced itself on the serial port."""
    image = builder.image(pathlib.Path(arguments.linux).read_bytes(),
                          "earlyprintk=ttyS0 console=ttyS0 panic=-1")
    command = qemu_command(arguments, image, "-serial", "stdio", "-debugcon", "null")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        for line in process.stdout:
            print(line.decode(errors="replace").rstrip())
            if b"Command line:" in line:
                return 0
    finally:
        process.kill()
        process.wait()
    return 1


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loader", required=True, help="loader.bin")
    parser.add_argument("--xen-include", required=True)
    parser.add_argument("--cc", default="gcc")
    parser.add_argument("--qemu", default="qemu-system-x86_64", help="command that starts QEMU")
    parser.add_argument("--linux", help="boot this kernel file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        builder = Builder(directory, arguments.loader, arguments.cc, arguments.xen_include)
        action = run_linux if arguments.linux else run_cases
        sys.exit(1 if action(arguments, builder) else 0)


if __name__ == "__main__":
    main()

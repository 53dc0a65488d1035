#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Captures the ACPI tables that an emulated machine's firmware wrote, for the tests.

    capture.py OUTPUT QEMU-ARGUMENT...

Runs the machine's firmware in QEMU, without anything to boot, and follows RSDP, root table and
FADT. OUTPUT is a sequence of pieces of physical memory: address and length as 64-bit little-endian
numbers, then the bytes. Of tables with AML only the header is kept: nobody here reads more.

The machines in this folder were captured with QEMU 7.2 and
    q35.acpi   -machine q35 -smp 2 -m 4096 -device amd-iommu
    numa.acpi  -machine q35 -smp 4 -m 512 -device intel-iommu,intremap=on,eim=off
               -object memory-backend-ram,id=a,size=256M -object memory-backend-ram,id=b,size=256M
               -numa node,cpus=0-1,memdev=a -numa node,cpus=2-3,memdev=b
    pc.acpi    -machine pc,hpet=off -smp 1 -m 256
"""

import json
import os
import struct
import subprocess
import sys
import tempfile
import time

AML = (b"DSDT", b"SSDT", b"PSDT")


class Machine:
    def __init__(self, arguments):
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-accel", "tcg", "-display", "none", "-net", "none",
             "-qmp", "stdio", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.process.stdout.readline()
        self.command("qmp_capabilities")

    def command(self, name, **arguments):
        request = {"execute": name, "arguments": arguments}
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        while True:
            answer = json.loads(self.process.stdout.readline())
            if "return" in answer or "error" in answer:
                return answer

    def read(self, address, size):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "memory")
            answer = self.command("pmemsave", val=address, size=size, filename=path)
            if "error" in answer:
                raise RuntimeError(answer["error"])
            with open(path, "rb") as memory:
                return memory.read()

    def stop(self):
        self.command("quit")
        self.process.wait()


def find_rsdp(machine):
    for _ in range(40):
        time.sleep(0.5)
        area = machine.read(0xE0000, 0x20000)
        for offset in range(0, len(area), 16):
            candidate = area[offset:offset + 20]
            if candidate.startswith(b"RSD PTR ") and sum(candidate) % 256 == 0:
                length = 36 if candidate[15] >= 2 else 20
                return 0xE0000 + offset, area[offset:offset + length]
    raise RuntimeError("the firmware wrote no RSDP")


def capture(machine):
    address, rsdp = find_rsdp(machine)
    pieces = {address: rsdp}
    if rsdp[15] >= 2:
        root, width = struct.unpack_from("<Q", rsdp, 24)[0], 8
    else:
        root, width = struct.unpack_from("<I", rsdp, 16)[0], 4

    def table(where):
        signature, length = struct.unpack("<4sI", machine.read(where, 8))
        pieces[where] = machine.read(where, 36 if signature in AML else length)
        return pieces[where]

    content = table(root)
    for offset in range(36, len(content), width):
        where = int.from_bytes(content[offset:offset + width], "little")
        entry = table(where)
        if entry.startswith(b"FACP"):
            facs, dsdt = struct.unpack_from("<II", entry, 36)
            table(facs)
            table(dsdt)
    return pieces


def main():
    machine = Machine(sys.argv[2:])
    try:
        pieces = capture(machine)
    finally:
        machine.stop()
    with open(sys.argv[1], "wb") as output:
        for address, content in sorted(pieces.items()):
            output.write(struct.pack("<QQ", address, len(content)) + content)


main()

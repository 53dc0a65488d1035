# SPDX-License-Identifier: Apache-2.0
"""The emulated hardware behind the hypervisor's back: memory as it is, devices that do what nobody
told them.

Speaks QEMU's qtest protocol over a Unix socket, which works beside a running guest. The machine's
memory is a file without a name that this process can read.
"""

import os
import socket
import time

CHUNK = 1 << 24
MOST_MEMORY = 2048  # MiB: more would not lie in one piece
ECAM = 0xB0000000  # where SeaBIOS puts a q35's configuration space


class Hardware:
    def __init__(self, folder, memory):
        assert memory <= MOST_MEMORY
        self.path = os.path.join(folder, "qtest")
        self.megabytes = memory
        self.socket = None
        self.memory = None

    def qemu_arguments(self):
        backend = f"memory-backend-memfd,id=ram,size={self.megabytes}M,share=on"
        return ["-object", backend, "-machine", "memory-backend=ram"] + [
            "-qtest", f"unix:{self.path},server=on,wait=off", "-qtest-log", "none"
        ]  # fmt: skip

    def connect(self, process):
        """process: QEMU's, which listens already."""
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(self.path)
        folder = f"/proc/{process}/fd"
        for name in os.listdir(folder):
            if os.readlink(os.path.join(folder, name)).startswith("/memfd:"):
                self.memory = os.open(os.path.join(folder, name), os.O_RDONLY)

    def close(self):
        if self.socket is not None:
            self.socket.close()
        if self.memory is not None:
            os.close(self.memory)

    def command(self, line):
        self.socket.sendall(line.encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            piece = self.socket.recv(4096)
            if not piece:
                raise ConnectionError("QEMU closed the connection")
            answer += piece
        words = answer.decode().split()
        if words[0] != "OK":
            raise RuntimeError(f"QEMU: {line}: {answer}")
        return int(words[1], 16) if len(words) > 1 else None

    def read32(self, address):
        return self.command(f"readl {address:#x}")

    def write32(self, address, value):
        self.command(f"writel {address:#x} {value:#x}")

    def write64(self, address, value):
        self.command(f"writeq {address:#x} {value:#x}")

    def read_memory(self, address, size):
        return os.pread(self.memory, size, address)

    def find(self, pattern):
        """The addresses of memory that has these bytes; parts that nobody has written are left out."""
        found = []
        end = self.megabytes << 20
        at = 0
        while at < end:
            try:
                at = os.lseek(self.memory, at, os.SEEK_DATA)
            except OSError:  # no more data
                break
            hole = os.lseek(self.memory, at, os.SEEK_HOLE)
            while at < hole:
                size = min(CHUNK, hole - at)
                # Patterns do not reach across a page, so none lies across two pieces.
                data = os.pread(self.memory, size, at)
                place = data.find(pattern)
                while place >= 0:
                    found.append(at + place)
                    place = data.find(pattern, place + 1)
                at += size
        return found

    def wait_nowhere(self, pattern, seconds):
        """Waits until no memory has these bytes; memory that has been freed is cleaned by and by."""
        limit = time.monotonic() + seconds
        while (found := self.find(pattern)) and time.monotonic() < limit:
            time.sleep(0.5)
        assert not found, f"still at {found[0]:x}"


class Function:
    """A PCI function of bus 0 as the hardware has it, whatever a hypervisor believes."""

    MEMORY_AND_MASTER = 6

    def __init__(self, hardware, name):
        device, function = name.rsplit(":", 1)[1].split(".")
        self.hardware = hardware
        self.base = ECAM + (int(device, 16) << 15 | int(function, 16) << 12)

    def read(self, offset):
        return self.hardware.read32(self.base + offset)

    def write(self, offset, value):
        self.hardware.write32(self.base + offset, value)

    def enable(self):
        """Lets it answer and do DMA."""
        self.write(4, self.read(4) & 0xFFFF | self.MEMORY_AND_MASTER)

    def bar(self, number):
        return self.read(0x10 + 4 * number) & ~0xF

    def capability(self, wanted):
        """Its offset."""
        offset = self.read(0x34) & 0xFC
        while offset and self.read(offset) & 0xFF != wanted:
            offset = self.read(offset) >> 8 & 0xFC
        return offset

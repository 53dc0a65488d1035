# SPDX-License-Identifier: Apache-2.0
"""QEMU's debugger stub: stops a machine where an address is about to be executed.

Speaks just enough of GDB's remote protocol over a Unix socket. Breakpoints are hardware ones, so
nothing in the machine's memory changes.
"""

import os
import socket


class Debugger:
    def __init__(self, folder):
        self.path = os.path.join(folder, "gdb")
        self.socket = None

    def qemu_arguments(self):
        """QEMU waits for continue_until() before the first instruction."""
        return ["-S", "-gdb", f"unix:{self.path},server=on,wait=off"]

    def connect(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(self.path)

    def send(self, packet):
        checksum = sum(packet.encode()) & 0xFF
        self.socket.sendall(f"${packet}#{checksum:02x}".encode())

    def receive(self, timeout):
        """The next packet's text; acknowledges it."""
        self.socket.settimeout(timeout)
        data = b""
        while not (b"#" in data and len(data) >= data.index(b"#") + 3):
            piece = self.socket.recv(4096)
            if not piece:
                raise ConnectionError("QEMU closed the debugger's connection")
            data = (data + piece).lstrip(b"+")
        self.socket.sendall(b"+")
        return data[1 : data.index(b"#")].decode()

    def command(self, packet, timeout=20):
        self.send(packet)
        answer = self.receive(timeout)
        if answer.startswith("E"):
            raise RuntimeError(f"debugger: {packet}: {answer}")
        return answer

    def continue_until(self, address, timeout):
        """Runs the machine until any CPU is about to execute the linear address; it stops there."""
        self.command(f"Z1,{address:x},1")
        answer = self.command("c", timeout)
        if not answer.startswith("T05"):
            raise RuntimeError(f"debugger: stopped by {answer}")
        self.command(f"z1,{address:x},1")

    def detach(self):
        """Lets the machine run on without the debugger."""
        self.command("D")
        self.socket.close()
        self.socket = None

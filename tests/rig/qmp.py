# SPDX-License-Identifier: Apache-2.0
"""QEMU's machine protocol over a Unix socket: only what the rig asks of it.

Monitor connects to a listening QEMU and keeps the events that arrive. The socket lives in a
temporary folder of its own, because the name of a Unix socket has to be short.
"""

import json
import os
import shutil
import socket
import tempfile
import time


class Monitor:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="rig-")
        self.path = os.path.join(self.folder, "qmp")
        self.socket = None
        self.buffer = b""
        self.events = []

    def qemu_arguments(self):
        return ["-qmp", f"unix:{self.path},server=on,wait=off"]

    def connect(self, timeout=20):
        """Connects to the QEMU that was started with qemu_arguments()."""
        self.socket = socket.socket(socket.AF_UNIX)
        end = time.monotonic() + timeout
        while True:
            try:
                self.socket.connect(self.path)
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        self.socket.settimeout(timeout)
        self.execute("qmp_capabilities")

    def execute(self, command, **arguments):
        """Sends a command and returns what QEMU answers; raises RuntimeError when it refuses."""
        request = {"execute": command, "arguments": arguments}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        while True:
            message = self.next_message()
            if message is None or "error" in message:
                raise RuntimeError(f"QEMU: {command}: {message}")
            if "return" in message:
                return message["return"]

    def human(self, line):
        """Runs a line of QEMU's human monitor and returns the text it prints."""
        return self.execute("human-monitor-command", **{"command-line": line})

    def wait_event(self, name, timeout):
        """Waits for an event that has not been waited for yet."""
        self.socket.settimeout(timeout)
        while not any(event["event"] == name for event in self.events):
            if self.next_message() is None:
                raise RuntimeError(f"QEMU ended before the event {name}")
        self.events = [event for event in self.events if event["event"] != name]

    def next_message(self):
        """The next message, None at the end; events are kept on the way."""
        while b"\n" not in self.buffer:
            try:
                data = self.socket.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                return None
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        message = json.loads(line)
        if "event" in message:
            self.events.append(message)
        return message

    def shutdown_reason(self):
        """After QEMU has ended: why, as in "guest-shutdown", "guest-reset" or "guest-panic"."""
        while self.next_message() is not None:
            pass
        reasons = [event["data"]["reason"] for event in self.events if event["event"] == "SHUTDOWN"]
        return reasons[-1] if reasons else None

    def close(self):
        if self.socket is not None:
            self.socket.close()
        shutil.rmtree(self.folder, ignore_errors=True)

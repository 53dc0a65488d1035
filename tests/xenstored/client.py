# SPDX-License-Identifier: Apache-2.0
"""Clients of a xenstored, written from the wire protocol, and a daemon to try them on.

Daemon starts a xenstored with the stand-in for the hypervisor (fake_xen.c) in a folder of its own.
SocketClient speaks over its socket; RingClient plays a domain over a ring page, which is a file.
Both give replies as (type, payload) and collect watch events in a list.
"""

import mmap
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

TYPES = (
    "CONTROL DIRECTORY READ GET_PERMS WATCH UNWATCH TRANSACTION_START TRANSACTION_END INTRODUCE "
    "RELEASE GET_DOMAIN_PATH WRITE MKDIR RM SET_PERMS WATCH_EVENT ERROR IS_DOMAIN_INTRODUCED RESUME "
    "SET_TARGET RESTRICT RESET_WATCHES DIRECTORY_PART GET_FEATURE SET_FEATURE GET_QUOTA SET_QUOTA"
).split()
TYPE = {name: number for number, name in enumerate(TYPES)}
HEADER = struct.Struct("<IIII")
RING = 1024
DOM_EXC_PORT = 2
SECONDS = 20


class Gone(Exception):
    """The daemon has closed the connection, or does not answer."""


class Client:
    """The protocol over send(), which sends all, and receive(), which returns what there is."""

    def __init__(self):
        self.buffer = b""
        self.events = []
        self.number = 0

    def message(self, seconds=SECONDS):
        """The next message as (type, request id, payload)."""
        end = time.monotonic() + seconds
        while True:
            if len(self.buffer) >= HEADER.size:
                kind, request, _, length = HEADER.unpack_from(self.buffer)
                if len(self.buffer) >= HEADER.size + length:
                    payload = self.buffer[HEADER.size : HEADER.size + length]
                    self.buffer = self.buffer[HEADER.size + length :]
                    return TYPES[kind], request, payload
            if time.monotonic() > end:
                raise Gone("no answer")
            self.buffer += self.receive()

    def post(self, kind, payload, transaction=0):
        self.number += 1
        number = TYPE.get(kind, kind)
        self.send(HEADER.pack(number, self.number, transaction, len(payload)) + payload)

    def reply(self):
        while True:
            kind, request, payload = self.message()
            if kind != "WATCH_EVENT":
                assert request == self.number, "a reply to another request"
                return kind, payload
            self.events.append(payload.decode().rstrip("\0").replace("\0", " "))

    def ask(self, kind, payload, transaction=0):
        """The reply's payload, or the name of the error."""
        self.post(kind, payload, transaction)
        answer, data = self.reply()
        if answer == "ERROR":
            return data.rstrip(b"\0").decode()
        assert answer == kind, f"a reply of type {answer} to {kind}"
        return data

    def take_events(self):
        """All events that have been caused so far, in order."""
        self.ask("GET_DOMAIN_PATH", b"0\0")
        taken, self.events = self.events, []
        return taken


class SocketClient(Client):
    def __init__(self, path):
        super().__init__()
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.socket.settimeout(0.2)

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        try:
            data = self.socket.recv(65536)
        except (TimeoutError, socket.timeout):
            return b""
        except ConnectionError as error:
            raise Gone(str(error)) from error
        if not data:
            raise Gone("closed")
        return data

    def close(self):
        self.socket.close()


class RingClient(Client):
    """A domain. Port numbers are its id and 100."""

    def __init__(self, daemon, domid):
        super().__init__()
        self.daemon = daemon
        self.domid = domid
        self.port = domid + 100
        path = daemon.fake(f"ring-{domid}")
        with open(path, "wb") as page:
            page.write(bytes(4096))
        with open(path, "r+b") as page:
            self.page = mmap.mmap(page.fileno(), 4096)
        self.words = memoryview(self.page).cast("I")

    def field(self, offset):
        return self.words[offset // 4]

    def set_field(self, offset, value):
        """In one store, for the daemon may look at any moment; struct.pack_into() writes zeros first."""
        self.words[offset // 4] = value & 0xFFFFFFFF

    REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD, FEATURES, CONNECTION, ERROR = range(2048, 2076, 4)

    def notify(self):
        self.daemon.event(self.port)

    def send(self, data):
        end = time.monotonic() + SECONDS
        while data:
            produced = self.field(self.REQ_PROD)
            room = RING - (produced - self.field(self.REQ_CONS)) % (1 << 32)
            if room == 0:
                if time.monotonic() > end:
                    raise Gone("the ring stays full")
                time.sleep(0.001)
                continue
            for offset, byte in enumerate(data[:room]):
                self.page[(produced + offset) % RING] = byte
            self.set_field(self.REQ_PROD, produced + len(data[:room]))
            data = data[room:]
            self.notify()

    def receive(self):
        consumed = self.field(self.RSP_CONS)
        count = (self.field(self.RSP_PROD) - consumed) % (1 << 32)
        assert count <= RING, "the daemon's index lies"
        data = bytes(self.page[RING + (consumed + i) % RING] for i in range(count))
        self.set_field(self.RSP_CONS, consumed + count)
        if data:
            self.notify()
        else:
            time.sleep(0.001)
        return data

    def introduction(self):
        return b"%d\0%d\0%d\0" % (self.domid, 1, self.port)


class Daemon:
    """A running xenstored. ROOT, when given, is a Debian 13 root to run Debian's own in."""

    def __init__(self, program, fake_library, libraries, root=None, wrapper=()):
        self.root = root
        self.folder = tempfile.mkdtemp(prefix="x", dir=root)
        xenfs = os.path.join(root, "proc/xen") if root else self.folder
        os.makedirs(xenfs, exist_ok=True)
        with open(os.path.join(xenfs, "xsd_port"), "w", encoding="ascii") as port:
            port.write("1")
        with open(os.path.join(xenfs, "xsd_kva"), "wb") as page:
            page.write(bytes(4096))
        inside = self.folder[len(root) :] if root else self.folder
        os.mkfifo(os.path.join(self.folder, "events"))
        self.fifo = os.open(os.path.join(self.folder, "events"), os.O_RDWR)
        environment = dict(os.environ, FAKE_XEN=inside)
        if root:
            self.path = os.path.join(root, "run/xenstored/socket")
            shutil.copy(fake_library, os.path.join(root, "fake_xen.so"))
            command = ["chroot", root, "/lib64/ld-linux-x86-64.so.2", "--preload", "/fake_xen.so"]
            command += [program, "-N"]
        else:
            self.path = os.path.join(self.folder, "socket")
            environment.update(LD_PRELOAD=fake_library, LD_LIBRARY_PATH=libraries)
            command = [*wrapper, program, "-N", "--socket", self.path, "--xenfs", self.folder]
        if os.path.exists(self.path):
            os.unlink(self.path)
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
        self.wait_ready()

    def wait_ready(self):
        end = time.monotonic() + SECONDS
        while True:
            try:
                self.connect().close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    self.stop()
                    raise
                time.sleep(0.02)

    def connect(self):
        return SocketClient(self.path)

    def fake(self, name):
        return os.path.join(self.folder, name)

    def event(self, port):
        os.write(self.fifo, struct.pack("<I", port))

    def domain(self, domid, control):
        """A domain that exists and is connected."""
        client = RingClient(self, domid)
        assert control.ask("INTRODUCE", client.introduction()) == b"OK\0"
        return client

    def say(self, what, domid):
        """The domain is "gone", or has "shut" down."""
        with open(self.fake(f"{what}-{domid}"), "wb"):
            pass
        self.event(DOM_EXC_PORT)

    def alive(self):
        return self.process.poll() is None

    def end(self):
        """Ends the daemon; returns its exit status."""
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode

    def stop(self):
        self.end()
        os.close(self.fifo)
        shutil.rmtree(self.folder)

# SPDX-License-Identifier: Apache-2.0
"""The files of an image, and how they become an initramfs.

Files is a dictionary from path (without a leading slash) to Entry. write() makes a newc cpio archive
of it: sorted, all owned by root, without time stamps, compressed with zstd by one thread, so that
the same files give the same bits. The archive appears under its name only when it is complete.
"""

import os
import posixpath
import stat
import subprocess


class Entry:
    """One file: its mode with the type bits, its bytes (or link target), the package it is from."""

    def __init__(self, mode, data=b"", package=None):
        self.mode = mode
        self.data = data
        self.package = package

    def is_regular(self):
        return stat.S_ISREG(self.mode)


def directory():
    return Entry(stat.S_IFDIR | 0o755)


def link(target):
    return Entry(stat.S_IFLNK | 0o777, target.encode())


def regular(mode, data, package=None):
    return Entry(stat.S_IFREG | mode, data, package)


def add_parents(files):
    """Adds the folders that lead to each entry; the kernel unpacks nothing below a missing one."""
    for path in list(files):
        parent = posixpath.dirname(path)
        while parent and parent not in files:
            files[parent] = directory()
            parent = posixpath.dirname(parent)


def record(number, path, entry):
    """One file as the cpio format has it."""
    name = path.encode() + b"\0"
    fields = [
        number, entry.mode, 0, 0, 2 if stat.S_ISDIR(entry.mode) else 1, 0, len(entry.data),
        0, 0, 0, 0, len(name), 0,
    ]  # fmt: skip
    text = b"070701" + b"".join(b"%08x" % field for field in fields) + name
    text += b"\0" * (-len(text) % 4) + entry.data
    return text + b"\0" * (-len(text) % 4)


def write(files, output):
    """Writes the archive; files must hold every parent folder (add_parents)."""
    temporary = output + ".tmp"
    with open(temporary, "wb") as target:
        packer = subprocess.Popen(
            ["zstd", "-q", "-9", "--single-thread"], stdin=subprocess.PIPE, stdout=target
        )
        for number, path in enumerate(sorted(files), 1):
            packer.stdin.write(record(number, path, files[path]))
        packer.stdin.write(record(0, "TRAILER!!!", Entry(0)))
        packer.stdin.close()
        if packer.wait() != 0:
            raise OSError("zstd failed")
    os.replace(temporary, output)

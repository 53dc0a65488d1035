# SPDX-License-Identifier: Apache-2.0
"""Tests of the program that makes the disk image, on small stand-ins for what goes into it."""

import os
import shutil
import struct
import subprocess
import sys
import tempfile

import tap

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
PARTS = ("bulkhead", "dom0/vmlinuz", "dom0/initrd", "launched/initrd", "dom0/contents",
         "driverdomains/net/contents", "driverdomains/storage/contents",
         "driverdomains/usb/contents")  # fmt: skip


class Bench:
    """A folder with the parts of an image; build() makes the image of them."""

    def __enter__(self):
        self.top = tempfile.mkdtemp(prefix="image-")
        for name in PARTS:
            path = os.path.join(self.top, "parts", name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="ascii") as part:
                part.write(f"this is {name}\n")
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.top)

    def build(self, name="image"):
        path = os.path.join(self.top, name)
        program = os.path.join(TOP, "distribution", "image.py")
        subprocess.run([sys.executable, program, os.path.join(self.top, "parts"), path], check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        return path


def partitions(path):
    """(first byte, size, name) of each partition, as sfdisk reads them."""
    said = subprocess.run(["/sbin/sfdisk", "-d", path], check=True, stdout=subprocess.PIPE, text=True)
    found = []
    for line in said.stdout.splitlines():
        if "start=" in line:
            words = dict(word.strip().split("=") for word in line.split(" : ")[1].split(", "))
            found.append((int(words["start"]) * 512, int(words["size"]) * 512, words["name"].strip('"')))
    return found


def test_image_has_its_partitions():
    with Bench() as bench:
        path = bench.build()
        checked = subprocess.run(["/sbin/sfdisk", "-V", path], check=False, stdout=subprocess.PIPE)
        assert checked.returncode == 0, checked.stdout
        names = [name for _, _, name in partitions(path)]
        assert names == [f"bulkhead-{part}" for part in ("bios", "efi", "system", "configuration")]


def test_image_has_the_files_where_grub_looks():
    with Bench() as bench:
        path = bench.build()
        (_, _, _), (efi, _, _), (system, size, _), (configuration, room, _) = partitions(path)
        listing = subprocess.run(["mdir", "-b", "-i", f"{path}@@{efi}", "::/EFI/BOOT"], check=True,
                                 stdout=subprocess.PIPE, text=True).stdout  # fmt: skip
        assert "BOOTX64.EFI" in listing
        with open(path, "rb") as image:
            image.seek(system)
            with open(os.path.join(bench.top, "system"), "wb") as copy:
                copy.write(image.read(size))
            image.seek(configuration)
            assert image.read(room) == bytes(room)
        for name, part in (("vmlinuz", "dom0/vmlinuz"), ("launched.initrd", "launched/initrd")):
            said = subprocess.run(
                ["/sbin/debugfs", "-R", f"cat /boot/{name}", os.path.join(bench.top, "system")],
                check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            ).stdout  # fmt: skip
            assert said == f"this is {part}\n"


def test_bios_finds_the_core():
    with Bench() as bench, open(bench.build(), "rb") as image:
        first = image.read(512)
        (core,) = struct.unpack_from("<Q", first, 0x5C)
        assert core * 512 == partitions(image.name)[0][0] and first[510:] == b"\x55\xaa"
        image.seek(core * 512)
        start, count, segment = struct.unpack("<QHH", image.read(512)[500:])
        assert (start, segment) == (core + 1, 0x820)
        image.seek((start + count - 1) * 512)
        assert any(image.read(512)) and not any(image.read(512))


def test_same_parts_give_the_same_image():
    with Bench() as bench:
        paths = bench.build("one"), bench.build("two")
        assert subprocess.run(["cmp", *paths], check=False).returncode == 0


if __name__ == "__main__":
    tap.run(globals())

# SPDX-License-Identifier: Apache-2.0
"""Tests of the builder of images: what recipes may say, what comes out, and that it is the same twice.

A stand-in for scripts/debian13 hands out packages that are made here, so a run needs neither network nor
Debian's archive, and knows every byte that belongs into an image.
"""

import lzma
import os
import shutil
import subprocess
import sys
import tempfile

import tap

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
COMMON = os.path.join(TOP, "driverdomains", "common")


class Bench:
    """A tree with a copy of the builder, a package source of its own, and a folder for recipes."""

    def __init__(self):
        self.top = tempfile.mkdtemp(prefix="recipe-")
        shutil.copytree(COMMON, self.path("driverdomains", "common"))
        os.makedirs(self.path("scripts"))
        os.makedirs(self.path("recipes"))
        self.debs = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.top)

    def path(self, *names):
        return os.path.join(self.top, *names)

    def package(self, name, files, version="1.0"):
        """Makes a package of files, whose values are bytes, or a text that a link leads to."""
        root = self.path("build", name)
        for path, data in files.items():
            target = os.path.join(root, path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if isinstance(data, str):
                os.symlink(data, target)
                continue
            with open(target, "wb") as output:
                output.write(data)
        os.makedirs(os.path.join(root, "DEBIAN"))
        with open(os.path.join(root, "DEBIAN", "control"), "w", encoding="ascii") as control:
            control.write(f"Package: {name}\nVersion: {version}\nArchitecture: all\n")
            control.write("Maintainer: nobody <nobody@example.org>\nDescription: test\n")
        deb = self.path(f"{name}_{version}_all.deb")
        subprocess.run(["dpkg-deb", "-b", root, deb], check=True, stdout=subprocess.DEVNULL)
        self.debs.append(deb)
        source = self.path("scripts", "debian13")
        with open(source, "w", encoding="utf-8") as script:
            script.write("#!/bin/sh\n" + "".join(f"echo {deb}\n" for deb in self.debs))
        os.chmod(source, 0o755)

    def recipe(self, text, name="recipe"):
        with open(self.path("recipes", name), "w", encoding="utf-8") as output:
            output.write(text)

    def build(self, output="image"):
        return subprocess.run(
            [sys.executable, self.path("driverdomains", "common", "build"),
             "--output", self.path(output), "recipe"],
            cwd=self.path("recipes"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            check=False,
        )  # fmt: skip

    def files(self, output="image"):
        """The files of a built image: bytes by path."""
        unpacked = subprocess.run(
            ["zstd", "-dcq", self.path(output, "initrd")], check=True, stdout=subprocess.PIPE
        ).stdout
        files, offset = {}, 0
        while True:
            fields = [int(unpacked[offset + 6 + 8 * i : offset + 14 + 8 * i], 16) for i in range(13)]
            name = unpacked[offset + 110 : offset + 109 + fields[11]].decode()
            start = offset + (110 + fields[11] + 3) // 4 * 4
            if name == "TRAILER!!!":
                return files
            assert fields[2:4] == [0, 0] and fields[5] == 0, f"{name} has an owner or a time"
            files[name] = (fields[1], unpacked[start : start + fields[6]])
            offset = (start + fields[6] + 3) // 4 * 4

    def refused(self, text, line, reason):
        """Builds a recipe with a mistake, which must be told with its line and leave nothing."""
        self.recipe(text)
        result = self.build()
        assert result.returncode == 1, result
        assert result.stderr == f"recipe:{line}: {reason}\n", result.stderr
        assert not os.path.exists(self.path("image", "initrd"))


def module(depends):
    return lzma.compress(b"\0license=GPL\0depends=" + depends + b"\0")


KERNEL = "usr/lib/modules/6.0"


def kernel_package(bench):
    bench.package(
        "linux-image-6.0",
        {
            "boot/vmlinuz-6.0": b"kernel",
            f"{KERNEL}/modules.order": b"",
            f"{KERNEL}/modules.builtin": b"",
            f"{KERNEL}/modules.builtin.modinfo": b"",
            f"{KERNEL}/kernel/upper-half.ko.xz": module(b"lower-half"),
            f"{KERNEL}/kernel/lower-half.ko.xz": module(b""),
            f"{KERNEL}/kernel/other.ko.xz": module(b""),
        },
    )


def test_files_come_as_the_recipe_says():
    with Bench() as bench:
        bench.package("tool", {"usr/bin/tool": b"tool", "usr/bin/toolbox": b"box", "etc/tool": b"x"})
        bench.recipe("package tool\nkeep usr/bin/*\ndrop usr/bin/toolbox\nfile /etc/hello 0600 recipe\n"
                     "link /sbin/init ../bin/tool\ndirectory /a/b\n")  # fmt: skip
        assert bench.build().returncode == 0
        files = bench.files()
        assert files["usr/bin/tool"][1] == b"tool"
        assert files["etc/hello"][0] == 0o100600
        assert files["sbin/init"][1] == b"../bin/tool" and "a/b" in files
        assert "usr/bin/toolbox" not in files and "etc/tool" not in files


def test_modules_bring_what_they_depend_on():
    with Bench() as bench:
        kernel_package(bench)
        bench.recipe("package linux-image-6.0\nmodules upper-half\nbeside vmlinuz boot/vmlinuz-*\n")
        result = bench.build()
        assert result.returncode == 0, result.stderr
        files = bench.files()
        assert files[f"{KERNEL}/kernel/lower-half.ko"][1].endswith(b"depends=\0")
        assert f"{KERNEL}/kernel/upper-half.ko" in files and f"{KERNEL}/modules.dep" in files
        assert f"{KERNEL}/kernel/other.ko" not in files
        with open(bench.path("image", "vmlinuz"), "rb") as kernel:
            assert kernel.read() == b"kernel"


def test_libraries_are_found_for_programs():
    with Bench() as bench, open("/bin/true", "rb") as program:
        library = "usr/lib/x86_64-linux-gnu"
        bench.package("tool", {"usr/bin/tool": program.read()})
        bench.package("libc", {f"{library}/libc.so.6": "libc-1.so", f"{library}/libc-1.so": b"c",
                               f"{library}/ld.so": b"ld",
                               "usr/lib64/ld-linux-x86-64.so.2": "../lib/x86_64-linux-gnu/ld.so",
                               f"{library}/libother.so": b"not needed"})  # fmt: skip
        bench.recipe("package tool libc\nkeep usr/bin/tool\nlibraries\n")
        result = bench.build()
        assert result.returncode == 0, result.stderr
        files = bench.files()
        assert files[f"{library}/libc.so.6"][1] == b"libc-1.so"
        assert files[f"{library}/libc-1.so"][1] == b"c" and files[f"{library}/ld.so"][1] == b"ld"
        assert "usr/lib64/ld-linux-x86-64.so.2" in files
        assert f"{library}/libother.so" not in files


def test_a_missing_library_is_refused():
    with Bench() as bench, open("/bin/true", "rb") as program:
        bench.package("tool", {"usr/bin/tool": program.read()})
        bench.refused("package tool\nkeep usr/bin/tool\nlibraries\n", 3,
                      "usr/bin/tool needs libc.so.6, which is in no package of the recipe")  # fmt: skip


def test_mistakes_are_refused_with_line_and_reason():
    with Bench() as bench:
        bench.package("tool", {"usr/bin/tool": b"tool"})
        for text, line, reason in (
            ("# fine\npackage Tool\n", 2, "Tool is no name of a package"),
            ("link /a\n", 1, "link takes 2 words, here are 1"),
            ("keep\n", 1, "keep takes 1 or more words, here are 0"),
            ("file /a 999 recipe\n", 1, "999 is no mode such as 0644"),
            ("file a 0644 recipe\n", 1, "a does not begin with /"),
            ("\nfile /a 0644 nothing\n", 2, "there is no file nothing"),
            ("tree /a recipe\n", 1, f"{bench.path('recipes', 'recipe')} is no folder"),
            ("memory lots\n", 1, "lots is no number of MiB"),
            ("memory 0\n", 1, "0 is no number of MiB"),
            ("devices tape\n", 1, "tape is none of storage, ahci, nvme, network, audio, usb"),
            ("restart sometimes\n", 1, "sometimes is none of always, on-failure, never"),
            ("package tool\nkeep usr/bin/tol\n", 2, "no package has a file usr/bin/tol"),
            ("package tool\nmodules tool\n", 2, "the kernel has no module tool"),
            ("package tool\nbusybox\n", 2, "usr/bin/busybox is not among the files"),
            ("package tool\nbeside a usr/*\n", 2, "2 files of the packages match usr/*, not one"),
            ("include nowhere\n", 1, f"there is no recipe {bench.path('recipes', 'nowhere')}"),
        ):  # fmt: skip
            bench.refused(text, line, reason)


def test_an_unknown_statement_is_refused():
    with Bench() as bench:
        bench.recipe("summary all is well\npackages tool\n")
        result = bench.build()
        assert result.returncode == 1
        assert result.stderr.startswith("recipe:2: there is no statement 'packages'; there are: package")


def test_a_mistake_in_an_included_recipe_names_its_file():
    with Bench() as bench:
        bench.recipe("memory many\n", "other")
        bench.recipe("include other\n")
        assert bench.build().stderr == "other:1: many is no number of MiB\n"


def test_a_recipe_that_includes_itself_is_refused():
    with Bench() as bench:
        bench.recipe("include recipe\n")
        assert bench.build().stderr.endswith("recipe: includes itself\n")


def test_the_last_setting_counts():
    with Bench() as bench:
        bench.recipe("memory 64\nrestart never\n", "other")
        bench.recipe("include other\nmemory 128\ndevices network usb\n")
        assert bench.build().returncode == 0
        with open(bench.path("image", "settings"), encoding="ascii") as settings:
            assert settings.read() == "memory=128\nrestart=never\ndevices=network usb\n"


def test_same_inputs_give_same_bits():
    with Bench() as bench:
        kernel_package(bench)
        bench.recipe("package linux-image-6.0\nmodules upper-half\nfile /recipe 0644 recipe\n")
        assert bench.build("first").returncode == 0
        shutil.rmtree(bench.path("out"))
        os.utime(bench.path("recipes", "recipe"), (0, 0))
        assert bench.build("second").returncode == 0
        for name in ("initrd", "settings"):
            with open(bench.path("first", name), "rb") as one:
                with open(bench.path("second", name), "rb") as other:
                    assert one.read() == other.read(), name


def test_nothing_is_done_twice_and_every_change_is_seen():
    with Bench() as bench:
        bench.package("tool", {"usr/bin/tool": b"tool"})
        bench.recipe("hello\n", "greeting")
        bench.recipe("package tool\nkeep usr/bin/tool\nfile /greeting 0644 greeting\n")
        assert bench.build().stdout.startswith("image: ")
        assert bench.build().stdout == ""
        bench.recipe("good bye\n", "greeting")
        assert bench.build().stdout.startswith("image: ")
        assert bench.files()["greeting"][1] == b"good bye\n"
        bench.debs.clear()
        shutil.rmtree(bench.path("build"))
        bench.package("tool", {"usr/bin/tool": b"better"}, "1.1")
        assert bench.build().stdout.startswith("image: ")
        assert bench.files()["usr/bin/tool"][1] == b"better"


def test_contents_name_packages_versions_and_licences():
    with Bench() as bench:
        bench.package("tool", {"usr/bin/tool": b"tool",
                               "usr/share/doc/tool/copyright": b"License: MIT\n text\n"}, "2.3-1")  # fmt: skip
        bench.package("unused", {"usr/bin/unused": b""})
        bench.recipe("package tool unused\nkeep usr/bin/tool\nfile /mine 0644 recipe\n")
        assert bench.build().returncode == 0
        with open(bench.path("image", "contents"), encoding="utf-8") as contents:
            text = contents.read()
        assert "tool\t2.3-1\tMIT\n" in text and "unused" not in text
        assert "/usr/bin/tool\t4\ttool\n" in text and "\tbuilt here\n" in text


if __name__ == "__main__":
    tap.run(globals())

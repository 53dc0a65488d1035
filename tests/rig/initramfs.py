#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes an initramfs out of an unpacked Debian root (a tar file) by a recipe.

A recipe is a text file of lines, applied to the tar in this order, the last matching rule winning:
  keep PATTERN           take files whose path matches (shell pattern, * crosses slashes)
  drop PATTERN           leave them out
  modules NAME...        take these kernel modules and what they depend on, unpacked from xz
  busybox                link each busybox applet that no kept package supplies
  directory PATH         make an empty directory
  link PATH TARGET       make a symbolic link
  file PATH MODE SOURCE  add a file; SOURCE is relative to the recipe, or to --files
  tree PATH SOURCE       add a whole folder below PATH, with its modes

The result is a newc cpio archive, sorted, all owned by root, without time stamps, compressed with
zstd: the same input gives the same bits. Nothing is executed but depmod and the root's own static
busybox (for its list of applets), so no privilege is needed. Errors end the program with a
message; the output appears under its name only when it is complete.
"""

import argparse
import fnmatch
import lzma
import os
import posixpath
import stat
import subprocess
import sys
import tarfile
import tempfile


class Entry:
    """One file of the archive: its mode with the type bits, and its bytes (or link target)."""

    def __init__(self, mode, data=b""):
        self.mode = mode
        self.data = data


def directory():
    return Entry(stat.S_IFDIR | 0o755)


def link(target):
    return Entry(stat.S_IFLNK | 0o777, target.encode())


class Recipe:
    """The parsed lines of a recipe file."""

    def __init__(self, path):
        self.folder = os.path.dirname(path)
        self.rules = []
        self.modules = []
        self.busybox = False
        self.directories = []
        self.links = []
        self.files = []
        self.trees = []
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                words = line.split("#")[0].split()
                if words:
                    self.parse(words, f"{path}:{number}")

    def parse(self, words, where):
        verb, arguments = words[0], words[1:]
        if verb in ("keep", "drop") and len(arguments) == 1:
            self.rules.append((verb == "keep", arguments[0]))
        elif verb == "modules" and arguments:
            self.modules += arguments
        elif verb == "busybox" and not arguments:
            self.busybox = True
        elif verb == "directory" and len(arguments) == 1:
            self.directories.append(arguments[0])
        elif verb == "link" and len(arguments) == 2:
            self.links.append(arguments)
        elif verb == "file" and len(arguments) == 3:
            self.files.append(arguments)
        elif verb == "tree" and len(arguments) == 2:
            self.trees.append(arguments)
        else:
            sys.exit(f"{where}: cannot understand: {' '.join(words)}")

    def takes(self, path):
        taken = False
        for keep, pattern in self.rules:
            if fnmatch.fnmatchcase(path, pattern):
                taken = keep
        return taken


def read_root(tar, recipe):
    """The tar's entries that the recipe keeps, by path; hard links become copies."""
    entries = {}
    for member in tar:
        path = posixpath.normpath(member.name)
        if path == "." or not recipe.takes(path):
            continue
        if member.isdir():
            entries[path] = Entry(stat.S_IFDIR | (member.mode & 0o7777))
        elif member.issym():
            entries[path] = link(member.linkname)
        elif member.isreg() or member.islnk():
            data = tar.extractfile(member).read()
            entries[path] = Entry(stat.S_IFREG | (member.mode & 0o7777), data)
    return entries


def module_dependencies(data):
    """The names in the depends= field of a module's .modinfo section."""
    start = data.find(b"\0depends=")
    if start < 0:
        return []
    value = data[start + 9 : data.index(b"\0", start + 9)].decode()
    return [name for name in value.split(",") if name]


def module_files(tar):
    """Every kernel module of the tar by its name as the kernel spells it."""
    modules = {}
    for member in tar.getmembers():
        name = posixpath.basename(member.name)
        if name.endswith(".ko.xz"):
            modules[name[: -len(".ko.xz")].replace("-", "_")] = member
    return modules


def add_modules(entries, tar, wanted):
    """Adds the modules and their dependencies uncompressed, with the index that modprobe reads."""
    available = module_files(tar)
    queue = list(wanted)
    folder = None
    with tempfile.TemporaryDirectory() as scratch:
        done = set()
        while queue:
            name = queue.pop().replace("-", "_")
            if name in done:
                continue
            done.add(name)
            if name not in available:
                sys.exit(f"initramfs: the kernel has no module {name}")
            path = posixpath.normpath(available[name].name)[: -len(".xz")]
            data = lzma.decompress(tar.extractfile(available[name]).read())
            entries[path] = Entry(stat.S_IFREG | 0o644, data)
            queue += module_dependencies(data)
            folder = posixpath.join(*path.split("/")[:4])
            target = os.path.join(scratch, path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as output:
                output.write(data)
        add_module_index(entries, tar, folder, scratch)


def add_module_index(entries, tar, folder, scratch):
    """Runs depmod over the modules under scratch/folder and adds the files it wrote."""
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        with open(os.path.join(scratch, folder, name), "wb") as output:
            output.write(tar.extractfile(f"./{folder}/{name}").read())
    # Debian's kernel keeps its modules under /usr/lib; depmod looks under /lib of its base.
    os.symlink("usr/lib", os.path.join(scratch, "lib"))
    environment = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
    subprocess.run(
        ["depmod", "-b", scratch, posixpath.basename(folder)], check=True, env=environment
    )
    for name in sorted(os.listdir(os.path.join(scratch, folder))):
        path = os.path.join(scratch, folder, name)
        if name.startswith("modules.") and os.path.isfile(path):
            with open(path, "rb") as index:
                entries[f"{folder}/{name}"] = Entry(stat.S_IFREG | 0o644, index.read())


def add_busybox(entries):
    """Links the applets of usr/bin/busybox that no entry supplies yet."""
    with tempfile.TemporaryDirectory() as scratch:
        program = os.path.join(scratch, "busybox")
        with open(program, "wb") as output:
            output.write(entries["usr/bin/busybox"].data)
        os.chmod(program, 0o755)
        listing = subprocess.run([program, "--list"], check=True, stdout=subprocess.PIPE, text=True)
    for applet in listing.stdout.split():
        if not any(f"usr/{folder}/{applet}" in entries for folder in ("bin", "sbin")):
            entries[f"usr/bin/{applet}"] = link("busybox")


def add_extras(entries, recipe, files):
    for path in recipe.directories:
        entries[path.lstrip("/")] = directory()
    for path, target in recipe.links:
        entries[path.lstrip("/")] = link(target)
    for path, mode, source in recipe.files:
        for folder in (recipe.folder, files):
            if folder and os.path.exists(os.path.join(folder, source)):
                with open(os.path.join(folder, source), "rb") as contents:
                    entries[path.lstrip("/")] = Entry(
                        stat.S_IFREG | int(mode, 8), contents.read()
                    )
                break
        else:
            sys.exit(f"initramfs: no file {source}")
    for path, source in recipe.trees:
        add_tree(entries, path.lstrip("/"), os.path.join(files or recipe.folder, source))


def add_tree(entries, path, source):
    if not os.path.isdir(source):
        sys.exit(f"initramfs: no folder {source}")
    for folder, _, names in os.walk(source):
        for name in names:
            origin = os.path.join(folder, name)
            target = posixpath.normpath(posixpath.join(path, os.path.relpath(origin, source)))
            if os.path.islink(origin):
                entries[target] = link(os.readlink(origin))
                continue
            with open(origin, "rb") as contents:
                mode = stat.S_IFREG | stat.S_IMODE(os.stat(origin).st_mode)
                entries[target] = Entry(mode, contents.read())


def add_parents(entries):
    """Adds the folders that lead to each entry; the kernel unpacks nothing below a missing one."""
    for path in list(entries):
        parent = posixpath.dirname(path)
        while parent and parent not in entries:
            entries[parent] = directory()
            parent = posixpath.dirname(parent)


def cpio_record(number, path, entry):
    name = path.encode() + b"\0"
    fields = [
        number, entry.mode, 0, 0, 2 if stat.S_ISDIR(entry.mode) else 1, 0, len(entry.data),
        0, 0, 0, 0, len(name), 0,
    ]  # fmt: skip
    record = b"070701" + b"".join(b"%08x" % field for field in fields) + name
    record += b"\0" * (-len(record) % 4) + entry.data
    return record + b"\0" * (-len(record) % 4)


def write_archive(entries, output):
    temporary = output + ".tmp"
    with open(temporary, "wb") as target:
        zstd = subprocess.Popen(["zstd", "-q", "-9", "-T2"], stdin=subprocess.PIPE, stdout=target)
        for number, path in enumerate(sorted(entries), 1):
            zstd.stdin.write(cpio_record(number, path, entries[path]))
        zstd.stdin.write(cpio_record(0, "TRAILER!!!", Entry(0)))
        zstd.stdin.close()
        if zstd.wait() != 0:
            sys.exit("initramfs: zstd failed")
    os.replace(temporary, output)


def main():
    parser = argparse.ArgumentParser(description="Make an initramfs by a recipe.")
    parser.add_argument("--root", help="tar file of an unpacked Debian root, if any is kept")
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--files", help="second folder to look for the recipe's sources in")
    parser.add_argument("--output", required=True)
    options = parser.parse_args()

    recipe = Recipe(options.recipe)
    entries = {}
    if options.root:
        with tarfile.open(options.root) as tar:
            entries = read_root(tar, recipe)
            if recipe.modules:
                add_modules(entries, tar, recipe.modules)
            if recipe.busybox:
                add_busybox(entries)
    add_extras(entries, recipe, options.files)
    add_parents(entries)
    write_archive(entries, options.output)


if __name__ == "__main__":
    main()

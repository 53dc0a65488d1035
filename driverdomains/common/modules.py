# SPDX-License-Identifier: Apache-2.0
"""Kernel modules of an image: those wanted, what they depend on, and the index modprobe reads.

The modules are taken unpacked, for the archive is compressed as a whole. depmod makes the index in a
scratch folder.
"""

import lzma
import os
import posixpath
import subprocess
import tempfile

import archive

SUFFIX = ".ko.xz"


def dependencies(data):
    """The names in the depends= field of a module's .modinfo section."""
    start = data.find(b"\0depends=")
    if start < 0:
        return []
    value = data[start + 9 : data.index(b"\0", start + 9)].decode()
    return [name for name in value.split(",") if name]


def spelled(name):
    """A module's name as the kernel spells it."""
    return name.replace("-", "_")


def available(packages):
    """Every kernel module of the packages: its path by its name."""
    paths = (path for path in packages.members if path.endswith(SUFFIX))
    return {spelled(posixpath.basename(path)[: -len(SUFFIX)]): path for path in paths}


def add(files, packages, recipe):
    """Adds the recipe's modules with what they depend on."""
    paths = available(packages)
    for name, statement in recipe.words("modules"):
        if spelled(name) not in paths:
            raise statement.mistake(f"the kernel has no module {name}")
    queue = [spelled(name) for name, _ in recipe.words("modules")]
    taken = {}
    while queue:
        name = queue.pop()
        if name in taken:
            continue
        entry = packages.entry(paths[name])
        entry.data = lzma.decompress(entry.data)
        taken[name] = entry
        files[paths[name][: -len(".xz")]] = entry
        queue += [spelled(other) for other in dependencies(entry.data)]
    if taken:
        # .../usr/lib/modules/VERSION
        add_index(files, packages, posixpath.join(*paths[name].split("/")[:4]))


def add_index(files, packages, folder):
    """Adds what depmod finds out about the modules that are below the folder."""
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
            place(scratch, f"{folder}/{name}", packages.data(f"{folder}/{name}"))
        for path, entry in files.items():
            if path.startswith(folder + "/") and entry.is_regular():
                place(scratch, path, entry.data)
        # Debian's kernel keeps its modules under /usr/lib; depmod looks under /lib of its base.
        os.symlink("usr/lib", os.path.join(scratch, "lib"))
        environment = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
        version = posixpath.basename(folder)
        subprocess.run(["depmod", "-b", scratch, version], check=True, env=environment)
        for name in sorted(os.listdir(os.path.join(scratch, folder))):
            path = os.path.join(scratch, folder, name)
            if name.startswith("modules.") and os.path.isfile(path):
                with open(path, "rb") as index:
                    files[f"{folder}/{name}"] = archive.regular(0o644, index.read())


def place(scratch, path, data):
    target = os.path.join(scratch, path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "wb") as output:
        output.write(data)

# SPDX-License-Identifier: Apache-2.0
"""The Debian packages that an image's files are taken from.

scripts/debian13 finds and downloads them. Each is unpacked once to a plain tar file beside the
downloads, in which files are found without unpacking anything else. Packages maps every path of all
packages to the tar member; nothing of the packages is executed.
"""

import os
import posixpath
import re
import stat
import subprocess
import tarfile
import urllib.parse

import archive

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TARS = os.path.join(TOP, "out", "debian13", "tars")


def download(names):
    """The files of the packages and of all they depend on; what cannot be had ends the program."""
    command = [os.path.join(TOP, "scripts", "debian13"), "closure", *names]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()


def plain_tar(package):
    """The path of a package's files as a plain tar."""
    path = os.path.join(TARS, os.path.basename(package) + ".tar")
    if not os.path.exists(path):
        os.makedirs(TARS, exist_ok=True)
        with open(f"{path}.{os.getpid()}", "wb") as output:
            subprocess.run(["dpkg-deb", "--fsys-tarfile", package], check=True, stdout=output)
        os.replace(f"{path}.{os.getpid()}", path)
    return path


def name_and_version(package):
    """As its file name has them: NAME_VERSION_ARCHITECTURE.deb."""
    name, version = os.path.basename(package).split("_")[:2]
    return name, urllib.parse.unquote(version)


class Packages:
    """All files of some packages by path. Close it, or use it in a with statement."""

    def __init__(self, files):
        self.tars = []
        self.members = {}
        self.versions = {}
        for file in files:
            name, version = name_and_version(file)
            self.versions[name] = version
            tar = tarfile.open(plain_tar(file))
            self.tars.append(tar)
            for member in tar:
                path = posixpath.normpath(member.name)
                if path != ".":
                    self.members[path] = (tar, member, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for tar in self.tars:
            tar.close()

    def entry(self, path):
        """The file of that path, which must exist, as an Entry; a hard link becomes a copy."""
        tar, member, package = self.members[path]
        if member.isdir():
            return archive.Entry(stat.S_IFDIR | (member.mode & 0o7777), b"", package)
        if member.issym():
            return archive.Entry(stat.S_IFLNK | 0o777, member.linkname.encode(), package)
        return archive.regular(member.mode & 0o7777, tar.extractfile(member).read(), package)

    def data(self, path):
        return self.entry(path).data

    def licences(self, package):
        """The short names of the licences in the package's copyright file, as it spells them."""
        path = f"usr/share/doc/{package}/copyright"
        if path not in self.members or not self.members[path][1].isreg():
            return []
        text = self.data(path).decode(errors="replace")
        names = re.findall(r"^License: *(\S.*?)\s*$", text, re.MULTILINE)
        names += re.findall(r"/usr/share/common-licenses/([A-Za-z]+[A-Za-z0-9.-]*[0-9A-Za-z])", text)
        return sorted(set(names))

# SPDX-License-Identifier: Apache-2.0
"""The recipe of an image: a text file of lines, one statement each, # begins a comment.

Where files come from and what is done with them, in this order:
  package NAME...          Debian packages that files are taken from, with all they depend on
  keep PATTERN...          take files whose path matches (shell pattern, * crosses slashes)
  drop PATTERN...          leave them out; of keep and drop the last that matches wins
  modules NAME...          take these kernel modules and what they depend on, unpacked
  libraries                take the shared libraries that the programs among the files need
  busybox                  link each busybox applet that no other file supplies
  directory PATH...        make an empty directory
  link PATH TARGET         make a symbolic link
  file PATH MODE SOURCE    add a file of ours; SOURCE is relative to the recipe or a --files folder
  tree PATH SOURCE         add a whole folder below PATH, with its modes
  service NAME SOURCE      add a program that init starts, in the order of the recipe
  beside NAME PATTERN      leave the packages' one file that matches beside the image
  include RECIPE           another recipe's statements, here; relative to this one
What a toolstack has to know of the domain that runs the image; written to "settings":
  summary TEXT...          one line for people
  memory MIB               how much the domain needs
  devices CLASS...         PCI devices it takes, by the classes of the launch configuration
  restart POLICY           always, on-failure or never: what to do when the domain has ended

Each statement remembers where it stands, and every mistake is a RecipeError that begins with it.
"""

import dataclasses
import os
import re


class RecipeError(Exception):
    """A mistake in a recipe: "FILE:LINE: reason"."""


# For each statement the least and the greatest number of its words, None for no limit.
STATEMENTS = {
    "package": (1, None),
    "keep": (1, None),
    "drop": (1, None),
    "modules": (1, None),
    "libraries": (0, 0),
    "busybox": (0, 0),
    "directory": (1, None),
    "link": (2, 2),
    "file": (3, 3),
    "tree": (2, 2),
    "service": (2, 2),
    "beside": (2, 2),
    "include": (1, 1),
    "summary": (1, None),
    "memory": (1, 1),
    "devices": (1, None),
    "restart": (1, 1),
}
# Of these the last one counts, so that a recipe may change what it includes.
SETTINGS = ("summary", "memory", "devices", "restart")
# How words of some statements must look, all of them or the one of that number.
SHAPES = {
    ("package", None): (r"[a-z0-9][a-z0-9+.-]*", "is no name of a package"),
    ("directory", None): (r"/.*", "does not begin with /"),
    ("link", 0): (r"/.*", "does not begin with /"),
    ("file", 0): (r"/.*", "does not begin with /"),
    ("file", 1): (r"0[0-7]{3,4}", "is no mode such as 0644"),
    ("tree", 0): (r"/.*", "does not begin with /"),
    ("service", 0): (r"[a-z][a-z0-9-]*", "is no name of a service"),
    ("beside", 0): (r"[A-Za-z0-9][A-Za-z0-9._-]*", "is no name of a file"),
    ("memory", 0): (r"[1-9][0-9]*", "is no number of MiB"),
    ("devices", None): (
        r"storage|ahci|nvme|network|audio|usb",
        "is none of storage, ahci, nvme, network, audio, usb",
    ),
    ("restart", 0): (r"always|on-failure|never", "is none of always, on-failure, never"),
}


@dataclasses.dataclass
class Statement:
    """One line: its verb, its words, and "FILE:LINE"."""

    verb: str
    words: list
    where: str
    folder: str

    def mistake(self, reason):
        return RecipeError(f"{self.where}: {reason}")


def check(statement):
    """Raises RecipeError unless the statement is one and its words look as they must."""
    verb, words = statement.verb, statement.words
    if verb not in STATEMENTS:
        raise statement.mistake(f"there is no statement {verb!r}; there are: {', '.join(STATEMENTS)}")
    least, most = STATEMENTS[verb]
    if len(words) < least or (most is not None and len(words) > most):
        wanted = f"{least}" if most == least else f"{least} or more"
        raise statement.mistake(f"{verb} takes {wanted} words, here are {len(words)}")
    for (of, number), (pattern, reason) in SHAPES.items():
        chosen = words if number is None else words[number : number + 1]
        for word in chosen if of == verb else ():
            if not re.fullmatch(pattern, word):
                raise statement.mistake(f"{word} {reason}")


def read(path, included_from=()):
    """The statements of the recipe, with those of what it includes in their place."""
    if path in included_from:
        raise RecipeError(f"{path}: includes itself")
    statements = []
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            words = line.split("#")[0].split()
            if not words:
                continue
            where = f"{os.path.relpath(path)}:{number}"
            statement = Statement(words[0], words[1:], where, os.path.dirname(path))
            check(statement)
            if statement.verb == "include":
                other = os.path.normpath(os.path.join(statement.folder, statement.words[0]))
                if not os.path.isfile(other):
                    raise statement.mistake(f"there is no recipe {other}")
                statements += read(other, (*included_from, path))
            else:
                statements.append(statement)
    return statements


class Recipe:
    """All statements of a recipe; raises RecipeError for the first mistake."""

    def __init__(self, path, folders=()):
        self.path = os.path.abspath(path)
        self.folders = [os.path.abspath(folder) for folder in folders]
        self.statements = read(self.path)

    def all(self, *verbs):
        """The statements with one of the verbs, in the recipe's order."""
        return [statement for statement in self.statements if statement.verb in verbs]

    def words(self, verb):
        """(word, statement) for each word of the verb's statements."""
        return [(word, statement) for statement in self.all(verb) for word in statement.words]

    def settings(self):
        """What the toolstack has to know, as words by name."""
        return {statement.verb: statement.words for statement in self.all(*SETTINGS)}

    def source(self, statement):
        """The path of the file or folder that a statement names last."""
        name = statement.words[-1]
        for folder in (statement.folder, *self.folders):
            if os.path.exists(os.path.join(folder, name)):
                return os.path.join(folder, name)
        raise statement.mistake(f"there is no file {name}")

# SPDX-License-Identifier: Apache-2.0
"""What a 64-bit ELF program says it needs: its interpreter and its shared libraries.

The files come from signed packages or from our own build, so a file that is not what it should be
is a mistake to be seen (struct.error, ValueError), not an attack to be survived.
"""

import struct

PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NULL, DT_NEEDED, DT_STRTAB = 0, 1, 5


def is_program(data):
    return data[:5] == b"\x7fELF\x02"


def segments(data):
    """(type, offset in the file, address, size in the file) of each program header."""
    offset, size, count = struct.unpack_from("<32xQ14xHH", data)
    for number in range(count):
        kind, _, start, address, _, length = struct.unpack_from("<IIQQQQ", data, offset + number * size)
        yield kind, start, address, length


def text(data, offset):
    return data[offset : data.index(b"\0", offset)].decode()


def dynamic_entries(data, start, length):
    for offset in range(start, start + length, 16):
        tag, value = struct.unpack_from("<QQ", data, offset)
        if tag == DT_NULL:
            return
        yield tag, value


def needed(data):
    """The interpreter's path (None without one) and the names of the libraries."""
    interpreter, entries, loaded = None, [], []
    for kind, start, address, length in segments(data):
        if kind == PT_INTERP:
            interpreter = text(data, start)
        elif kind == PT_LOAD:
            loaded.append((start, address, length))
        elif kind == PT_DYNAMIC:
            entries = list(dynamic_entries(data, start, length))
    names = [value for tag, value in entries if tag == DT_NEEDED]
    if not names:
        return interpreter, []
    table = next(value for tag, value in entries if tag == DT_STRTAB)
    start = next(start + table - at for start, at, length in loaded if at <= table < at + length)
    return interpreter, [text(data, start + name) for name in names]

# SPDX-License-Identifier: Apache-2.0
"""How many instructions a boot takes, in three parts, on a machine that counts them.

With -icount shift=0 QEMU's virtual clock advances one nanosecond an executed instruction (of any
processor, and skips ahead when all are idle), so reading that clock where the machine is stopped
counts instructions. It is stopped by hardware breakpoints at the hypervisor's entry point and at
domain 0's kernel entry point, and by the device pvpanic when domain 0's shell is about to start.

The clock is read from two of the machine's own devices through QEMU's monitor: whole seconds from
the real-time clock, the rest from the ACPI timer, whose 24 bits last 4.7 s at 3579545 Hz. So a
reading is good to 280 instructions.
"""

import calendar
import concurrent.futures
import re
import struct
import subprocess

import pexpect

import machine

PM_TIMER_PORT = 0x608
PM_TIMER_HZ = 3579545
PM_TIMER_WRAP = 1 << 24
NOTE_PHYS32_ENTRY = 18
PT_LOAD = 1


def hypervisor_entry(path):
    """The physical address at which a boot loader enters an ELF32 file.

    Loaders take an entry address inside a segment's virtual addresses to mean the same place of
    the segment's physical ones.
    """
    with open(path, "rb") as file:
        image = file.read(4096)
    entry, program_headers = struct.unpack_from("<II", image, 24)
    size, count = struct.unpack_from("<HH", image, 42)
    for index in range(count):
        base = program_headers + index * size
        kind, _, virtual, physical, file_size = struct.unpack_from("<IIIII", image, base)
        if kind == PT_LOAD and virtual <= entry < virtual + file_size:
            return entry - virtual + physical
    return entry


def unpacked_kernel(path):
    """The vmlinux inside a bzImage whose payload is zstd, as the boot protocol locates it."""
    with open(path, "rb") as file:
        image = file.read()
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (image[0x1F1] + 1) * 512 + offset
    # The last four bytes are the unpacked size, which zstd does not want to see.
    payload = image[start : start + length - 4]
    return subprocess.run(["zstd", "-dc"], input=payload, check=True, stdout=subprocess.PIPE).stdout


def notes(elf):
    """Yields (owner, type, contents) of each note of an ELF64 file."""
    (program_headers,) = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    for index in range(count):
        base = program_headers + index * size
        kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", elf, base)
        end = offset + length
        while kind == 4 and offset < end:
            name_size, contents_size, note_type = struct.unpack_from("<III", elf, offset)
            name = offset + 12
            contents = name + (name_size + 3 & ~3)
            owner = elf[name : name + name_size].rstrip(b"\0")
            yield owner, note_type, elf[contents : contents + contents_size]
            offset = contents + (contents_size + 3 & ~3)


def kernel_entry(path):
    """Where a PVH domain starts to run the kernel."""
    for owner, note_type, contents in notes(unpacked_kernel(path)):
        if (owner, note_type) == (b"Xen", NOTE_PHYS32_ENTRY):
            return int.from_bytes(contents, "little")
    raise ValueError(f"{path} has no PVH entry point")


class Clock:
    """Instructions since the first reading; the machine must be stopped."""

    def __init__(self, monitor):
        self.monitor = monitor
        self.begin = None

    def raw(self):
        date = self.monitor.execute("qom-get", path="/machine", property="rtc-time")
        fields = ("tm_year", "tm_mon", "tm_mday", "tm_hour", "tm_min", "tm_sec")
        year, month, *rest = (date[field] for field in fields)
        seconds = calendar.timegm((year + 1900, month + 1, *rest))
        text = self.monitor.human(f"i /w {PM_TIMER_PORT:#x}")
        return seconds, int(re.search(r"=\s*(0x[0-9a-f]+)", text).group(1), 16) % PM_TIMER_WRAP

    def instructions(self):
        now = self.raw()
        if self.begin is None:
            self.begin = now
        ticks = (now[1] - self.begin[1]) % PM_TIMER_WRAP
        wrap_seconds = PM_TIMER_WRAP / PM_TIMER_HZ
        wraps = round((now[0] - self.begin[0] - ticks / PM_TIMER_HZ) / wrap_seconds)
        return round((wraps * PM_TIMER_WRAP + ticks) * 1e9 / PM_TIMER_HZ)


def while_listening(booted, wait, *arguments):
    """Calls wait(*arguments) and takes in what the console says meanwhile.

    A console that nobody reads blocks QEMU's serial port, and the machine waits for it.
    """
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as executor:
        waiting = executor.submit(wait, *arguments)
        while not waiting.done():
            booted.console.expect([pexpect.TIMEOUT, pexpect.EOF], timeout=0.2)
        waiting.result()


def measure(configuration):
    """Boots once; returns instructions to domain 0's entry, and from there to its shell.

    The machine is left at domain 0's shell for the caller, who closes it.
    """
    booted = machine.Machine(configuration)
    booted.start()
    try:
        clock = Clock(booted.monitor)
        booted.debugger.continue_until(hypervisor_entry(configuration.hypervisor_path()), 120)
        clock.instructions()
        kernel = kernel_entry(configuration.module_list()[0].split()[0])
        while_listening(booted, booted.debugger.continue_until, kernel, 900)
        to_entry = clock.instructions()
        booted.debugger.detach()
        while_listening(booted, booted.monitor.wait_event, "GUEST_PANICKED", 1800)
        to_shell = clock.instructions() - to_entry
        booted.monitor.execute("cont")
        booted.expect(machine.SHELL_PROMPT, 300)
        booted.prepare_shell()
    except BaseException:
        booted.close()
        raise
    return booted, to_entry, to_shell

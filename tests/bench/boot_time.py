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
import os
import re
import struct
import subprocess

import pexpect

import machine
import report
from report import Measure

TO_ENTRY = "entry to domain 0's first instruction, million instructions"
TO_SHELL = "domain 0's first instruction to its shell, million instructions"
TAKEN = "memory taken from the machine, MiB"

DOM0_MEMORY = 1024
PM_TIMER_PORT = 0x608
PM_TIMER_HZ = 3579545
PM_TIMER_WRAP = 1 << 24
NOTE_PHYS32_ENTRY = 18
PT_LOAD = 1

# With -icount, QEMU 7.2 gives no other processor a turn while one spins without PAUSE, as Linux
# does on a second processor that measures its delay loop: the result is given instead.
DOM0_OPTIONS = "lpj=4000000"


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


def pvh_entry(elf):
    """Where a PVH domain starts to run an ELF64 kernel."""
    for owner, note_type, contents in notes(elf):
        if (owner, note_type) == (b"Xen", NOTE_PHYS32_ENTRY):
            return int.from_bytes(contents, "little")
    raise ValueError("the kernel has no PVH entry point")


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


def boot(configuration):
    """Boots once; returns instructions to domain 0's entry, and from there to its shell.

    The machine is left at domain 0's shell for the caller, who closes it.
    """
    booted = machine.Machine(configuration)
    booted.start()
    try:
        clock = Clock(booted.monitor)
        booted.debugger.continue_until(hypervisor_entry(configuration.hypervisor_path()), 120)
        clock.instructions()
        kernel = pvh_entry(unpacked_kernel(configuration.module_list()[0].split()[0]))
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


def memory_taken(dom0, machine_memory):
    """MiB that neither domain 0 nor the free list has, with only domain 0 running."""
    free = int(dom0.check("xl info free_memory"))
    owned = int(dom0.check("xl list 0 | awk 'NR == 2 {print $3}'"))
    return machine_memory - free - owned


def measures(options):
    return [
        Measure(TO_ENTRY, 0.5, decimals=1),
        Measure(TO_SHELL, 0.7, decimals=1),
        Measure(TAKEN, 12 + 0.006 * options.memory, absolute=True, decimals=1),
    ]


def measure(hypervisor, options):
    """Returns a dictionary: a measure's name to its figure."""
    configuration = machine.Configuration(
        hypervisor=hypervisor,
        hypervisor_file=options.kernel if hypervisor == "bulkhead" else None,
        cpus=options.cpus,
        memory=options.memory,
        dom0_memory=DOM0_MEMORY,
        devices=("pvpanic",),
        dom0_options=f"rig.mark {DOM0_OPTIONS}",
        icount=True,
        debugger=True,
        log=os.path.join(report.OUTPUT, f"boot-{hypervisor}.log"),
    )
    booted, to_entry, to_shell = boot(configuration)
    try:
        taken = memory_taken(booted, options.memory)
    finally:
        booted.close()
    return {TO_ENTRY: to_entry / 1e6, TO_SHELL: to_shell / 1e6, TAKEN: taken}

# SPDX-License-Identifier: Apache-2.0
"""Measures guests' lives with Debian's xl, in executed instructions and MiB, on both hypervisors.

The guests are microguests that only sleep. Figures are of whole xl commands, so domain 0's own
work is in them. A command is enclosed by marks, writes to the device pvpanic that stop the machine
for its clock to be read; the cost of a mark is taken off the time between two. The first
instruction of a guest is a hardware breakpoint.
"""

import boot_time
import machine
import microguests
from report import Measure

MICROGUEST = "idle"
MARK = "#!/bin/sh\nprintf '\\001' | dd of=/dev/port bs=1 seek=1285 status=none\n"
COMMAND_SECONDS = 300
SIZES = (256, 2048)  # MiB
OVERHEAD_GUESTS = 8
OVERHEAD_MEMORY = 256
CURVE_GUESTS = 64
CURVE_MEMORY = 32
CURVE_SHOWN = (1, 2, 4, 8, 16, 32, 64)


def create_name(size):
    return f"`xl create` to the first instruction, {size} MiB, million instructions"


def destroy_name(size):
    return f"`xl destroy`, {size} MiB, million instructions"


def curve_create_name(number):
    return f"`xl create` of guest {number} to its first instruction, million instructions"


def curve_memory_name(number):
    return f"{number} guests: memory besides their own, MiB each"


OVERHEAD_NAME = f"memory besides its own for a guest of {OVERHEAD_MEMORY} MiB, MiB"
MEASURES = [
    *(Measure(create_name(size), 0.5, decimals=1) for size in SIZES),
    *(Measure(destroy_name(size), 0.5, decimals=1) for size in SIZES),
    Measure(OVERHEAD_NAME, 1.2, absolute=True, decimals=2),
    *(Measure(curve_create_name(number), decimals=1) for number in CURVE_SHOWN),
    *(Measure(curve_memory_name(number), decimals=2) for number in CURVE_SHOWN),
]


class Stopwatch:
    """A machine at domain 0's shell whose commands are timed."""

    def __init__(self, booted):
        self.booted = booted
        self.clock = boot_time.Clock(booted.monitor)
        with open(microguests.path(MICROGUEST), "rb") as file:
            self.guest_entry = boot_time.pvh_entry(file.read())
        self.overhead = 0
        self.overhead = self.time("true")[1]

    def wait_mark(self):
        boot_time.while_listening(
            self.booted, self.booted.monitor.wait_event, "GUEST_PANICKED", COMMAND_SECONDS
        )
        return self.clock.instructions()

    def wait_guest(self):
        """Lets the stopped machine run to a guest's first instruction and on from there."""
        debugger = self.booted.debugger
        debugger.connect()
        boot_time.while_listening(
            self.booted, debugger.continue_until, self.guest_entry, COMMAND_SECONDS
        )
        now = self.clock.instructions()
        debugger.detach()
        return now

    def time(self, command, starts_guest=False):
        """Million instructions to the first instruction of the guest (0: none), and to the end."""
        line = f"./mark; {command} >/dev/null; status=$?; ./mark; echo ended $status"
        self.booted.console.sendline(line)
        begin = self.wait_mark()
        if starts_guest:
            started = self.wait_guest()
        else:
            self.booted.monitor.execute("cont")
            started = begin
        end = self.wait_mark()
        self.booted.monitor.execute("cont")
        status = int(self.booted.expect(r"ended (\d+)\r*\n", COMMAND_SECONDS).group(1))
        if status:
            raise machine.MachineError(f"{command}: exit status {status}")
        return (started - begin) / 1e6, (end - begin) / 1e6 - self.overhead


def free_memory(dom0):
    """MiB, as xl tells it."""
    return int(dom0.check("xl info free_memory", timeout=60))


def measure_sizes(dom0, results):
    watch = Stopwatch(dom0)
    for size in SIZES:
        name = f"guest{size}"
        first, _ = watch.time(f"xl create -q {name}.cfg", starts_guest=True)
        results[create_name(size)] = first
        _, destroy = watch.time(f"xl destroy {name}")
        results[destroy_name(size)] = destroy


def measure_overhead(dom0, results):
    """What a guest costs besides its memory."""
    before = free_memory(dom0)
    for number in range(OVERHEAD_GUESTS):
        dom0.check(f"xl create -q many{number}.cfg", timeout=COMMAND_SECONDS)
    taken = before - free_memory(dom0)
    results[OVERHEAD_NAME] = taken / OVERHEAD_GUESTS - OVERHEAD_MEMORY


def measure_curve(dom0, results):
    watch = Stopwatch(dom0)
    before = free_memory(dom0)
    for number in range(1, CURVE_GUESTS + 1):
        first, _ = watch.time(f"xl create -q g{number}.cfg", starts_guest=True)
        if number in CURVE_SHOWN:
            taken = (before - free_memory(dom0)) / number - CURVE_MEMORY
            results[curve_create_name(number)] = first
            results[curve_memory_name(number)] = taken


def configurations():
    """All that xl will be given, and the mark."""
    guests = [microguests.guest(f"guest{size}", MICROGUEST, size) for size in SIZES]
    for number in range(OVERHEAD_GUESTS):
        guests.append(microguests.guest(f"many{number}", MICROGUEST, OVERHEAD_MEMORY))
    for number in range(1, CURVE_GUESTS + 1):
        guests.append(microguests.guest(f"g{number}", MICROGUEST, CURVE_MEMORY))
    return {"mark": MARK, **dict(guests)}


def measure(hypervisor, options):
    """Returns a dictionary: a measure's name to its figure."""
    microguests.build()
    setup = microguests.configuration("life", hypervisor, options, (MICROGUEST,), configurations())
    results = {}
    for part in (measure_sizes, measure_overhead, measure_curve):
        results.update(microguests.run(setup, part))
    return results

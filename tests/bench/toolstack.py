# SPDX-License-Identifier: Apache-2.0
"""Measures our xl beside Debian's, by turns in one boot of our hypervisor, in instructions.

Our daemons run, and both commands are served by them. The shell's "time" tells the processor time
and the wall time of a command with all its children; in a counting machine a nanosecond is an
instruction. So figures repeat but for what else domain 0 does; each is the least of some rounds.
"""

import os
import re

import boot_time
import machine
import microguests
import report
from report import Measure

OURS = "/bulkhead/usr/sbin/xl"
THEIRS = "/usr/sbin/xl"
MICROGUEST = "idle"
ROUNDS = 3
LISTINGS = 5  # in one timing
MANY = 50
SECONDS = 600
TREE = os.path.join(report.TOP, "out", "x86_64", "toolstack")


def pair(name, limit):
    """The measures of a command: processor time and wall time."""
    return [
        Measure(f"{name}, processor time, million instructions", limit, decimals=1),
        Measure(f"{name}, wall time, million instructions", limit, decimals=1),
    ]


CREATE = "`xl create` until unpaused"
CREATE_DEVICES = "`xl create` until unpaused, with a disk and an interface"
LIST_ONE = "`xl list`, 1 domain"
LIST_MANY = f"`xl list`, {MANY} domains"
SIZE = "installed size, MB"
MEASURES = [
    *pair(LIST_ONE, 0.25),
    *pair(CREATE, 0.5),
    *pair(CREATE_DEVICES, 0.5),
    *pair(LIST_MANY, 0.25),
    Measure(SIZE, 3, absolute=True, decimals=2),
]


def timed(dom0, command):
    """Million instructions of processor time and of wall time."""
    said = dom0.check(f"TIMEFORMAT='took %3U %3S %3R'; time {{ {command}; }} >/dev/null", SECONDS)
    user, system, wall = map(float, re.search(r"took ([\d.]+) ([\d.]+) ([\d.]+)", said).groups())
    return (user + system) * 1e3, wall * 1e3


def compare(dom0, results, name, command, after="true", divisor=1):
    """Times a command, in which XL stands for either xl, and keeps the least of each."""
    best = {}
    for _ in range(ROUNDS):
        for column, program in (("xen", THEIRS), ("bulkhead", OURS)):
            times = timed(dom0, command.replace("XL", program))
            dom0.check(after, timeout=SECONDS)
            best[column] = tuple(map(min, best.get(column, times), times))
    for measure, place in zip(pair(name, None), (0, 1)):
        for column, times in best.items():
            results[column][measure.name] = times[place] / divisor


def measure_commands(dom0, results):
    listings = "; ".join(["XL list"] * LISTINGS)
    results.update({column: {} for column in report.COLUMNS})
    # -e: nobody stays behind to wait for the guest's end.
    compare(dom0, results, LIST_ONE, listings, divisor=LISTINGS)
    end = f"{OURS} destroy guest"
    compare(dom0, results, CREATE, "XL create -q -e guest.cfg", end)
    devices = "'disk=[\"vdev=xvda,format=raw,target=/guest/disk.img\"]' 'vif=[\"bridge=xenbr0\"]'"
    compare(dom0, results, CREATE_DEVICES, f"XL create -q -e guest.cfg {devices}", end)
    for number in range(1, MANY):
        dom0.check(f"{OURS} create -q -e guest.cfg 'name=\"g{number}\"' memory=16", timeout=SECONDS)
    compare(dom0, results, LIST_MANY, listings, divisor=LISTINGS)


def installed_size():
    return sum(
        os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(TREE) for name in names
    )


def measure(options):
    """Returns a dictionary of results for each of the two xl, under the names of the hypervisors."""
    microguests.build()
    texts = dict([microguests.guest("guest", MICROGUEST, 256)])
    initramfs = microguests.make_initramfs("toolstack", (MICROGUEST,), texts, "dom0-toolstack.initrd")
    kernel = os.path.join(machine.IMAGES, "vmlinuz")
    setup = machine.Configuration(
        hypervisor_file=options.kernel,
        cpus=options.cpus,
        icount=True,
        debugger=True,
        modules=(f"{kernel} console=hvc0 rig.toolstack=bulkhead {boot_time.DOM0_OPTIONS}", initramfs),
        log=os.path.join(report.OUTPUT, "toolstack.log"),
    )
    results = microguests.run(setup, measure_commands)
    results.setdefault("bulkhead", {})[SIZE] = installed_size() / 1e6
    return results


def table(results):
    """As report.table, with the tools in the place of the hypervisors."""
    heading = dict(zip(report.COLUMNS.values(), ("Debian's", "ours")))
    text = report.table(MEASURES, results)
    for old, new in heading.items():
        text = text.replace(old, new, 1)
    return text

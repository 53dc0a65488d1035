# SPDX-License-Identifier: Apache-2.0
"""Measures what two guests do with each other: events, switches, grants, in executed instructions.

The microguest "bench" is one of the two, "partner" the other. Both are pinned: to the same
processor for switches between vcpus, to different ones for the rest. The figures are medians that
the guest itself takes, read from the file of its console.
"""

import re

import machine
import microguests
from report import Measure

MEASURES = [
    Measure("switch_to_domain_and_back", 0.5),
    Measure("event_to_domain_and_back", 0.5),
    Measure("grant_map_and_unmap_of_domain", 0.5),
    Measure("grant_copy_4k_of_domain", 0.5),
]
# The benchmarks that count of each run, and our processor; the partner's is 1.
RUNS = (
    (("switch_to_domain_and_back",), 1),
    (("event_to_domain_and_back", "grant_map_and_unmap_of_domain", "grant_copy_4k_of_domain"), 0),
)
MEMORY = 32  # MiB
CONSOLES = "/var/log/xen/console"
SECONDS = 120


def console(dom0, name, awaited):
    """What the guest has said when it has said the awaited."""
    log = f"{CONSOLES}/guest-{name}.log"
    dom0.check(f"wait-for {SECONDS} grep -q '{awaited}' {log}", timeout=SECONDS + 60)
    return dom0.check(f"cat {log}")


def start(dom0, name, cpu, words):
    """Starts a guest on a processor and returns its number; it stays until it is destroyed."""
    settings = f"'cpus=\"{cpu}\"' 'cmdline=\"{words}\"'"
    dom0.check(f"rm -f {CONSOLES}/guest-{name}.log")
    dom0.check(f"xl create -q {name}.cfg {settings}", timeout=SECONDS)
    return int(dom0.check(f"xl domid {name}"))


def run_pair(dom0, names, cpu, number):
    """Runs benchmarks with a partner that is to be domain @number; ours is the next."""
    results = {}
    partner = start(dom0, "partner", 1, f"peer={number + 1}")
    port = re.search(r"partner: port (\d+)", console(dom0, "partner", "partner: port")).group(1)
    if (partner, start(dom0, "bench", cpu, f"peer={number} port={port}")) != (number, number + 1):
        raise machine.MachineError("domains are not numbered in the order in which they are made")
    said = console(dom0, "bench", "microguest: end")
    for name, figure, reason in re.findall(r"bench (\w+) (?:(\d+)|failed: ([^\r\n]*))", said):
        if name in names:
            results[name] = int(figure) if figure else reason
    dom0.check("xl destroy bench; xl destroy partner", timeout=SECONDS)
    return results


def measure(hypervisor, options):
    """Returns a dictionary: a measure's name to its figure."""
    microguests.build()
    results = {}
    programs = ("bench", "partner")
    guests = dict(microguests.guest(name, name, MEMORY, on_reboot="preserve") for name in programs)
    setup = microguests.configuration("pair", hypervisor, options, programs, guests)
    with machine.Machine(setup) as booted:
        booted.debugger.detach()
        booted.wait_shell(600)
        booted.check("cd /guest/bench")
        for index, (names, cpu) in enumerate(RUNS):
            results.update(run_pair(booted, names, cpu, 2 * index + 1))
    return results

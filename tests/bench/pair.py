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
SECONDS = 120
# Names are short because they are typed.
SCRIPTS = {
    # start NAME CPU WORD... starts a guest and prints its number.
    "start": """#!/bin/sh
name=$1 cpu=$2
shift 2
rm -f /var/log/xen/console/guest-$name.log
xl create -q $name.cfg "cpus=\\"$cpu\\"" "cmdline=\\"$*\\"" && xl domid $name
""",
    # said NAME TEXT waits until a guest has said it, and prints all that it has said.
    "said": f"""#!/bin/sh
log=/var/log/xen/console/guest-$1.log
wait-for {SECONDS} grep -q "$2" $log && cat $log
""",
}


def start(dom0, name, cpu, words):
    """Starts a guest on a processor and returns its number; it stays until it is destroyed."""
    return int(dom0.check(f"./start {name} {cpu} {words}", timeout=SECONDS))


def said(dom0, name, awaited):
    return dom0.check(f"./said {name} '{awaited}'", timeout=SECONDS + 60)


def run_pair(dom0, results, names, cpu, number):
    """Runs benchmarks with a partner that is to be domain @number; ours is the next."""
    partner = start(dom0, "partner", 1, f"peer={number + 1}")
    port = re.search(r"partner: port (\d+)", said(dom0, "partner", "partner: port")).group(1)
    if (partner, start(dom0, "bench", cpu, f"peer={number} port={port}")) != (number, number + 1):
        raise machine.MachineError("domains are not numbered in the order in which they are made")
    text = said(dom0, "bench", "microguest: end")
    for name, figure, reason in re.findall(r"bench (\w+) (?:(\d+)|failed: ([^\r\n]*))", text):
        if name in names:
            results[name] = int(figure) if figure else reason
    dom0.check("xl destroy bench; xl destroy partner", timeout=SECONDS)


def run_pairs(dom0, results):
    for index, (names, cpu) in enumerate(RUNS):
        run_pair(dom0, results, names, cpu, 2 * index + 1)


def measure(hypervisor, options):
    """Returns a dictionary: a measure's name to its figure."""
    microguests.build()
    programs = ("bench", "partner")
    guests = dict(microguests.guest(name, name, MEMORY, on_reboot="preserve") for name in programs)
    texts = {**SCRIPTS, **guests}
    setup = microguests.configuration("pair", hypervisor, options, programs, texts)
    return microguests.run(setup, run_pairs)

# SPDX-License-Identifier: Apache-2.0
"""Measures single operations of a guest in executed instructions.

The microguest "bench" runs as domain 0's kernel while QEMU counts instructions (-icount shift=0),
so that figures repeat whatever else the host does. A benchmark that hangs or takes the machine down
is named, and the rest runs in another boot.
"""

import os

import machine
import microguests
import report
from report import Measure

BOOT_SECONDS = 180
LINE_SECONDS = 60
BOOTS_MAX = 6
LINE = r"(?:begin ([\w]+)|bench (\w+) (?:(\d+)|failed: ([^\r\n]*))|microguest: ([^\r\n]*))\r*\n"


MEASURES = [
    Measure("cpuid", 0.5),
    Measure("xen_version", 0.5),
    Measure("unknown_hypercall", 0.5),
    Measure("sched_yield", 0.5),
    Measure("set_timer_op", 0.5),
    Measure("set_singleshot_timer", 0.5),
    Measure("rdmsr_apic_base", 0.5),
    Measure("rdmsr_patch_level", 0.5),
    Measure("port_read_0x40", 0.5),
    Measure("port_read_0x80"),
    Measure("apic_memory_read", 0.5),
    Measure("rdtsc"),
    Measure("event_self_until_handler", 0.5),
    Measure("event_self", 0.5),
    Measure("event_to_vcpu_and_back", 0.5),
    Measure("x2apic_read", 0.5),
    Measure("x2apic_eoi_idle", 0.5),
    Measure("x2apic_eoi_in_service", 0.5),
    Measure("x2apic_self_ipi", 0.5),
    Measure("x2apic_ipi_to_vcpu_and_back", 0.5),
    Measure("decrease_and_populate", 0.5),
    Measure("decrease_and_populate_2m", 0.5),
    Measure("decrease"),
    Measure("populate"),
    Measure("decrease_2m"),
    Measure("populate_2m"),
    Measure("grant_copy_4k_by_frame", 0.5),
    Measure("grant_copy_4k", 0.5),
    Measure("grant_map_and_unmap"),
    Measure("xen_version_with_sse_in_use", 0.5),
    Measure("device_interrupt_until_handler"),
]

# What leads to one exit and does nothing else.
EXITS = (
    "port_read_0x40",
    "rdmsr_apic_base",
    "xen_version",
    "x2apic_eoi_idle",
    "cpuid",
    "set_timer_op",
    "sched_yield",
)


def configuration(hypervisor, options, skip, boot):
    words = [microguests.path("bench")]
    if options.only:
        words.append("only=" + ":".join(options.only))
    if skip:
        words.append("skip=" + ":".join(skip))
    return machine.Configuration(
        hypervisor=hypervisor,
        hypervisor_file=options.kernel if hypervisor == "bulkhead" else None,
        memory=2048,
        dom0_memory=512,
        icount=True,
        devices=("edu",),
        modules=(" ".join(words),),
        log=os.path.join(report.OUTPUT, f"micro-{hypervisor}-{boot}.log"),
    )


def run_boot(setup, results):
    """Boots once and adds to the results. Returns True when there is no more to do."""
    running = None
    with machine.Machine(setup) as guest:
        timeout = BOOT_SECONDS
        while True:
            try:
                match = guest.expect(LINE, timeout)
            except machine.MachineError as error:
                reason = str(error).split(" before ", maxsplit=1)[0]
                if running is None:
                    results["boot"] = reason
                    return True
                results[running] = reason
                return False
            timeout = LINE_SECONDS
            begun, name, value, failure, end = match.groups()
            if begun:
                running = begun
            elif name:
                results[name] = int(value) if value else failure
                running = None
            elif end == "end":
                return True
            else:
                results[running or "boot"] = end
                return running is None


def measure(hypervisor, options):
    """Returns a dictionary: name to figure or, in words, why there is none."""
    microguests.build()
    results = {}
    for boot in range(1, BOOTS_MAX + 1):
        done = [name for name in results if name != "overhead"]
        if run_boot(configuration(hypervisor, options, done, boot), results):
            break
    if "boot" in results:
        raise machine.MachineError(f"the microguest did not run: {results['boot']}")
    return results

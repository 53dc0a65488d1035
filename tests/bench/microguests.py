# SPDX-License-Identifier: Apache-2.0
"""Microguests as guests of the rig's domain 0: built, in its file system, configured for xl.

Domain 0's initramfs gets them in a second archive after the rig's own, all in /guest/bench. The
configurations are not typed at the console: the incumbent's buffer for it has 128 bytes.

QEMU 7.2 delivers injected interrupts twice, of which domain 0 may die on the incumbent. So what is
measured in one boot is tried again, and what was found before a death counts.
"""

import os
import shutil
import subprocess
import sys

import archive
import boot_time
import machine
import report

ATTEMPTS = 4
# How it shows that the machine has died: at its console, its monitor, its debugger.
DEATHS = (machine.MachineError, RuntimeError, ConnectionError, TimeoutError)
FOLDER = os.path.join(report.TOP, "out", "microguests")


def build():
    source = os.path.join(report.TOP, "tests", "microguests")
    subprocess.run(["make", "-s", "-C", source], check=True)


def path(name):
    return os.path.join(FOLDER, name)


def guest(name, kernel, memory, **settings):
    """The configuration of a guest for xl: its file's name and text."""
    settings |= {"name": name, "type": "pvh", "kernel": f"/guest/bench/{kernel}"}
    lines = [f'{key}="{value}"' for key, value in settings.items()] + [f"memory={memory}"]
    return f"{name}.cfg", "\n".join(lines) + "\n"


def make_initramfs(section, programs, texts, base="dom0.initrd"):
    """Domain 0's initramfs with the microguests and texts (by name); returns the file's path."""
    output = os.path.join(report.OUTPUT, f"{section}.initrd")
    entries = {}
    for name in programs:
        with open(path(name), "rb") as file:
            entries[f"guest/bench/{name}"] = archive.regular(0o755, file.read())
    for name, text in texts.items():
        entries[f"guest/bench/{name}"] = archive.regular(0o755, text.encode())
    archive.add_parents(entries)
    archive.write(entries, output + ".addition")
    with open(output, "wb") as whole:
        for part in (os.path.join(machine.IMAGES, base), output + ".addition"):
            with open(part, "rb") as source:
                shutil.copyfileobj(source, whole)
            whole.write(b"\0" * (-whole.tell() % 4))
    return output


def configuration(section, hypervisor, options, programs, texts):
    """A counting machine whose domain 0 has these microguests and texts."""
    kernel = os.path.join(machine.IMAGES, "vmlinuz") + f" console=hvc0 {boot_time.DOM0_OPTIONS}"
    return machine.Configuration(
        hypervisor=hypervisor,
        hypervisor_file=options.kernel if hypervisor == "bulkhead" else None,
        cpus=options.cpus,
        devices=("pvpanic",),
        icount=True,
        debugger=True,
        modules=(kernel, make_initramfs(section, programs, texts)),
        log=os.path.join(report.OUTPUT, f"{section}-{hypervisor}.log"),
    )


def run(setup, part):
    """Boots and returns what part(booted, results) puts into its results."""
    best = {}
    for attempt in range(ATTEMPTS):
        results = {}
        try:
            with machine.Machine(setup) as booted:
                booted.debugger.detach()
                booted.wait_shell(600)
                booted.check("cd /guest/bench")
                part(booted, results)
            return results
        except DEATHS as error:
            reason = str(error).splitlines()[0]
            print(f"{setup.hypervisor}, {part.__name__}, {attempt}: {reason}", file=sys.stderr)
            best = max(best, results, key=len)
    return best

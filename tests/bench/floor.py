# SPDX-License-Identifier: Apache-2.0
"""The least that any exit can cost: the world switch alone, counted in the built hypervisor.

The function that enters a guest and comes back is straight-line code, so its instructions on the
page are those that are executed: registers exchanged, VMLOAD, VMRUN, VMSAVE, and nothing decided.
"""

import os
import re
import subprocess

import report

SYMBOLS = os.path.join(report.TOP, "out", "x86_64", "bulkhead-syms")
FUNCTION = "svm_enter"


def instructions():
    """How many instructions the world switch takes; ValueError if that cannot be read off."""
    text = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", f"--disassemble={FUNCTION}", SYMBOLS],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    operations = re.findall(r"^\s*[0-9a-f]+:\s+(\S+)", text, re.MULTILINE)
    if not operations or any(name.startswith(("j", "call", "rep", "loop")) for name in operations):
        raise ValueError(f"{FUNCTION} is not there, or no longer straight-line code")
    return operations.index("ret") + 1


def table(results, names):
    """Our exits beside the floor."""
    floor = instructions()
    lines = [
        "| operation | Bulkhead | world switch | times the floor |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name in names:
        value = results.get("bulkhead", {}).get(name)
        if isinstance(value, int):
            lines.append(f"| {name} | {value} | {floor} | {value / floor:.1f} |")
    return "\n".join(lines) + "\n"

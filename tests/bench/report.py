# SPDX-License-Identifier: Apache-2.0
"""What a benchmark found, and its Markdown table: the incumbent beside us, with ratio and target.

A section is a list of Measure; its results are dictionaries from a measure's name to a number, or
to words that say why there is none. A target is met when ours is at most limit times the
incumbent's or, for an absolute one, at most the limit.
"""

import dataclasses
import os

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OUTPUT = os.path.join(TOP, "out", "bench")
COLUMNS = {"xen": "Xen 4.20", "bulkhead": "Bulkhead"}


@dataclasses.dataclass
class Measure:
    """A row: what is measured, and how much of it is allowed."""

    name: str
    limit: float = None
    absolute: bool = False
    decimals: int = 0

    def show(self, value):
        if isinstance(value, (int, float)):
            return f"{value:,.{self.decimals}f}"
        return "" if value is None else value

    def judge(self, theirs, ours):
        """The cells for ratio, target and verdict."""
        both = all(isinstance(value, (int, float)) for value in (theirs, ours)) and theirs > 0
        ratio = ours / theirs if both else None
        found = ours if self.absolute else ratio
        target = "" if self.limit is None else f"≤ {self.limit:,.{1 if self.absolute else 2}f}"
        verdict = ""
        if target and isinstance(found, (int, float)):
            verdict = "met" if found <= self.limit else "missed"
        return "" if ratio is None else f"{ratio:.2f}", target, verdict


def table(measures, results):
    """The Markdown table of a section; results maps a hypervisor's name to its results."""
    lines = [
        f"| measure | {' | '.join(COLUMNS.values())} | ratio | target | |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for measure in measures:
        values = [results.get(hypervisor, {}).get(measure.name) for hypervisor in COLUMNS]
        if all(value is None for value in values):
            continue
        cells = [measure.show(value) for value in values] + list(measure.judge(*values))
        lines.append(f"| {measure.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"

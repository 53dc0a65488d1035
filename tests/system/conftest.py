# SPDX-License-Identifier: Apache-2.0
"""What all system scenarios share: the switches, the machines, and the results file.

A scenario is a test function that takes a booted machine (fixture dom0, one boot shared by a whole
file) or boots its own (fixture boot). Results go to out/test-results/system.txt, one line per
scenario, named FILE::FUNCTION as pytest names it.
"""

import os
import re
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, "tests", "rig"))

import machine  # noqa: E402 (found only after the line above)

RESULTS = os.path.join(TOP, "out", "test-results")


def pytest_addoption(parser):
    parser.addoption("--hypervisor", choices=list(machine.HYPERVISORS), default="bulkhead")
    parser.addoption("--dom0", choices=("pvh", "pv"), default="pvh")
    parser.addoption("--toolstack", choices=list(machine.TOOLSTACKS), default="debian")
    parser.addoption("--long", action="store_true", help="what takes hours, too")
    parser.addoption("--kills", type=int, default=1, help="how often each driver domain dies")


# Where the lines of this run go: tests/system/run names a file for each call.
RESULT_FILE = os.path.join(RESULTS, os.environ.get("BULKHEAD_RESULT_FILE", "system.txt"))


def pytest_configure(config):
    config.addinivalue_line("markers", "only(hypervisor): the scenario has no meaning elsewhere")
    os.makedirs(RESULTS, exist_ok=True)
    open(RESULT_FILE, "w", encoding="utf-8").close()


def pytest_collection_modifyitems(config, items):
    """Takes out what cannot apply to the chosen hypervisor."""
    chosen = config.getoption("--hypervisor")
    kept, dropped = [], []
    for item in items:
        mark = item.get_closest_marker("only")
        (kept if mark is None or mark.args[0] == chosen else dropped).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=dropped)


def result_name(report):
    return re.sub(r"^.*?([^/]+\.py::)", r"\1", report.nodeid)


def pytest_runtest_logreport(report):
    """Writes one line a scenario: its call, or its set-up when that already failed."""
    if report.when == "call" or report.failed:
        word = "PASS" if report.passed else "FAIL"
        with open(RESULT_FILE, "a", encoding="utf-8") as results:
            results.write(f"{word} {result_name(report)}\n")


class Booter:
    """Makes machines with the switches of this run, under the name of the scenario."""

    def __init__(self, options, name):
        self.options = options
        self.name = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)
        self.count = 0

    def configuration(self, **settings):
        self.count += 1
        chosen = {
            "hypervisor": self.options.getoption("--hypervisor"),
            "dom0": self.options.getoption("--dom0"),
            "toolstack": self.options.getoption("--toolstack"),
            "log": os.path.join(RESULTS, "consoles", f"{self.name}-{self.count}.log"),
        }
        chosen.update(settings)
        return machine.Configuration(**chosen)

    def __call__(self, **settings):
        """A machine that is off; use it in a with statement."""
        return machine.Machine(self.configuration(**settings))

    def to_shell(self, **settings):
        """A machine at domain 0's shell; the caller closes it.

        With a host thread for each processor the emulator breaks a kernel now and then (machine.py
        says how), and the incumbent's domain 0 then also dies of a triple fault in about one boot of
        five. Such a death says nothing and is tried again; on one thread it counts.
        """
        attempts = 4 if settings.get("threads") else 1
        for attempt in range(attempts):
            running = self(**settings)
            try:
                running.start()
                running.wait_shell()
                return running
            except machine.MachineError:
                running.close()
                died = re.search(
                    "triple fault|Oops: int3|Domain 0 has crashed", running.transcript.text, re.I
                )
                if not died or attempt == attempts - 1:
                    raise
                print(f"domain 0 died; attempt {attempt + 2}")


@pytest.fixture
def boot(request):
    return Booter(request.config, request.node.name)


def pytest_generate_tests(metafunc):
    """A file with MACHINES, a dictionary of settings by name, runs once on each of them."""
    machines = getattr(metafunc.module, "MACHINES", None)
    if machines and "dom0" in metafunc.fixturenames:
        metafunc.parametrize("dom0", list(machines), indirect=True, scope="module")


@pytest.fixture(scope="module")
def dom0(request):
    """A machine at domain 0's shell, shared by the scenarios of one file.

    A file says what machine it wants with a dictionary CONFIGURATION, or a function that returns
    one; MACHINES has what differs.
    """
    settings = getattr(request.module, "CONFIGURATION", {})
    settings = dict(settings() if callable(settings) else settings)
    name = request.module.__name__
    if hasattr(request, "param"):
        settings.update(request.module.MACHINES[request.param])
        name += "-" + request.param
    running = Booter(request.config, name).to_shell(**settings)
    yield running
    running.close()

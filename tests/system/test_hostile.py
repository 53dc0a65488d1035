# SPDX-License-Identifier: Apache-2.0
"""Guests that mean harm: after and during all that they try, domain 0 answers, the hypervisor has
nothing fatal to say, and their memory comes back to the page.

With --long they try fifty times as much. Their seeds are in the consoles' logs.
"""

import pytest

from guests import console, free_pages, microguest, wait_console, wait_free_pages, wait_gone
from hostile import finish, last_crash, must_answer

CONFIGURATION = {"memory": 4096}
memory = {}


@pytest.fixture
def times(request):
    """How many times as much as in a normal run a guest does."""
    return 50 if request.config.getoption("--long") else 1


def wait_done(dom0, name, seconds):
    """Waits for the guest's end; domain 0 answers meanwhile."""
    must_answer(dom0)
    said = wait_console(dom0, name, "hostile: done", seconds)
    wait_gone(dom0, name)
    return said


def test_a_guest_comes_and_goes(dom0):
    """What the first guest leaves in place for the next is there when memory is counted."""
    microguest(dom0, "first", "hostile", "mode=storm count=100")
    wait_done(dom0, "first", 60)
    memory["before"] = free_pages(dom0)


def test_random_hypercalls(dom0, times):
    print(finish(dom0, "calls", "hypercalls", 200000 * times, 600 * times, vcpus=2))


def test_registers_and_ports(dom0):
    microguest(dom0, "registers", "hostile", "mode=registers")
    print(wait_done(dom0, "registers", 300))


def test_instructions_on_devices_and_privileged_state(dom0, times):
    print(finish(dom0, "kernel", "instructions", 5000 * times, 300 * times, vcpus=2))


def test_instructions_in_user_mode(dom0, times):
    microguest(dom0, "user", "hostile", f"mode=user count={10000 * times}")
    print(wait_done(dom0, "user", 300 * times))


def test_storm_of_events_and_interrupts(dom0, times):
    microguest(dom0, "storm", "hostile", f"mode=storm count={10000 * times}", vcpus=4)
    said = wait_done(dom0, "storm", 300 * times)
    assert "hostile: 4 vcpus" in said and " 0 events lost" in said, said


def test_grants_of_dying_partners(dom0):
    partners = "mode=grants count=0"
    for name in ("one", "two", "three"):
        microguest(dom0, name, "hostile", partners)
    for victim in ("two", "one", "three"):
        said = wait_console(dom0, victim, "[1-9][0-9]* mapped.*[1-9][0-9]* copied", 120)
        assert "there is no grant table" not in said
        dom0.check(f"xl destroy {victim}", timeout=60)
        must_answer(dom0)
        microguest(dom0, victim, "hostile", partners)
    dom0.check("for name in one two three; do xl destroy $name; done", timeout=120)
    wait_gone(dom0, "one", "two", "three")


def test_running_into_nothing(dom0):
    """A process that jumps to where no memory is gets an exception; its kernel's domain ends."""
    microguest(dom0, "nothing", "hostile", "mode=nothing")
    wait_console(dom0, "nothing", "user mode got exception 6", 30)
    wait_gone(dom0, "nothing")
    assert "there was something" not in console(dom0, "nothing")
    assert "no memory to fetch instructions from at 10000000" in last_crash(dom0)


def test_random_bytes_in_kernel_mode(dom0):
    names = [f"chaos{seed}" for seed in range(1, 5)]
    for seed, name in enumerate(names, 1):
        microguest(dom0, name, "hostile", f"mode=chaos count=0 seed={seed}")
    dom0.check("sleep 5")
    must_answer(dom0)
    # One that ends itself at once may not have been heard.
    assert "mode chaos" in "".join(console(dom0, name) for name in names)
    for name in names:
        dom0.run(f"xl destroy {name}", timeout=60)
    wait_gone(dom0, *names)


def test_nothing_is_lost(dom0):
    assert dom0.check("xl list").count("\n") == 1
    wait_free_pages(dom0, memory["before"], blocks=2)
    said = dom0.check("xl dmesg")
    assert "FATAL" not in said.upper() and "Assertion" not in said

# SPDX-License-Identifier: Apache-2.0
"""What Debian's tools do to running guests: where their vcpus run, how much, what they contain.

The guests are microguests that say every two seconds that they live.
"""

import pytest
from guests import CONSOLES, microguest, wait_console, wait_gone

CONFIGURATION = {"cpus": 2, "memory": 4096}
TOOLS = "/usr/lib/xen-4.20/bin"


@pytest.fixture(scope="module")
def guest(dom0):
    microguest(dom0, "guest", "ticker")
    wait_alive(dom0)
    return dom0


def wait_alive(dom0, name="guest"):
    """It says something new."""
    dom0.check(f": >{CONSOLES}/guest-{name}.log")
    wait_console(dom0, name, "ticker: [0-9]", 60)


def vcpus(dom0, name="guest"):
    """The lines of xl vcpu-list without the name: CPU, state, time, affinities."""
    return [line.split()[3:] for line in dom0.check(f"xl vcpu-list {name}").splitlines()[1:]]


def table(text):
    """Rows of a tool's table by their first column, each a dictionary by the table's heading."""
    heading, *rows = [line.split() for line in text.splitlines()]
    return {row[0]: dict(zip(heading, row)) for row in rows}


def test_affinities(guest):
    for cpu in ("0", "1"):
        guest.check(f"xl vcpu-pin guest 0 {cpu} 1")
        wait_alive(guest)
        assert vcpus(guest)[0][0] == cpu and vcpus(guest)[0][3:] == [cpu, "/", "1"]
    guest.check("xl vcpu-pin guest all all all")
    assert vcpus(guest)[0][3:] == ["all", "/", "all"]


def test_sched_credit2(guest):
    guest.check("xl sched-credit2 -d guest -w 512 -c 50")
    assert guest.check("xl sched-credit2 -d guest").split()[-2:] == ["512", "50"]
    wait_alive(guest)
    guest.check("xl sched-credit2 -d guest -w 256 -c 0")
    guest.check("xl sched-credit2 -s -p Pool-0 -r 2000")
    assert "ratelimit=2000us" in guest.check("xl sched-credit2 -s")
    guest.check("xl sched-credit2 -s -p Pool-0 -r 1000")


def test_xenctx(guest):
    text = guest.check(f"{TOOLS}/xenctx -a $(xl domid guest)")
    # 64-bit code, with the code itself, behind the HLT in which it waits.
    assert "rip: 0000000000" in text and "cr3: 0000000000" in text
    assert "f4 <" in text
    wait_alive(guest)


def test_hvm_context(guest):
    text = guest.check(f"{TOOLS}/xen-hvmctx $(xl domid guest)", timeout=60)
    assert "type 1 instance 0" in text and "type 2 instance 0" in text


def test_dump_core(guest):
    """All of the guest's memory; what comes after it takes minutes.

    The tool asks for each page up to the highest one, one by one, on any hypervisor.
    """
    guest.check("timeout 20 xl dump-core guest /tmp/core; xl unpause guest || true", timeout=60)
    assert guest.check("head -c 4 /tmp/core | tail -c 3").strip() == "ELF"
    assert guest.check("grep -a -c 'ticker: begins' /tmp/core; rm /tmp/core").strip() != "0"
    wait_alive(guest)


def test_cpupool_of_the_null_scheduler(guest):
    """A pool with one CPU: the second guest there waits until the first one is gone."""
    guest.check("xl cpupool-cpu-remove Pool-0 1")
    guest.check("""xl cpupool-create name=\\"single\\" sched=\\"null\\" cpus=[\\"1\\"]""")
    guest.check("xl cpupool-migrate guest single")
    pools = table(guest.check("xl cpupool-list"))
    assert pools["single"]["Sched"] == "null" and pools["single"]["CPUs"] == "1"
    assert "credit2" in pools["Pool-0"].values()
    wait_alive(guest)
    assert vcpus(guest)[0][0] == "1"
    assert "Can't destroy" in guest.run("xl cpupool-destroy single")[1], "it has a domain"
    assert "busy" in guest.run("xl cpupool-cpu-remove single 1")[1], "nor can its last CPU go"

    microguest(guest, "late", "ticker")
    wait_alive(guest, "late")
    guest.check("xl cpupool-migrate late single")
    before = vcpus(guest, "late")[0][2]
    wait_alive(guest)
    wait_alive(guest)
    assert vcpus(guest, "late")[0][2] == before, "it does not run while the other has the CPU"
    guest.check("xl destroy guest")
    wait_gone(guest, "guest")
    wait_alive(guest, "late")
    assert vcpus(guest, "late")[0][0] == "1"

    guest.check("xl cpupool-migrate late Pool-0; xl cpupool-destroy single; xl cpupool-cpu-add Pool-0 1")
    assert table(guest.check("xl cpupool-list"))["Pool-0"]["CPUs"] == "2"
    wait_alive(guest, "late")


def test_cpupool_numa_split(dom0):
    dom0.check("xl cpupool-numa-split")
    assert dom0.check("xl cpupool-list").splitlines()[1].split()[1:3] == ["2", "credit2"]


def test_processor_policies(dom0):
    text = dom0.check(f"{TOOLS}/xen-cpuid -p")
    assert "HVM Max policy" in text and "MSRs" in text
    assert "CPU1" in dom0.check(f"{TOOLS}/xenpm get-cpu-topology")


@pytest.mark.only("bulkhead")
@pytest.mark.parametrize(
    "command, answer",
    [
        ("xenperf", "not implemented"),
        ("xenlockprof", "not implemented"),
        ("xencov read", "not supported"),
        ("xen-livepatch list", "not supported"),
        ("xentrace -D -T 1 /tmp/trace", "not supported"),
        ("xen-hptool mem-offline 0x100", "failed"),
    ],
)
def test_what_is_not_there_says_so(dom0, command, answer):
    assert answer in dom0.run(f"{TOOLS}/{command} 2>&1")[1]

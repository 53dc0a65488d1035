# SPDX-License-Identifier: Apache-2.0
"""What Debian's tools do to running guests: where their vcpus run, how much, what they contain.

The guests are microguests that say every two seconds that they live.
"""

import pytest
from guests import CONSOLES, microguest, wait_console, wait_gone

CONFIGURATION = {"cpus": 2, "memory": 4096}
TOOLS = "/usr/lib/xen-4.20/bin"
# How a guest can end, and the number that the toolstack is told (SHUTDOWN_ of the public ABI).
ENDINGS = {
    **{"poweroff": 0, "reboot": 1, "suspend": 2, "crash": 3, "watchdog": 4, "soft_reset": 5},
    **{"noted": 4, "fault": 3},
}


@pytest.fixture(scope="module")
def guest(dom0):
    microguest(dom0, "guest", "ticker", memory=32)
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
    """The first 16 MiB of the guest's memory, which the tool writes at once; all takes minutes.

    The tool asks for each page up to the highest one, one by one, on any hypervisor; that one is
    the toolstack's own, below 4 GiB.
    """
    written = "[ $(stat -c %s /tmp/core) -gt 16777216 ]"
    guest.check(
        "xl dump-core guest /tmp/core >/dev/null 2>&1 & dump=$!; "
        f"wait-for 90 sh -c '{written}'; kill $dump; wait $dump; true"
    )
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


def test_device_memory_by_configuration(dom0):
    """A device's BAR can be given to a guest; memory that is somebody's RAM cannot."""
    first = dom0.check("sed -n 6p /sys/bus/pci/devices/0000:00:1f.2/resource").split()[0]
    assert int(first, 16)
    microguest(dom0, "bar", "ticker", lines=(f'iomem=["{int(first, 16) >> 12:x},1@f0000"]',))
    wait_alive(dom0, "bar")
    dom0.check("xl destroy bar")
    said = dom0.run("""xl create -q /tmp/bar.cfg 'iomem=["100,1@f0000"]'""", timeout=60)
    assert said[0] != 0 and "failed give domain access to iomem range" in said[1], said
    wait_gone(dom0, "bar")


def test_every_way_to_end(dom0):
    for number, way in enumerate(ENDINGS):
        microguest(dom0, f"end{number}", "ender", way, afterwards="preserve")
    names = [f"end{number}" for number in range(len(ENDINGS))]
    dom0.check(f"wait-for 60 sh -c '[ $(xl list | grep -c ^end.*---s) = {len(names)} ]'", 90)
    reasons = table(dom0.check("xl list -v"))
    assert {name: reasons[name]["Reason-Code"] for name in names} == {
        name: str(reason) for name, reason in zip(names, ENDINGS.values())
    }
    dom0.check("; ".join(f"xl destroy {name}" for name in names))
    wait_gone(dom0, *names)


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

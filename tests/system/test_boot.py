# SPDX-License-Identifier: Apache-2.0
"""Domain 0 reaches its shell on machines of several sizes, and sees what it was given."""

import pytest


@pytest.mark.parametrize("cpus, memory", [(1, 2048), (2, 4096), (4, 8192)])
def test_dom0_reaches_its_shell(boot, cpus, memory):
    dom0 = boot.to_shell(cpus=cpus, memory=memory, threads=True)
    try:
        assert dom0.check("nproc").strip() == str(cpus)
        assert "DOM0-FAILED" not in dom0.transcript.text
        # total_memory is the machine's, give or take what firmware keeps.
        total = int(dom0.check("xl info total_memory"))
        assert memory - 16 <= total <= memory
    finally:
        dom0.close()


def test_dom0_memory_is_as_asked(boot):
    with boot(dom0_memory=768) as dom0:
        dom0.wait_shell()
        assert dom0.check("xl list 0 | awk 'NR == 2 {print $3}'").strip() in ("767", "768")


def test_dom0_vcpus_are_as_asked(boot):
    with boot(hypervisor_options="dom0_max_vcpus=1") as dom0:
        dom0.wait_shell()
        assert dom0.check("nproc").strip() == "1"
        assert dom0.check("xl vcpu-list 0 | wc -l").strip() == "2"


def test_dom0_can_do_without_devices(boot):
    with boot(devices=("nvme", "e1000e"), hypervisor_options="hide=all") as dom0:
        dom0.wait_shell()
        assert dom0.check("ls /sys/bus/pci/devices | wc -l").strip() == "0"
        assert "DOM0-FAILED" not in dom0.transcript.text


def test_dom0_by_the_null_scheduler(boot):
    with boot(cpus=2, hypervisor_options="sched=null") as dom0:
        dom0.wait_shell()
        assert dom0.check("xl info xen_scheduler").strip() == "null"
        assert dom0.check("xl cpupool-list").splitlines()[1].split()[1:3] == ["2", "null"]
        assert dom0.check("nproc").strip() == "2"
        lines = dom0.check("xl vcpu-list 0").splitlines()[1:]
        assert sorted(line.split()[3] for line in lines) == ["0", "1"], "each has a CPU of its own"

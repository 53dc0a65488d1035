# SPDX-License-Identifier: Apache-2.0
"""Debian's tools answer truthfully in domain 0."""

import re

CONFIGURATION = {"cpus": 2, "memory": 4096, "dom0_memory": 1024}


def fields(text):
    """The "name : value" lines of xl info."""
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def test_xl_info(dom0, request):
    info = fields(dom0.check("xl info"))
    assert info["nr_cpus"] == "2"
    assert info["max_cpu_id"] == "1"
    assert (info["xen_major"], info["xen_minor"]) == ("4", "20")
    assert info["xen_scheduler"] == "credit2"
    assert info["xen_pagesize"] == "4096"
    assert "hvm-3.0-x86_64" in info["xen_caps"]
    assert "hap" in info["virt_caps"]
    assert info["release"] == dom0.check("uname -r").strip()
    assert 2500 < int(info["free_memory"]) < 4096 - 1024
    assert "dom0_mem=1024M" in info["xen_commandline"]
    if request.config.getoption("--hypervisor") == "bulkhead":
        assert info["xen_extra"].startswith("-bulkhead")


def test_xl_list(dom0):
    lines = dom0.check("xl list").splitlines()
    assert lines[0].split()[:4] == ["Name", "ID", "Mem", "VCPUs"]
    assert len(lines) == 2
    name, domid, memory, vcpus = lines[1].split()[:4]
    assert (name, domid, vcpus) == ("Domain-0", "0", "2")
    assert memory in ("1023", "1024")


def test_xl_list_counts_time(dom0):
    def seconds():
        return float(dom0.check("xl list 0 | tail -n 1").split()[-1])

    before = seconds()
    dom0.check("timeout 2 sh -c 'while :; do :; done'; true")
    assert 1.0 < seconds() - before < 60


def test_xl_vcpu_list(dom0):
    lines = dom0.check("xl vcpu-list").splitlines()[1:]
    assert [line.split()[2] for line in lines] == ["0", "1"]
    assert all(line.split()[0] == "Domain-0" for line in lines)
    assert all(line.split()[3] in ("0", "1") for line in lines), "each vcpu runs on a real CPU"


def test_xl_vcpu_pin(dom0):
    dom0.check("xl vcpu-pin 0 1 0")
    pinned = dom0.check("xl vcpu-list 0").splitlines()[2].split()
    assert pinned[3] == "0" and pinned[6] == "0"
    dom0.check("xl vcpu-pin 0 1 all")


def hypervisor_log(dom0, command="xl dmesg"):
    """The log, marked so that its lines differ from what the console says meanwhile."""
    return dom0.check(f"{command} | sed 's/^/> /'")


def test_xl_dmesg(dom0):
    text = hypervisor_log(dom0)
    assert "Xen" in text or "Bulkhead" in text
    assert "Dom0" in text or "omain 0" in text or "d0" in text


def test_xl_debug_keys(dom0):
    dom0.check("xl dmesg -c >/dev/null; xl debug-keys h; sleep 1")
    listing = hypervisor_log(dom0)
    assert re.search(r"key 'h'|\[h\]|\bh\b.*help", listing), listing
    assert len(listing.splitlines()) > 5


def test_xl_uptime(dom0):
    first = dom0.check("xl uptime")
    assert "Domain-0" in first


def test_xl_cpupool_list(dom0):
    name, cpus, scheduler, active, domains = dom0.check("xl cpupool-list").splitlines()[1].split()
    assert (name, cpus, scheduler, active, domains) == ("Pool-0", "2", "credit2", "y", "1")


def test_xl_sched_credit2(dom0):
    assert "Domain-0" in dom0.check("xl sched-credit2")
    dom0.check("xl sched-credit2 -d 0 -w 512")
    assert dom0.check("xl sched-credit2 -d 0").split()[-2] == "512"
    dom0.check("xl sched-credit2 -d 0 -w 256")


def test_xenstore_ls(dom0):
    tree = dom0.check("xenstore-ls -f")
    assert '/local/domain/0/name = "Domain-0"' in tree
    assert re.search(r'/tool/xenstored = ""', tree)
    assert dom0.check("xenstore-write /test/key value; xenstore-read /test/key").strip() == "value"
    dom0.check("xenstore-rm /test")


def test_xenhypfs_ls(dom0):
    top = dom0.check("xenhypfs ls /").split()
    assert {"buildinfo/", "params/"} <= {word if word.endswith("/") else word + "/" for word in top}
    assert dom0.check("xenhypfs cat /buildinfo/version/major").strip() == "4"
    assert dom0.check("xenhypfs cat /buildinfo/version/minor").strip() == "20"


def test_dom0_sees_the_hypervisor(dom0):
    assert dom0.check("cat /sys/hypervisor/type").strip() == "xen"
    assert dom0.check("cat /sys/hypervisor/version/major").strip() == "4"
    assert "control_d" in dom0.check("cat /proc/xen/capabilities")

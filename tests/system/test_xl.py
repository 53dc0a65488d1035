# SPDX-License-Identifier: Apache-2.0
"""Our xl beside Debian's in the same boot: the same listings to the letter, and what goes beyond.

The scenarios run in this order on one boot; a guest that our xl has made lives through most of them.
What a guest does to itself is done by microguests (tests/microguests/ender), which take no time.
"""

import json
import os
import re
import time

import pytest
from guests import in_guest, write_configuration

from conftest import RESULTS

CONFIGURATION = {"memory": 4096, "toolstack": "bulkhead", "devices": ("e1000e",)}
DEBIAN = "/usr/sbin/xl"

# Times and states differ between two looks; everything else may not.
LISTINGS = [
    "list", "list -v", "list -c", "list -Z", "list -n", "vcpu-list", "info", "sched-credit2",
    "sched-credit2 -d 0", "cpupool-list", "cpupool-list -c", "domid Domain-0", "domname 0", "uptime",
]  # fmt: skip
GUEST_LISTINGS = ["network-list guest", "block-list guest", "list guest", "vcpu-list guest", "domid guest"]


def plain(text):
    """A listing without what changes by itself."""
    text = re.sub(r"\d+\.\d\b", "N.N", text)
    text = re.sub(r"\d+:\d\d:\d\d", "H:MM:SS", text)
    text = re.sub(r"\b[r-][b-][p-][s-][c-][d-]\b|[r-][b-]-(?= +N)", "STATE", text)
    text = re.sub(r"(free_memory +: )\d+", r"\1N", text)
    # Of domain 0, too: what maps guests' memory borrows pages for as long as it does.
    text = re.sub(r"(Domain-0 +0 +)\d+(?= +\d+ )", r"\1N", text)
    return [re.sub(r" +(?=N\.N)", " ", line).rstrip() for line in text.splitlines()]


def cpu_free(lines):
    """vcpu-list without the processor that a vcpu is on."""
    return [re.sub(r"^(\S+ +\d+ +\d+ +)\d+ +\S+", r"\1CPU STATE", line) for line in lines]


def assert_same(dom0, command):
    ours = plain(dom0.check(f"xl {command}"))
    theirs = plain(dom0.check(f"{DEBIAN} {command}"))
    if command.startswith("vcpu-list"):
        ours, theirs = cpu_free(ours), cpu_free(theirs)
    if command.startswith("list"):
        ours, theirs = [[re.sub(r" [rbpscd-]{6} ", " STATE ", line) for line in lines] for lines in (ours, theirs)]
    assert ours == theirs


def test_our_xl_is_found_first(dom0):
    assert dom0.check("command -v xl").strip() == "/bulkhead/usr/sbin/xl"


def test_start_up_scripts_find_the_daemons(dom0):
    for daemon in ("xenstored", "xenconsoled"):
        assert f"{daemon} is running" in dom0.check(f"/bulkhead/etc/init.d/{daemon} status")
    # In the control domain there is nothing for it to do.
    dom0.check("/bulkhead/etc/init.d/xendriverdomain start")
    assert dom0.run("/bulkhead/etc/init.d/xendriverdomain status")[0] == 3


@pytest.mark.parametrize("command", LISTINGS)
def test_same_listing(dom0, command):
    assert_same(dom0, command)


def test_listings_as_json(dom0):
    domains = json.loads(dom0.check("xl list --json"))
    assert [(domain["name"], domain["domid"]) for domain in domains] == [("Domain-0", 0)]
    for command in ("vcpu-list", "uptime", "sched-credit2", "cpupool-list"):
        assert isinstance(json.loads(dom0.check(f"xl {command} --json")), list)
    assert json.loads(dom0.check("xl pci-assignable-list --json")) is not None
    assert json.loads(dom0.check("xl info --json"))["xen_major"] == "4"


@pytest.mark.parametrize(
    "command, status, words",
    [
        ("list nosuch", 1, r"nosuch is no domain.*\[no-such-domain\]"),
        ("destroy 0", 1, r"domain 0 cannot be destroyed \[wrong-state\]"),
        ("destroy", 2, r"destroy needs 1 argument more \[usage\]"),
        ("nosuch", 2, "there is no command nosuch"),
        ("create /nosuch.cfg", 1, r"cannot read the configuration /nosuch.cfg.*\[no-such-file\]"),
        ("create guest.cfg memroy=5 -n", 0, "there is no setting memroy; do you mean memory"),
        ("create guest.cfg vcpus=100", 1, r"line:1:7: vcpus must be from 1 to 64, not 100 \[config-value\]"),
        ("create guest.cfg 'kernel=\"/root/guest.cfg\"'", 1, r"guest.cfg: the file is no kernel.*\[kernel-image\]"),
        ("create guest.cfg memory=9", 1, r"9 MiB of memory is too little.*\[config-value\]"),
        ("create guest.cfg memory=100000", 1, r"needs 100000 MiB.*\[not-enough-memory\]"),
        ("create guest.cfg 'vif=[\"backend=nosuch\"]'", 1, r"there is no domain nosuch to serve it \[backend\]"),
        ("create guest.cfg 'disk=[\"vdev=xvda,target=/nosuch\"]'", 1, r"disk xvda: cannot use /nosuch.*\[device\]"),
    ],
)
def test_errors_say_what_and_why(dom0, command, status, words):
    got, text = dom0.run(f"xl {command}", timeout=120)
    assert got == status, text
    assert re.search(words, text), text


def test_failed_creations_leave_nothing(dom0):
    assert len(dom0.check("xl list").splitlines()) == 2
    tree = dom0.check("xenstore-ls -f")
    assert not re.search(r"^/local/domain/0/backend/\w+/\d", tree, re.MULTILINE)
    assert not re.search(r"^/(local/domain|libxl)/[1-9]", tree, re.MULTILINE)
    assert "unfinished-" not in dom0.check("ls /run/xen")


def ender(dom0, name, how, *settings):
    """The configuration of a microguest that ends itself at once: poweroff, reboot, crash, watchdog; or
    that lives, for any other word."""
    lines = [f'name="{name}"', 'type="pvh"', 'kernel="/guest/ender"', f'cmdline="{how}"', "memory=16"]
    return write_configuration(dom0, name, [*lines, *settings])


def domains(dom0):
    """What xl list --json says of each domain, by its name."""
    return {domain["name"]: domain for domain in json.loads(dom0.check("xl list --json"))}


def wait_for(dom0, command, seconds=60):
    dom0.check(f"wait-for {seconds} sh -c '{command}'", timeout=seconds + 30)


def findings(dom0, command):
    """What xl doctor says: the machine's findings and each function's, by their topics."""
    said = json.loads(dom0.run(f"xl doctor --json {command}", timeout=60)[1])
    devices = {
        device["address"]: {finding["topic"]: finding for finding in device["findings"]} for device in said["devices"]
    }
    return {finding["topic"]: finding for finding in said.get("machine", [])}, devices


def network_card(dom0):
    return dom0.check("basename $(dirname $(readlink -f /sys/bus/pci/drivers/e1000e/0*/net))").strip()


def test_doctor_of_the_machine(dom0, request):
    machine, devices = findings(dom0, "")
    own = request.config.getoption("--hypervisor") == "bulkhead"
    for topic in ("virtualization", "nested-paging", "iommu", "interrupt-remapping"):
        # The incumbent's log forgets early what it says of interrupts.
        levels = ("good",) if own or topic != "interrupt-remapping" else ("good", "note")
        assert machine[topic]["level"] in levels, machine[topic]
    assert machine["virtual-pci"]["level"] == ("good" if own else "note")
    assert "(e1000e)" in machine["control-domain"]["text"]
    assert network_card(dom0) in devices
    assert dom0.run("xl doctor")[0] == 0


def test_doctor_of_a_device(dom0):
    card = network_card(dom0)
    said = findings(dom0, card)[1][card]
    assert "with the driver e1000e" in said["owner"]["text"]
    assert f"xl pci-assignable-add {card}" in said["owner"]["advice"]
    assert "network driver domain" in said["driver-domain"]["text"]
    # The functions of the chipset's device 1f do not keep each other apart.
    together = findings(dom0, "00:1f.2")[1]["0000:00:1f.2"]["group"]["text"]
    assert "0000:00:1f.3" in together and "functions of one device" in together
    status, text = dom0.run("xl doctor 00:77.0")
    assert status == 1 and "[no-such-device]" in text


def test_functions_are_taken_off_their_drivers_and_back(dom0):
    card = network_card(dom0)
    dom0.check(f"xl pci-assignable-add {card}")
    assert card in json.loads(dom0.check("xl pci-assignable-list --json"))
    assert findings(dom0, card)[1][card]["owner"]["level"] == "good"
    dom0.check(f"xl pci-assignable-remove {card}")
    assert card not in dom0.check("xl pci-assignable-list")
    assert network_card(dom0) == card


def test_pools(dom0):
    dom0.check("xl cpupool-cpu-remove Pool-0 1")
    dom0.check("""xl cpupool-create name=\\"second\\" cpus=[\\"1\\"]""")
    assert_same(dom0, "cpupool-list")
    status, text = dom0.run("xl cpupool-rename second Pool-0")
    assert status == 1 and "[name-taken]" in text
    dom0.check("xl cpupool-rename second other")
    dom0.check(f"xl create -q {ender(dom0, 'pooled', 'live')}")
    dom0.check("xl cpupool-migrate pooled other")
    assert domains(dom0)["pooled"]["cpupool"] == "other"
    status, text = dom0.run("xl cpupool-destroy other")
    assert status == 1 and "the pool still holds 1 domains" in text
    dom0.check("xl destroy pooled")
    dom0.check("xl cpupool-destroy other; xl cpupool-cpu-add Pool-0 1")
    dom0.check("xl cpupool-numa-split")
    assert [pool["name"] for pool in json.loads(dom0.check("xl cpupool-list --json"))] == ["Pool-node0"]
    dom0.check("xl cpupool-rename Pool-node0 Pool-0")
    assert_same(dom0, "cpupool-list -c")


def test_dry_run_prints_what_would_be(dom0):
    said = dom0.check(f"xl create -q -n {ender(dom0, 'dry', 'live')} vcpus=2 'on_crash=\"preserve\"'")
    config = json.loads(said)
    assert (config["name"], config["vcpus"], config["on_crash"]) == ("dry", 2, "preserve")
    assert list(domains(dom0)) == ["Domain-0"]


def test_creation_in_the_foreground_waits_for_the_end(dom0):
    said = dom0.check(f"xl create -F {ender(dom0, 'short', 'poweroff')}", timeout=60)
    assert "has shut down, reason: poweroff; action: destroy" in said
    assert list(domains(dom0)) == ["Domain-0"]


def test_creation_with_its_console(dom0):
    said = dom0.check(f"sleep 5 | xl create -q -c {ender(dom0, 'talker', 'poweroff')}", timeout=60)
    assert "ender: poweroff" in said
    wait_for(dom0, "! xl domid talker")


# What a guest does, what its configuration says to that, and what is there afterwards.
def test_every_action_at_an_end(dom0):
    ends = {
        "off": ("poweroff", "on_poweroff", "destroy"),
        "kept": ("crash", "on_crash", "preserve"),
        "dumped": ("crash", "on_crash", "coredump-destroy"),
        "again": ("watchdog", "on_watchdog", "restart"),
        "aside": ("reboot", "on_reboot", "rename-restart"),
        "both": ("crash", "on_crash", "coredump-restart"),
    }
    dom0.check("mkdir -p /var/lib/xen/dump")
    for name, (how, key, action) in ends.items():
        dom0.check(f"xl create -q {ender(dom0, name, how, f'{key}={chr(34)}{action}{chr(34)}')}", timeout=60)
    for name, (how, _, action) in ends.items():
        wait_for(dom0, f"grep -q \"reason: {how}; action: {action}\" /var/log/xen/xl-{name}.log")
    # A second end of those that come back; then their kept configuration is told to let it be.
    for name, key in (("again", "on_watchdog"), ("aside", "on_reboot"), ("both", "on_crash")):
        how = ends[name][0]
        wait_for(dom0, f"[ $(grep -c \"reason: {how}\" /var/log/xen/xl-{name}.log) -ge 2 ]")
        dom0.check(f"xl config-update {name} /tmp/{name}.cfg '{key}=\"destroy\"'")
        wait_for(dom0, f"grep -q \"reason: {how}; action: destroy\" /var/log/xen/xl-{name}.log")
    for name in ("off", "dumped", "again", "aside", "both"):
        wait_for(dom0, f"! xl domid {name}")
    there = domains(dom0)
    assert there["kept"]["state"][3:5] == "sc"
    asides = sorted(name for name in there if name.startswith("aside"))
    assert asides and all(re.fullmatch(r"aside-\d+", name) for name in asides)
    assert set(there) == {"Domain-0", "kept", *asides}
    dumps = dom0.check("ls /var/lib/xen/dump")
    assert re.search(r"dumped-\d+\.core", dumps) and len(re.findall(r"both-\d+\.core", dumps)) >= 2
    assert dom0.check("head -c 4 /var/lib/xen/dump/dumped-*.core | tail -c 3").strip() == "ELF"
    for name in ("kept", *asides):
        dom0.check(f"xl destroy {name}")
    dom0.check("rm -r /var/lib/xen/dump")


def test_killed_at_any_moment(dom0):
    """Whoever dies while it makes a domain: the next one clears that away."""
    path = ender(dom0, "victim", "live")
    for tenths in range(1, 9, 2):
        # Its keeper, which outlives it from the moment when the domain is whole, must not count.
        dom0.check(f"xl create -q -e -p {path} & sleep 0.{tenths}; kill -9 $!; wait $! 2>/dev/null; true", timeout=60)
        whole = dom0.run("xl domid victim")[0] == 0 and "unfinished-" not in dom0.check("ls /run/xen")
        if whole:
            dom0.check("xl destroy victim")
            continue
        dom0.check(f"xl create -q -e -p {path}; xl destroy victim", timeout=60)
        assert list(domains(dom0)) == ["Domain-0"], tenths
        assert "unfinished-" not in dom0.check("ls /run/xen")
    tree = dom0.check("xenstore-ls -f")
    assert not re.search(r"^/(local/domain|libxl)/[1-9]|^/vm/.*victim", tree, re.MULTILINE)


def test_destroyed_while_it_starts(dom0):
    status, text = dom0.run(
        "xl create -q guest.cfg & for i in $(seq 200); do xl domid guest 2>/dev/null && break; done; "
        "xl destroy guest; wait $!",
        timeout=120,
    )
    assert status == 1 and re.search(r"xl: guest .*\[[a-z-]+\]", text), text
    test_failed_creations_leave_nothing(dom0)


def test_guest_with_one_command_line(dom0):
    dom0.check("xl create -q guest.cfg vcpus=2 maxvcpus=3 'on_reboot=\"restart\"'", timeout=120)
    dom0.check("wait-for 120 grep GUEST-READY /var/log/xen/console/guest-guest.log", timeout=150)


@pytest.mark.parametrize("command", GUEST_LISTINGS)
def test_same_listing_of_a_guest(dom0, command):
    assert_same(dom0, command)


def test_pause_and_unpause(dom0):
    dom0.check("xl pause guest")
    assert json.loads(dom0.check("xl list --json guest"))[0]["state"][2] == "p"
    dom0.check("xl unpause guest")
    assert json.loads(dom0.check("xl list --json guest"))[0]["state"][2] == "-"


def test_rename(dom0):
    dom0.check("xl rename guest other")
    assert dom0.check("xl domid other") == dom0.check(f"{DEBIAN} domid other")
    dom0.check("xl rename other guest")
    status, text = dom0.run("xl rename guest Domain-0")
    assert status == 1 and "[name-taken]" in text


def test_second_of_the_same_name_is_refused(dom0):
    status, text = dom0.run("xl create -q guest.cfg")
    assert status == 1 and re.search(r"domain \d+ is already called guest \[name-taken\]", text)


def test_vcpu_set(dom0):
    def online():
        return json.loads(dom0.check("xl list --json guest"))[0]["vcpus"]

    dom0.check("xl vcpu-set guest 1")
    dom0.check("wait-for 60 sh -c 'xl list guest | grep -q \" 1  *......  *[0-9.]*$\"'", timeout=80)
    assert online() == 1


def test_mem_set(dom0):
    dom0.check("xl mem-set guest 200")
    dom0.check(
        "wait-for 60 sh -c '[ $(xl list guest | tail -n 1 | while read n i m r; do echo $m; done) -le 201 ]'",
        timeout=80,
    )
    status, text = dom0.run("xl mem-set guest 300")
    assert status == 1 and "it cannot have more than 256 MiB" in text


def wait_connected(dom0, command, place, seconds=60):
    """Waits until the guest uses the device at this place of a list (state 4)."""
    end = time.monotonic() + seconds
    while (state := json.loads(dom0.check(f"xl {command} --json guest"))[place]["state"]) != 4:
        assert time.monotonic() < end, f"{command}: device {place} is in state {state}"
        time.sleep(1)


def test_interface_comes_and_goes(dom0):
    dom0.check("xl network-attach guest bridge=xenbr0 mac=00:16:3e:00:00:09", timeout=120)
    assert len(json.loads(dom0.check("xl network-list --json guest"))) == 2
    wait_connected(dom0, "network-list", 1)
    assert_same(dom0, "network-list guest")
    dom0.check("xl network-detach guest 00:16:3e:00:00:09", timeout=120)
    assert [nic["devid"] for nic in json.loads(dom0.check("xl network-list --json guest"))] == [0]


def test_disk_comes_and_goes(dom0):
    dom0.check("cp /guest/disk.img /root/second.img")
    dom0.check("xl block-attach guest vdev=xvdb,target=/root/second.img", timeout=120)
    assert [disk["dev"] for disk in json.loads(dom0.check("xl block-list --json guest"))] == ["xvda", "xvdb"]
    wait_connected(dom0, "block-list", 1)
    dom0.check("xl block-detach guest xvdb", timeout=120)
    assert "/root/second.img" not in dom0.check("losetup -a")


def test_guest_has_no_functions(dom0):
    assert json.loads(dom0.check("xl pci-list --json guest")) == []


def test_completion_knows_commands_and_options(dom0):
    def complete(*words):
        line = " ".join(words)
        return dom0.check(
            f". /bulkhead/usr/share/bash-completion/completions/xl; COMP_WORDS=({line}); "
            f"COMP_CWORD={len(words) - 1}; "
            '_xl; echo "${COMPREPLY[@]}"'
        ).split()

    assert complete("xl", "cpupool-n") == ["cpupool-numa-split"]
    assert "--json" in complete("xl", "list", "--")
    assert complete("xl", "console", "gu") == ["guest"]


def test_top_shows_every_domain(dom0):
    said = dom0.check("xl top -b -i 1", timeout=60)
    assert re.search(r"^ *Domain-0 ", said, re.MULTILINE) and re.search(r"^ *guest ", said, re.MULTILINE)


def test_dump_core_is_an_elf_core(dom0):
    dom0.check("mkdir -p /tmp/dump; mount -t tmpfs tmpfs /tmp/dump; xl dump-core guest /tmp/dump/core", timeout=180)
    assert dom0.check("head -c 4 /tmp/dump/core | tail -c 3").strip() == "ELF"
    dom0.check("umount /tmp/dump")


def test_reboot_brings_the_same_guest_back(dom0):
    before = int(dom0.check("xl domid guest"))
    dom0.check("xl reboot guest")
    dom0.check(f"wait-for 150 sh -c '[ \"$(xl domid guest)\" -gt {before} ]'", timeout=180)
    dom0.check("wait-for 150 sh -c '[ $(grep -c GUEST-READY /var/log/xen/console/guest-guest.log) -ge 2 ]'", timeout=180)
    assert "reason: reboot; action: restart" in dom0.check("cat /var/log/xen/xl-guest.log")


def test_sysrq_reaches_the_guest(dom0):
    dom0.check("xl sysrq guest h; sleep 2")
    assert "HELP" in in_guest(dom0, 2, "dmesg | grep sysrq", timeout=30)


def test_trigger_reaches_the_guest(dom0):
    status, text = dom0.run("xl trigger guest rubbish")
    assert status == 2 and "[usage]" in text
    dom0.check("xl trigger guest nmi 0; sleep 3")
    # What the kernel makes of an NMI that no device of its claims.
    assert "reason" in in_guest(dom0, 2, "dmesg | grep NMI.*reason", timeout=30)


def test_debians_xl_destroys_our_guest(dom0):
    dom0.check(f"{DEBIAN} destroy guest", timeout=120)
    dom0.check("wait-for 30 sh -c '! xl list guest'", timeout=60)


def test_killed_creation_is_cleared_away(dom0):
    dom0.check("xl create -q guest.cfg & sleep 2; kill -9 $!; wait", timeout=120)
    before = dom0.check("xl list; ls /run/xen")
    status, text = dom0.run("xl create -q -p guest.cfg", timeout=120)
    assert status == 0, before + text
    assert len(dom0.check("xl list").splitlines()) == 3
    dom0.check("xl destroy guest", timeout=120)
    assert "unfinished-" not in dom0.check("ls /run/xen")
    assert not re.search(r"^/libxl/[1-9]", dom0.check("xenstore-ls -f"), re.MULTILINE)


def test_two_creations_at_once(dom0):
    dom0.check(
        "xl create -q -p guest.cfg 'name=\"one\"' 'disk=[]' 'vif=[]' & "
        "xl create -q -p guest.cfg 'name=\"two\"' 'disk=[]' 'vif=[]'; wait",
        timeout=180,
    )
    names = [domain["name"] for domain in json.loads(dom0.check("xl list --json"))]
    assert sorted(names) == ["Domain-0", "one", "two"]
    dom0.check("xl destroy one; xl destroy two", timeout=120)
    assert len(dom0.check("xl list").splitlines()) == 2


def processor_seconds(dom0, command):
    """The time that a command takes of domain 0's processors, and its wall time."""
    text = dom0.check(f"TIMEFORMAT='took %U %S %R'; time {command} >/dev/null", timeout=300)
    user, system, wall = re.search(r"took ([\d.]+) ([\d.]+) ([\d.]+)", text).groups()
    return float(user) + float(system), float(wall)


def compare_times(dom0, name, command):
    """Ours and Debian's, interleaved, three times each; writes the figures down, returns the ratio."""
    ours, theirs = [], []
    for _ in range(3):
        ours.append(processor_seconds(dom0, command.replace("XL", "xl")))
        theirs.append(processor_seconds(dom0, command.replace("XL", DEBIAN)))
    path = os.path.join(RESULTS, "xl-times.txt")
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{name}: ours {ours}, Debian's {theirs} (processor seconds, wall seconds)\n")
    return min(ours)[0] / min(theirs)[0]


def test_listing_takes_less_time(dom0):
    ten = "for i in 1 2 3 4 5 6 7 8 9 10; do {}; done"
    # What it takes to start ten programs that do nothing, which no listing can save.
    compare_times(dom0, "10 times true", ten.format("/bin/true"))
    assert compare_times(dom0, "10 listings", ten.format("XL list")) < 0.7


def test_creation_takes_less_time(dom0):
    command = "( XL create -q -p guest.cfg {} && XL destroy guest )"
    assert compare_times(dom0, "create and destroy, no devices", command.format("'disk=[]' 'vif=[]'")) < 1
    assert compare_times(dom0, "create and destroy, a disk and an interface", command.format("")) < 1

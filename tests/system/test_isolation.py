# SPDX-License-Identifier: Apache-2.0
"""A device does only what its owner may: guests that own QEMU's edu order its DMA engine to places
that are none of theirs, and hardware misbehaves that nobody has ordered.

What was to be written is looked for in all of the machine's memory (rig/hardware.py), so harm would
be seen wherever it is done. The guests are microguests (tests/microguests/dma); each has an edu of
its own, for it cannot be reset and so is not handed on.
"""

import re
import struct
import time

import pytest

from guests import console, microguest, wait_console, wait_gone
from hardware import Function
from machine import MachineError

EDUS = [f"0000:00:{number:02x}.0" for number in range(0x10, 0x16)]
CONFIGURATION = {
    "devices": ("nvme",),  # domain 0's
    "qemu_arguments": tuple(
        word
        for edu in EDUS
        for word in ("-device", f"edu,dma_mask=0xffffffffffffffff,addr={edu[8:10]}")
    ),
    "hypervisor_options": "hide=" + ",".join(edu[5:] for edu in EDUS),
    "memory": 2048,
    "dom0_memory": 768,
    "hardware": True,
}
MACHINES = {"amd-iommu": {"iommu": "amd-iommu"}, "intel-iommu": {"iommu": "intel-iommu"}}
VICTIM = 50  # numbers of patterns beside those of the attack
STREAM = 60


def pattern(number):
    """The 64 bytes that tests/microguests/dma writes for a number."""
    mask = (1 << 64) - 1
    return b"".join(
        struct.pack(
            "<Q",
            (0x9E3779B97F4A7C15 * (number + 1) & mask) ^ (0xBF58476D1CE4E5B9 * (word + 1) & mask),
        )
        for word in range(8)
    )


def hypervisor_said(dom0):
    """All that the serial console has said, the hypervisor's lines among it."""
    dom0.check("true")
    return dom0.transcript.text


def refusals(dom0, function, owner, access, address):
    """How often the hypervisor has said in words that it refused this.

    QEMU 7.2's amd-iommu does not log the address.
    """
    where = "unknown" if dom0.configuration.iommu == "amd-iommu" else f"{address & ~0xFFF:x}"
    words = rf"refused DMA.*: device {function}, of domain {owner}, {access} address {where}\b"
    return len(re.findall(words, hypervisor_said(dom0)))


def interrupts(dom0):
    """Domain 0's counters of interrupts that devices can cause."""
    return dom0.check("grep 'IO-APIC\\|PCI-MSI\\|NMI\\|SPU\\|ERR' /proc/interrupts")


@pytest.fixture(scope="module")
def attack(dom0):
    """What a guest and the hypervisor said of the guest's attacks, and where they went."""
    microguest(dom0, "victim", "dma", f"mode=hold seed={VICTIM}")
    wait_console(dom0, "victim", "dma: holds a page", 30)
    [victim] = dom0.hardware.find(pattern(VICTIM))
    hypervisor = int(re.search(r"image at ([0-9a-f]+)", dom0.transcript.text).group(1), 16)
    found = {"victim": victim, "hypervisor": hypervisor + 0x1000}
    found["before"] = {
        name: dom0.hardware.read_memory(found[name], 64) for name in ("victim", "hypervisor")
    }
    arguments = f"mode=attack hypervisor={found['hypervisor']} victim={victim}"
    microguest(dom0, "attacker", "dma", arguments, functions=[EDUS[0]])
    found["domid"] = int(dom0.check("xl domid attacker"))
    found["said"] = wait_console(dom0, "attacker", "dma: done", 60)
    wait_gone(dom0, "attacker")
    return found


def test_own_memory_is_reached(attack):
    """Before all that is refused, and after it."""
    assert attack["said"].count("dma: own memory: reached") == 2


@pytest.mark.parametrize("place", ["hypervisor", "victim"])
def test_foreign_memory_is_not_read(dom0, attack, place):
    read = int(re.search(rf"dma: read {place}: (\w+)", attack["said"]).group(1), 16)
    there = struct.unpack("<Q", attack["before"][place][:8])[0]
    assert there not in (0, read)
    assert refusals(dom0, EDUS[0], attack["domid"], "read from", attack[place]) >= 1


@pytest.mark.parametrize("place, number", [("hypervisor", 1), ("victim", 2)])
def test_foreign_memory_is_not_written(dom0, attack, place, number):
    assert f"dma: written {place}" in attack["said"]
    assert dom0.hardware.read_memory(attack[place], 64) == attack["before"][place]
    assert not dom0.hardware.find(pattern(number))
    assert refusals(dom0, EDUS[0], attack["domid"], "write to", attack[place]) >= 1


def test_a_page_given_back_is_out_of_reach(dom0, attack):
    """Also when the device was on its way to it at that moment."""
    said = attack["said"]
    assert "dma: written to a page given back meanwhile" in said
    assert "dma: written to a page given back before" in said
    assert "dma: the page that came instead: is another" in said
    assert "dma: that page: reached" in said
    assert not dom0.hardware.find(pattern(3))


def test_every_refusal_is_reported(dom0, attack):
    """Three for reading and four for writing, each in words."""
    said = hypervisor_said(dom0)
    whose = f"device {EDUS[0]}, of domain {attack['domid']}"
    assert len(re.findall(rf"refused DMA.*: {whose}, read from address", said)) == 3
    assert len(re.findall(rf"refused DMA.*: {whose}, write to address", said)) == 4


def forged_messages(dom0, address, data):
    """Messages that were not given to the device whose message this is: address and data."""
    if dom0.configuration.iommu == "amd-iommu":
        entries = [(address, entry) for entry in range(512) if entry != data]
        # Delivery modes that are not remapped but pass or do not: SMI, NMI, INIT, ExtINT.
        return entries + [(address, data | mode << 8) for mode in (2, 4, 5, 7)]
    own = address >> 5 & 0x7FFF
    return [(0xFEE00010 | entry << 5, 0) for entry in range(256) if entry != own]


def test_forged_interrupts_reach_nobody(dom0):
    """The device's message registers are changed behind everybody's back: it sends what it was not
    given, and the IOMMU knows who sends."""
    microguest(dom0, "interrupts", "dma", "mode=interrupts", functions=[EDUS[1]])
    wait_console(dom0, "interrupts", "dma: interrupt 1", 30)
    edu = Function(dom0.hardware, EDUS[1])
    msi = edu.capability(5)
    given = edu.read(msi + 4), edu.read(msi + 12)

    def send(address, data):
        edu.write(msi + 4, address)
        edu.write(msi + 12, data)
        dom0.hardware.write32(edu.bar(0) + 0x60, 1)
        dom0.hardware.write32(edu.bar(0) + 0x64, 1)

    before = interrupts(dom0)
    messages = forged_messages(dom0, *given)
    assert len(messages) >= 255
    for address, data in messages:
        send(address, data)
    assert interrupts(dom0) == before
    assert "unexpected interrupt" not in hypervisor_said(dom0)
    send(*given)
    said = wait_console(dom0, "interrupts", "dma: interrupt 2", 30)
    assert "dma: interrupt 3" not in said
    dom0.check("xl destroy interrupts")


def test_messages_without_a_sender_reach_no_unused_entry(dom0):
    """QEMU does not say who does plain DMA: its AMD IOMMU takes such a message for the I/O APIC's,
    its Intel one looks at no sender. So it reaches what is in use, but nothing that is not.
    """
    form = dom0.configuration.iommu.split("-")[0]
    microguest(
        dom0, "messages", "dma", f"mode=messages form={form} count=64", functions=[EDUS[2]]
    )
    assert "dma: own memory: reached" in wait_console(dom0, "messages", "dma: done", 60)
    assert "unexpected interrupt" not in hypervisor_said(dom0)


def test_what_cannot_be_reset_is_not_handed_on(dom0, attack):
    assert attack["domid"]
    with pytest.raises(MachineError, match="Input/output error"):
        microguest(dom0, "next", "dma", "mode=attack", functions=[EDUS[0]])
    dom0.check("xl destroy next")
    assert f"{EDUS[0]} cannot be reset and stays with nobody" in hypervisor_said(dom0)


@pytest.mark.parametrize("edu", EDUS[3:], ids=("first", "second", "third"))
def test_a_dead_domains_device_reaches_nothing(dom0, edu):
    """The domain dies with DMA in flight; then the device goes on by itself."""
    number = STREAM + EDUS.index(edu)
    microguest(dom0, "stream", "dma", f"mode=stream seed={number}", functions=[edu])
    said = wait_console(dom0, "stream", "dma: streams to", 30)
    frame = int(re.search(r"dma: streams to (\w+)", said).group(1), 16)
    [page] = dom0.hardware.find(pattern(number))
    dom0.check("xl destroy stream")
    wait_gone(dom0, "stream")
    dom0.hardware.wait_nowhere(pattern(number), 30)
    device = Function(dom0.hardware, edu)
    device.enable()
    for address in (frame, page, 0x100000):
        for offset, value in ((0x80, 0x40000), (0x88, address), (0x90, 64), (0x98, 3)):
            dom0.hardware.write64(device.bar(0) + offset, value)
        time.sleep(0.5)  # the engine takes 0.1
    assert dom0.hardware.command(f"readq {device.bar(0) + 0x98:#x}") & 1 == 0
    assert not dom0.hardware.find(pattern(number))


def test_the_victim_has_noticed_nothing(dom0, attack):
    assert dom0.hardware.find(pattern(VICTIM)) == [attack["victim"]]
    assert console(dom0, "victim").splitlines() == ["dma: holds a page"]
    dom0.check("xl destroy victim")

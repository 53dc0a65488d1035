# SPDX-License-Identifier: Apache-2.0
"""A device does to memory only what its owner may: QEMU's edu, whose DMA engine goes anywhere.

Domain 0 owns it here and orders it about (tests/tools/edu_dma.c).
"""

import re

import pytest

CONFIGURATION = {"devices": ("edu",)}
MACHINES = {"amd-iommu": {"iommu": "amd-iommu"}, "intel-iommu": {"iommu": "intel-iommu"}}
EDU = "0000:00:10.0"
ABOVE_DOMAIN_0 = 0x60000000  # memory of the machine, but domain 0 has 1 GiB


def hypervisor_image(dom0):
    """Where the hypervisor's image is, as it said at boot."""
    return int(re.search(r"image at ([0-9a-f]+)", dom0.transcript.text).group(1), 16)


def console(dom0):
    """All that the serial console has said, the hypervisor's lines among it."""
    dom0.check("true")
    return dom0.transcript.text


def refusals(dom0, owner, access, address):
    """How often the hypervisor has said in words that it refused this.

    QEMU 7.2's amd-iommu does not log the address.
    """
    where = "unknown" if dom0.configuration.iommu == "amd-iommu" else f"{address & ~0xFFF:x}"
    pattern = rf"refused DMA.*: device {EDU}, of domain {owner}, {access} address {where}"
    return len(re.findall(pattern, console(dom0)))


def test_own_memory_is_reached(dom0):
    assert "copied" in dom0.check(f"edu_dma {EDU} self")


@pytest.mark.parametrize("place", ["hypervisor", "elsewhere"])
def test_foreign_memory_is_not_read(dom0, place):
    address = hypervisor_image(dom0) if place == "hypervisor" else ABOVE_DOMAIN_0
    before = refusals(dom0, 0, "read from", address)
    dom0.check(f"edu_dma {EDU} read {address:x}")
    assert refusals(dom0, 0, "read from", address) == before + 1


@pytest.mark.parametrize("place", ["hypervisor", "elsewhere"])
def test_foreign_memory_is_not_written(dom0, place):
    address = (hypervisor_image(dom0) if place == "hypervisor" else ABOVE_DOMAIN_0) + 0x3000
    before = refusals(dom0, 0, "write to", address)
    dom0.check(f"edu_dma {EDU} write {address:x}")
    assert refusals(dom0, 0, "write to", address) == before + 1
    assert "copied" in dom0.check(f"edu_dma {EDU} self")


def test_forged_interrupts_reach_nobody(dom0):
    """Messages that the device was not given: in the form that is remapped, for entries 0 to 3.

    QEMU 7.2's intel-iommu lets the other form through whatever it was told, so that is not tried.
    """
    before = dom0.check("grep 'IO-APIC\\|PCI-MSI\\|SPU\\|ERR' /proc/interrupts")
    for entry in range(4):
        address = 0xFEE00010 | entry << 5
        dom0.check(f"edu_dma {EDU} message {address:x} {entry:x}")
    assert "unexpected interrupt" not in console(dom0)
    after = dom0.check("grep 'IO-APIC\\|PCI-MSI\\|SPU\\|ERR' /proc/interrupts")
    assert after == before
    assert "copied" in dom0.check(f"edu_dma {EDU} self")

# SPDX-License-Identifier: Apache-2.0
"""GRUB starts the hypervisor by multiboot2, from BIOS and from UEFI firmware."""

import pytest


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_grub(boot, firmware):
    dom0 = boot.to_shell(loader=f"grub-{firmware}")
    try:
        assert "Domain-0" in dom0.check("xl list")
        assert "dom0_mem=1024M" in dom0.check("xl info | grep commandline")
    finally:
        dom0.close()

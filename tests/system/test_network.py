# SPDX-License-Identifier: Apache-2.0
"""Domain 0 drives a network card: e1000e on QEMU's user network, whose gateway answers pings."""

import pytest


@pytest.mark.parametrize(
    "iommu, options",
    [
        ("amd-iommu", ""),
        ("amd-iommu", "pci=nomsi"),
        ("intel-iommu", ""),
        ("intel-iommu", "pci=nomsi"),
        ("intel-iommu-caching", ""),
    ],
)
def test_ping_through_e1000e(boot, iommu, options):
    with boot(devices=("e1000e",), iommu=iommu, dom0_options=options) as dom0:
        dom0.wait_shell()
        dom0.check("wait-for 30 ping -c 1 -W 2 10.0.2.2", timeout=60)
        report = dom0.check("ping -c 5 -i 0.5 -s 1400 10.0.2.2")
        assert "5 received" in report, report

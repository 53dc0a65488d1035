# SPDX-License-Identifier: Apache-2.0
"""What ./build.sh run --distribution shows works: domain 0 without devices, driver domains, a guest behind them, and
each driver domain killed under load, behind either kind of IOMMU. The program makes its own machine.
"""

import os
import subprocess

import pytest

import machine

pytestmark = pytest.mark.only("bulkhead")


@pytest.mark.parametrize("iommu", ["amd-iommu", "intel-iommu"])
def test_demonstration_works(iommu):
    command = [os.path.join(machine.RIG, "demo"), "--batch", "--iommu", iommu]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout

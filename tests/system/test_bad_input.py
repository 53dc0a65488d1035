# SPDX-License-Identifier: Apache-2.0
"""What cannot be booted gets a plain message on the console and a halt: no reset, no silence."""

import os
import struct

import pytest

import machine

SCRATCH = os.path.join(machine.IMAGES, "bad-input")
NO_SVM = machine.CPU.replace("+svm", "-svm").replace("+npt", "-npt")
NO_NPT = machine.CPU.replace("+npt", "-npt")

pytestmark = pytest.mark.only("bulkhead")


def scratch_file(name, data):
    os.makedirs(SCRATCH, exist_ok=True)
    path = os.path.join(SCRATCH, name)
    with open(path, "wb") as output:
        output.write(data)
    return path


def kernel():
    with open(os.path.join(machine.IMAGES, "vmlinuz"), "rb") as file:
        return bytearray(file.read())


def corrupt_kernel():
    data = kernel()
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(64)
    return scratch_file("corrupt-kernel", data)


def no_kernel():
    return scratch_file("no-kernel", b"This is no kernel.\n" * 100)


def ivrs(base, block_length=None, device_entries=b"\x01\x00\x00\x00"):
    """The body of an IVRS after its ACPI header, with one I/O virtualization hardware block."""
    length = 24 + len(device_entries) if block_length is None else block_length
    block = struct.pack("<BBHHHQHHI", 0x10, 0, length, 0x10, 0x40, base, 0, 0, 0)
    return struct.pack("<IQ", 0, 0) + block + device_entries


def ivrs_argument(name, body):
    return "-acpitable", f"sig=IVRS,rev=1,data={scratch_file(name, body)}"


def dmar(base, flags=1, structure_length=None):
    """The body of a DMAR after its ACPI header, with one unit for everything."""
    length = 16 if structure_length is None else structure_length
    return struct.pack("<BB10x", 38, flags) + struct.pack("<HHBBHQ", 0, length, 1, 0, 0, base)


def dmar_argument(name, body):
    return "-acpitable", f"sig=DMAR,rev=1,data={scratch_file(name, body)}"


def expect_halt(boot, message, **settings):
    with boot(**settings) as halted:
        halted.expect(message, 90)
        # It stays there: neither a reset (which would end QEMU) nor a boot after all.
        end = halted.console.expect(["DOM0-INIT", machine.pexpect.EOF, machine.pexpect.TIMEOUT], 5)
        assert end == 2, halted.transcript.text[-2000:]


def test_no_module(boot):
    expect_halt(boot, r"(?i)no (module|domain 0 kernel)", modules=())


def test_module_that_is_no_kernel(boot):
    expect_halt(boot, r"(?i)(not|no|neither)\b.*kernel", modules=(no_kernel(),))


def test_truncated_kernel(boot):
    path = scratch_file("truncated-kernel", kernel()[: 1 << 20])
    expect_halt(boot, r"(?i)kernel.*(truncated|short|corrupt|damaged|cut)", modules=(path,))


def test_corrupt_kernel(boot):
    expect_halt(boot, r"(?i)kernel.*(corrupt|damaged|unpack)", modules=(corrupt_kernel(),))


def test_too_little_memory(boot):
    expect_halt(boot, r"(?i)memory", memory=128, dom0_memory=1024)


def test_no_svm(boot):
    expect_halt(boot, r"(?i)\bSVM\b", cpu=NO_SVM)


def test_no_nested_paging(boot):
    expect_halt(boot, r"(?i)nested paging", cpu=NO_NPT)


def test_no_iommu(boot):
    expect_halt(boot, r"(?i)no .*IOMMU", iommu="")


@pytest.mark.parametrize(
    "name, body",
    [
        ("no-such-unit", ivrs(0xFED90000)),
        ("unit-in-memory", ivrs(0x00100000)),
        ("block-too-long", ivrs(0xFED80000, block_length=0xFFFF)),
        ("block-of-no-length", ivrs(0xFED80000, block_length=0)),
    ],
)
def test_ivrs_that_lies(boot, name, body):
    expect_halt(boot, r"IVRS|IOMMU", iommu="", qemu_arguments=ivrs_argument(name, body))


@pytest.mark.parametrize(
    "name, body",
    [
        ("dmar-no-such-unit", dmar(0xFED90000)),
        ("dmar-unit-in-memory", dmar(0x00100000)),
        ("dmar-no-remapping", dmar(0xFED90000, flags=0)),
        ("dmar-cut-off", dmar(0xFED90000, structure_length=0xFFFF)),
    ],
)
def test_dmar_that_lies(boot, name, body):
    expect_halt(boot, r"DMAR", iommu="", qemu_arguments=dmar_argument(name, body))


def test_33_modules(boot):
    path = no_kernel()
    expect_halt(boot, r"(?i)too many modules|33 modules|modules", modules=(path,) * 33)


def test_unknown_option_is_named_and_ignored(boot):
    with boot(hypervisor_options="frobnicate=7") as dom0:
        dom0.wait_shell()
        assert "frobnicate" in dom0.check("xl dmesg | grep -v -i 'command line' | sed 's/^/> /'")

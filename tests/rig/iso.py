# SPDX-License-Identifier: Apache-2.0
"""A CD image from which GRUB boots a hypervisor by multiboot2, on BIOS and on UEFI machines."""

import os
import shutil
import subprocess
import tempfile

# Debian's OVMF; the variables need not be kept.
UEFI_ARGUMENTS = [
    "-drive", "if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
    "-drive", "if=pflash,format=raw,unit=1,snapshot=on,file=/usr/share/OVMF/OVMF_VARS_4M.fd",
]  # fmt: skip


def make(path, hypervisor, options, modules):
    """Makes the image at path. A module is a file name, then its command line after a blank."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as tree:
        lines = [
            "serial --unit=0 --speed=115200",
            "terminal_input serial console",
            "terminal_output serial console",
            "set timeout=0",
            "menuentry hypervisor {",
            f"    multiboot2 /boot/hypervisor {options}",
        ]
        os.makedirs(os.path.join(tree, "boot", "grub"))
        shutil.copyfile(hypervisor, os.path.join(tree, "boot", "hypervisor"))
        for number, module in enumerate(modules):
            source, _, arguments = module.partition(" ")
            shutil.copyfile(source, os.path.join(tree, "boot", f"module{number}"))
            lines.append(f"    module2 --nounzip /boot/module{number} {arguments}")
        lines.append("}")
        with open(os.path.join(tree, "boot", "grub", "grub.cfg"), "w", encoding="ascii") as config:
            config.write("\n".join(lines) + "\n")
        subprocess.run(
            ["grub-mkrescue", "--output", path, tree],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

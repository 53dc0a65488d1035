#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An emulated machine that boots a hypervisor and its domain 0, driven over its serial console.

Configuration says what machine and what software; Machine runs it. One machine runs at a time
on a host: QEMU holds a lock file from start() to close(). All waiting is bounded: what does not
come in time raises MachineError, which carries the end of the console's text.
"""

import dataclasses
import fcntl
import os
import re
import shutil
import subprocess
import time

import pexpect

import gdb
import hardware
import iso
import qmp

RIG = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(RIG))
IMAGES = os.path.join(TOP, "out", "rig")
LOCK = os.environ.get("BULKHEAD_QEMU_LOCK", os.path.join(IMAGES, "lock"))

LOADERS = ("qemu", "grub-bios", "grub-uefi", "image-bios", "image-uefi")
TOOLSTACKS = {
    "debian": "dom0.initrd",
    "bulkhead": "dom0-toolstack.initrd",
    # Debian's, but for xenstored.
    "xenstored": "dom0-toolstack.initrd",
}
HYPERVISORS = {
    "bulkhead": os.path.join(TOP, "out", "x86_64", "bulkhead"),
    "xen": os.path.join(IMAGES, "xen"),
}
CPU = "EPYC,+svm,+npt,-monitor,-smap,-rdtscp"
# IOMMUs by the names that scenarios use, as QEMU's -device wants them. The caching one remembers
# absent entries and walks four levels of tables, the plain Intel one three.
IOMMUS = {
    "amd-iommu": "amd-iommu",
    "intel-iommu": "intel-iommu,intremap=on",
    "intel-iommu-caching": "intel-iommu,intremap=on,caching-mode=on,aw-bits=48",
}
READY = "DOM0-READY"
SHELL_PROMPT = "dom0# "

# Devices by the names that scenarios use. {disk} stands for the path of a scratch disk image.
DEVICES = {
    "virtio-blk": [
        "-drive", "file={disk},format=raw,if=none,id=virtio0",
        "-device", "virtio-blk-pci,drive=virtio0,disable-legacy=on,iommu_platform=on",
    ],
    "nvme": [
        "-drive", "file={disk},format=raw,if=none,id=nvme0",
        "-device", "nvme,drive=nvme0,serial=bulkhead,addr=0x11",
    ],
    "ahci": [
        "-drive", "file={disk},format=raw,if=none,id=ahci0",
        "-device", "ide-hd,drive=ahci0,bus=ide.0",
    ],
    # Writing 1 to its port stops the machine at that instruction.
    "pvpanic": ["-device", "pvpanic,ioport=0x505", "-action", "panic=pause"],
    # A device whose DMA engine its driver can point anywhere.
    "edu": ["-device", "edu,dma_mask=0xffffffffffffffff,addr=0x10"],
    # What is sent to port 7 of 10.0.2.100 comes back.
    "e1000e": [
        # Both places return what they are sent.
        "-netdev",
        "user,id=net0,guestfwd=tcp:10.0.2.100:7-cmd:cat,guestfwd=tcp:10.0.2.100:7000-cmd:cat",
        "-device", "e1000e,netdev=net0,addr=0x12",
    ],
    "xhci": [
        "-drive", "file={disk},format=raw,if=none,id=usb0",
        "-device", "qemu-xhci,id=xhci,addr=0x13", "-device", "usb-storage,bus=xhci.0,drive=usb0",
    ],
}  # fmt: skip


class MachineError(Exception):
    """The machine did not do what was waited for."""


@dataclasses.dataclass
class Configuration:
    """What to boot. Memory is in MiB; options are added to the ones that every boot needs."""

    hypervisor: str = "bulkhead"
    # Whose tools domain 0's shell finds first. Debian's are always there.
    toolstack: str = "debian"
    # Whether domain 0 has the images of driver domains, too; they want our toolstack.
    driver_domains: bool = False
    # Who loads the hypervisor: QEMU itself, or GRUB on BIOS or UEFI firmware: from a CD made for the
    # occasion, or from the distribution's disk image, of which disk_image names a copy.
    loader: str = "qemu"
    dom0: str = "pvh"
    cpus: int = 2
    memory: int = 4096
    dom0_memory: int = 1024
    devices: tuple = ()
    hypervisor_options: str = ""
    dom0_options: str = ""
    cpu: str = CPU
    iommu: str = "amd-iommu"
    icount: bool = False
    # A host thread for each emulated processor, not one for all. Then QEMU (7.2 and 10.0 alike)
    # now and then goes on with a translation of code that another processor has just patched: a
    # Linux kernel dies with "Oops: int3", also without any hypervisor. So only what is about
    # processors at the same time asks for it.
    threads: bool = False
    # Start halted, with a debugger's stub to let it run.
    debugger: bool = False
    # With access to the hardware behind the hypervisor's back (hardware.py).
    hardware: bool = False
    qemu_arguments: tuple = ()
    # Files in place of the rig's own, and the modules in place of domain 0's kernel and initramfs.
    hypervisor_file: str = None
    modules: tuple = None
    disk_size: int = 1 << 30
    disk_image: str = os.path.join(TOP, "out", "x86_64", "bulkhead.img")
    log: str = None

    def hypervisor_path(self):
        return self.hypervisor_file or HYPERVISORS[self.hypervisor]

    def hypervisor_command_line(self):
        dom0 = f"dom0_mem={self.dom0_memory}M,max:{self.dom0_memory}M"
        if self.dom0 == "pvh":
            dom0 += " dom0=pvh"
        return f"console=com1 com1=115200,8n1 {dom0} {self.hypervisor_options}".strip()

    def module_list(self):
        if self.modules is not None:
            return list(self.modules)
        kernel = os.path.join(IMAGES, "vmlinuz")
        options = f"console=hvc0 rig.toolstack={self.toolstack} {self.dom0_options}".strip()
        files = "dom0-driverdomains.initrd" if self.driver_domains else TOOLSTACKS[self.toolstack]
        return [f"{kernel} {options}", os.path.join(IMAGES, files)]

    def qemu_command(self):
        accelerator = f"tcg,thread={'multi' if self.threads else 'single'}"
        command = ["qemu-system-x86_64", "-accel", accelerator, "-machine", "q35"]
        command += ["-cpu", self.cpu]
        command += ["-smp", str(self.cpus), "-m", str(self.memory)]
        if self.iommu:
            command += ["-device", IOMMUS.get(self.iommu, self.iommu)]
        command += ["-nic", "none", "-display", "none", "-monitor", "none", "-no-reboot"]
        command += ["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]
        if self.icount:
            command += ["-icount", "shift=0,sleep=off", "-rtc", "clock=vm"]
        for device in self.devices:
            disk = os.path.join(IMAGES, f"scratch-{device}.img")
            command += [argument.format(disk=disk) for argument in DEVICES[device]]
        return command + self.loader_arguments() + list(self.qemu_arguments)

    def loader_arguments(self):
        if self.loader == "qemu":
            arguments = ["-kernel", self.hypervisor_path()]
            arguments += ["-append", self.hypervisor_command_line()]
            if self.module_list():
                arguments += ["-initrd", ",".join(self.module_list())]
            return arguments
        firmware = iso.UEFI_ARGUMENTS if self.loader.endswith("uefi") else []
        if self.loader.startswith("grub"):
            return firmware + ["-cdrom", self.iso_path()]
        disk = f"file={self.disk_image},format=raw,if=none,id=boot"
        return firmware + ["-drive", disk, "-device", "ide-hd,drive=boot,bus=ide.0,bootindex=0"]

    def iso_path(self):
        return os.path.join(IMAGES, "boot.iso")


def build_images():
    """Brings the rig's images up to date; quick when they are."""
    subprocess.run(["make", "-s", "-C", RIG, "images"], check=True)


class Transcript:
    """All that a console said: in memory, and in a file when one is named."""

    def __init__(self, path=None):
        self.text = ""
        self.file = None
        self.echo = None
        if path:
            os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
            self.file = open(path, "w", encoding="utf-8", errors="replace")

    def write(self, text):
        self.text += text
        for stream in (self.file, self.echo):
            if stream is not None:
                stream.write(text)
                stream.flush()

    def flush(self):
        """Nothing is held back; pexpect calls this after each write."""

    def close(self):
        if self.file is not None:
            self.file.close()


class Machine:
    """One run of an emulated machine; use it in a with statement."""

    running = None

    def __init__(self, configuration):
        self.configuration = configuration
        self.console = None
        self.monitor = None
        self.debugger = None
        self.hardware = None
        self.lock = None
        self.transcript = Transcript(configuration.log)
        self.commands = 0
        self.begin = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.close()

    def start(self):
        """Waits for the lock and powers the machine on."""
        if Machine.running is not None:
            raise MachineError("this process already runs a machine, and would wait for itself")
        self.make_scratch_disks()
        self.lock = open(LOCK, "a", encoding="utf-8")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        Machine.running = self
        self.begin = time.monotonic()
        if self.configuration.loader.startswith("grub"):
            self.make_iso()
        self.monitor = qmp.Monitor()
        command = self.configuration.qemu_command() + self.monitor.qemu_arguments()
        if self.configuration.debugger:
            self.debugger = gdb.Debugger(self.monitor.folder)
            command += self.debugger.qemu_arguments()
        if self.configuration.hardware:
            self.hardware = hardware.Hardware(self.monitor.folder, self.configuration.memory)
            command += self.hardware.qemu_arguments()
        self.console = pexpect.spawn(
            command[0],
            command[1:],
            encoding="utf-8",
            codec_errors="replace",
            echo=False,
            maxread=65536,
            dimensions=(50, 250),
        )
        self.console.logfile_read = self.transcript
        self.console.delaybeforesend = None
        self.monitor.connect()
        if self.debugger is not None:
            self.debugger.connect()
        if self.hardware is not None:
            self.hardware.connect(self.console.pid)

    def close(self):
        """Powers the machine off at once and gives up the lock."""
        if self.console is not None:
            self.console.close(force=True)
        if self.hardware is not None:
            self.hardware.close()
        if self.monitor is not None:
            self.monitor.close()
        self.transcript.close()
        if self.lock is not None:
            self.lock.close()
            Machine.running = None

    def make_iso(self):
        chosen = self.configuration
        options = chosen.hypervisor_command_line()
        iso.make(chosen.iso_path(), chosen.hypervisor_path(), options, chosen.module_list())

    def make_scratch_disks(self):
        for device in self.configuration.devices:
            if "{disk}" in " ".join(DEVICES[device]):
                path = os.path.join(IMAGES, f"scratch-{device}.img")
                with open(path, "wb") as disk:
                    disk.truncate(self.configuration.disk_size)

    def expect(self, pattern, timeout):
        """Waits for a regular expression on the console and returns its match."""
        try:
            self.console.expect(pattern, timeout=timeout)
        except (pexpect.TIMEOUT, pexpect.EOF) as error:
            what = f"did not say so within {timeout} s"
            if isinstance(error, pexpect.EOF):
                what = f"ended ({self.monitor.shutdown_reason()})"
            tail = (self.console.before or "")[-3000:]
            raise MachineError(
                f"waiting for {pattern!r}: the machine {what}; last on its console:\n{tail}"
            ) from None
        return self.console.match

    def wait_shell(self, timeout=300):
        """Waits for domain 0's shell."""
        self.expect(READY, timeout)
        self.expect(SHELL_PROMPT, 60)
        self.prepare_shell()

    def prepare_shell(self):
        """Makes the shell that has just printed its prompt fit for run()."""
        self.console.sendline("stty -echo; PS1=; PS2=; export LC_ALL=C")
        self.run("true", timeout=60)

    def run(self, command, timeout=120):
        """Runs a command at domain 0's shell; returns its exit status and its output.

        Lines that the hypervisor or a kernel wrote to the same console meanwhile are taken out.
        """
        self.commands += 1
        mark = f"rig-{self.commands}"
        self.console.sendline(f"echo '{mark}''-begin'; {{ {command}\n}} 2>&1; echo '{mark}''-end' $?")
        self.expect(f"{mark}-begin\r*\n", timeout)
        match = self.expect(rf"{mark}-end (\d+)\r*\n", timeout)
        output = self.console.before.replace("\r", "")
        lines = [line for line in output.splitlines() if not re.match(r"\(XEN\) |\[ *\d+\.\d+\] ", line)]
        return int(match.group(1)), "\n".join(lines)

    def check(self, command, timeout=120):
        """Runs a command that must succeed and returns its output."""
        status, output = self.run(command, timeout)
        if status != 0:
            raise MachineError(f"{command}: exit status {status}\n{output}")
        return output

    def expect_end(self, timeout):
        """Waits until the machine is off (with -no-reboot a restart, too, ends it); says why."""
        try:
            self.console.expect(pexpect.EOF, timeout=timeout)
        except pexpect.TIMEOUT:
            tail = (self.console.before or "")[-3000:]
            raise MachineError(f"the machine still runs; last on its console:\n{tail}") from None
        return self.monitor.shutdown_reason()

    def interact(self):
        """Hands the console to the person at the terminal until QEMU ends."""
        self.console.sendline("stty echo; PS1='dom0# '")
        self.transcript.echo = None
        self.console.interact(escape_character="\x1d")


def missing_files(configuration):
    """The files that a boot needs and that are not there."""
    if configuration.loader.startswith("image"):
        paths = [configuration.disk_image]
    else:
        paths = [configuration.hypervisor_path()]
        paths += [module.split(" ")[0] for module in configuration.module_list()]
    missing = [path for path in paths if not os.path.exists(path)]
    if shutil.which("qemu-system-x86_64") is None:
        missing.append("qemu-system-x86_64")
    return missing


def elapsed(since):
    return f"{time.monotonic() - since:.1f} s"

"""One boot of one VMM, for ``vm.py``: the command, the marks on the guest's serial port, the VMM's memory.

Both get the same kernel, initramfs (vm_guest.c as its init), command line, memory, one vCPU, one virtio-blk disk on
virtio-mmio.  qemu's machine is its smallest, ``microvm``, without what minirun has not either; ACPI stays, because the
distribution's kernels find virtio-mmio by nothing else.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
MEGABYTES = 256
MARK = 0xB5
SILENCE = 120.0  # seconds
# minirun's own words (minirun/vm/boot/cmdline.py) but for the console: the serial port is ours.
LINE = (
    "quiet panic=-1 reboot=panic_warm tsc=reliable cryptomgr.notests rcupdate.rcu_expedited=1 8250.nr_uarts=1 pci=off "
    "random.trust_cpu=on"
)


class Setting(NamedTuple):
    """What both are given."""

    kernel: Path
    initramfs: Path
    disk: Path
    words: str = ""  # more on the command line: how much to measure

    @property
    def line(self) -> str:
        return f"{LINE} {self.words}".strip()


class Boot(NamedTuple):
    """Seconds since the start of the command, by mark, each time it came; KiB of the VMM beyond the guest's memory."""

    marks: dict[str, list[float]]
    kib: int

    def shortest(self, begin: str, end: str) -> float:
        """Of all rounds, the one that had the machine to itself."""
        return min(last - first for first, last in zip(self.marks[begin], self.marks[end], strict=True))


def minirun(setting: Setting) -> list[str]:
    import site

    script = str(ROOT / "tests" / "bench" / "vm_machine.py")
    given = [str(setting.kernel), str(setting.initramfs), str(MEGABYTES), str(setting.disk), setting.line]
    return ["/usr/bin/python3", "-ISE", script, *given, *site.getsitepackages()]


def qemu(setting: Setting) -> list[str]:
    return [
        "qemu-system-x86_64", "-M", "microvm,acpi=on,pic=on,pit=on,rtc=off,pcie=off,usb=off,isa-serial=on",
        "-accel", "kvm", "-cpu", "host", "-smp", "1", "-m", str(MEGABYTES),
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-kernel", str(setting.kernel), "-initrd", str(setting.initramfs), "-append", setting.line,
        "-chardev", "stdio,id=out,signal=off", "-serial", "chardev:out",
        "-drive", f"id=disk,file={setting.disk},format=raw,if=none", "-device", "virtio-blk-device,drive=disk",
    ]  # fmt: skip


VMMS = {"minirun": minirun, "qemu": qemu}


def boot(name: str, setting: Setting, last: str = "I") -> Boot:
    """Until the mark ``last``; then the VMM is killed.  Raises RuntimeError with what it said."""
    argv = VMMS[name](setting)
    marks: dict[str, list[float]] = {}
    kib = 0
    start = time.monotonic()
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    assert process.stderr
    text = bytearray()
    try:
        while last not in marks:
            if not select.select([process.stdout], [], [], SILENCE)[0]:
                raise RuntimeError(f"{name} was silent for {SILENCE:.0f} s: {bytes(text)!r}")
            data = os.read(process.stdout.fileno(), 4096)
            now = time.monotonic() - start
            if not data:
                raise RuntimeError(f"{name} ended: {process.stderr.read().decode(errors='replace').strip()}")
            text += data
            for letter in found(text):
                marks.setdefault(letter, []).append(now)
                if letter == "I":
                    kib = beyond(process.pid)
            if "X" in marks:
                raise RuntimeError(f"the guest failed at line {bytes(text)!r} of vm_guest.c under {name}")
    finally:
        process.kill()
        process.communicate()
    return Boot(marks, kib)


def found(text: bytearray) -> list[str]:
    """The marks in ``text``, taken out of it up to the last whole one."""
    letters = []
    while (at := text.find(MARK)) >= 0 and at + 1 < len(text):
        letters.append(chr(text[at + 1]))
        del text[: at + 2]
    return letters


def beyond(pid: int) -> int:
    """KiB of Pss of all mappings but the guest's memory, which is told by its size (proc_pid_smaps(5))."""
    whole, guest = 0, 0
    for part in re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path(f"/proc/{pid}/smaps").read_text(errors="replace")):
        sizes = dict(re.findall(r"(?m)^(Size|Pss): +(\d+) kB", part))
        if sizes:
            whole += int(sizes["Pss"])
            guest += int(sizes["Pss"]) * (int(sizes["Size"]) == MEGABYTES << 10)
    if not guest:
        raise RuntimeError("no mapping is as large as the guest's memory")
    return whole - guest


def build_guest(folder: Path) -> Path:
    """vm_guest.c as a static program; outside of the lab, where a compiler is quick."""
    source = ROOT / "tests" / "bench" / "vm_guest.c"
    target = folder / "vm-guest"
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cc", "-O2", "-Wall", "-static", "-o", target, source], check=True)
    return target


def initramfs(kernel: Path, guest: Path, target: Path) -> Path:
    """minirun's archive with another init: the modules of virtio-mmio and virtio-blk travel along."""
    sys.path.insert(0, str(ROOT))
    from minirun.vm.kernel import at, initramfs_for

    target.write_bytes(initramfs_for(at(str(kernel)), ("mmio", "block"), init=str(guest)))
    return target

"""minirun's micro-VMs beside ``qemu -M microvm``, in one run: the second half of ``make bench``.

    .venv/bin/python tests/bench/vm.py [--runs N] [--flavour cloud|generic] [--write docs/performance.md] [--json FILE]

Where this machine's KVM is hardware's, here; elsewhere in the lab VM, whose KVM behaves like hardware's and is slow
like software: ratios mean something there, seconds do not.  Read ``vm_guest.c`` (what the guest does), ``vm_boot``
(one boot of each), then this: rounds in turns, medians, the table.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import report
from vm_boot import ROOT, VMMS, Boot, Setting, boot, build_guest, initramfs

CACHE = ROOT / ".cache" / "bench"
BEGIN, END = "<!-- bench-vm:begin -->", "<!-- bench-vm:end -->"
PORTS, DISK, READS = 5000, 32, 300  # accesses, MiB, reads of 4 KiB
FORMATS = ("vmlinux", "vmlinuz")
# Row -> (unit, is less better, the aim as minirun / qemu).
ROWS: dict[str, tuple[str, bool, float]] = {
    "exec to the guest's init, vmlinux": ("s", True, 0.9),
    "exec to the guest's init, bzImage": ("s", True, 0.9),
    "VMM memory beyond the guest's, vmlinux": ("MiB", True, 0.5),
    "VMM memory beyond the guest's, bzImage": ("MiB", True, 0.5),
    "exits of a port that nobody owns": ("/s", False, 1.0),
    "exits of a serial port's register": ("/s", False, 0.0),
    "virtio-blk, sequential, 256 KiB": ("MiB/s", False, 0.8),
    "virtio-blk, random, 4 KiB": ("/s", False, 0.8),
}
Samples = dict[str, dict[str, list[float]]]


def options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Measure minirun's micro-VMs beside qemu's.")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="rounds (default 3)")
    parser.add_argument("--flavour", default="cloud", help="which of the guest kernels (make guest-kernel)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this markdown file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures as JSON")
    parser.add_argument("--build", action="store_true", help="only make the guest's program")
    parser.add_argument("--here", action="store_true", help="on this machine's own KVM, whatever it is")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    chosen = options(argv)
    guest = build_guest(CACHE)
    if chosen.build:
        return 0
    figures = CACHE / "vm.json"
    if chosen.here or hardware():
        data = measure(chosen, guest)
    else:
        words = [sys.executable, __file__, "--here", "--runs", str(chosen.runs), "--flavour", chosen.flavour]
        inner = f"{shlex.join(words)} --json /run/lab/artefacts/vm.json"
        lab = [sys.executable, str(ROOT / "rootfs" / "lab" / "lab.py"), "--timeout", "1800", "--"]
        done = subprocess.run([*lab, f"mkdir -p /run/lab/artefacts; {inner}"], stdout=sys.stderr)
        if done.returncode:
            raise SystemExit("bench: the machines could not be measured in the lab")
        data = json.loads((ROOT / ".cache" / "lab" / "artefacts" / "vm.json").read_text())
    (chosen.json or figures).write_text(json.dumps(data, indent=2) + "\n")
    print("\n".join(text(data)))
    if chosen.write:
        write(chosen.write, data)
    return 0


def hardware() -> bool:
    """Is this machine's KVM the processor's?  The emulated kind shows neither flag (rootfs/lab/machine.py)."""
    words = set(Path("/proc/cpuinfo").read_text().split())
    return os.access("/dev/kvm", os.R_OK | os.W_OK) and bool(words & {"vmx", "svm"})


def measure(chosen: argparse.Namespace, guest: Path) -> dict[str, Any]:
    """All rounds; the first boot of each warms caches and is not counted."""
    kernels = ROOT / ".cache" / "guest" / chosen.flavour
    samples: Samples = {row: {name: [] for name in VMMS} for row in ROWS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        disk = folder / "disk"
        disk.write_bytes(os.urandom(1 << 20) * DISK)
        archive = initramfs(kernels / "vmlinux", guest, folder / "initramfs")
        for number in range(chosen.runs + 1):
            for kind in FORMATS:
                full = kind == FORMATS[0] and number > 0
                words = f"bench={PORTS},{DISK},{READS}" if full else ""
                setting = Setting(kernels / kind, archive, disk, words)
                for vmm in VMMS:
                    done = boot(vmm, setting, "E" if full else "I")
                    print(f"bench: {vmm}, {kind}: {done.marks['I'][0]:.2f} s", file=sys.stderr, flush=True)
                    if number:
                        take(samples, vmm, kind, done)
    return {"machine": report.machine(), "lab": "MINIRUN_IN_LAB" in os.environ, "runs": chosen.runs,
            "kernel": kernels.resolve().name, "qemu": version(), "samples": samples}  # fmt: skip


def take(samples: Samples, vmm: str, kind: str, done: Boot) -> None:
    """The figures of one boot."""
    form = "bzImage" if kind == "vmlinuz" else kind
    found = {
        f"exec to the guest's init, {form}": done.marks["I"][0],
        f"VMM memory beyond the guest's, {form}": done.kib / 1024,
    }
    pairs = {
        "exits of a port that nobody owns": ("P", "p", PORTS),
        "exits of a serial port's register": ("U", "u", PORTS),
        "virtio-blk, sequential, 256 KiB": ("S", "s", DISK),
        "virtio-blk, random, 4 KiB": ("R", "r", READS),
    }
    for row, (begin, end, amount) in pairs.items():
        if end in done.marks:
            found[row] = amount / done.shortest(begin, end)
    for row, value in found.items():
        samples[row][vmm].append(round(value, 4))


def version() -> str:
    said = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True).stdout
    return said.split("version ")[-1].split()[0] if said else "?"


def ratio(samples: Samples, row: str) -> float:
    return central(row, samples[row]["minirun"]) / central(row, samples[row]["qemu"])


def central(row: str, values: list[float]) -> float:
    """Of times and sizes the median; of rates the best, because noise makes nothing faster."""
    return median(values) if ROWS[row][1] else max(values)


def rows(data: dict[str, Any]) -> list[list[str]]:
    """Cells, the header first."""
    table = [["", *VMMS, "minirun / qemu", "aim"]]
    for row, (unit, less, aim) in ROWS.items():
        samples = data["samples"][row]
        cells = [spread(row, samples[name]) for name in VMMS]
        wanted = "" if not aim else f"at most {aim}" if less else f"at least {aim}"
        table.append([f"{row}, {unit}", *cells, f"{ratio(data['samples'], row):.2f}", wanted])
    return table


def spread(row: str, values: list[float]) -> str:
    """What counts, and the lowest to the highest."""
    return f"{short(central(row, values))} ({short(min(values))}-{short(max(values))})"


def short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def conditions(data: dict[str, Any]) -> list[str]:
    host = data["machine"]
    where = "in the lab VM, emulated in software: ratios count, not seconds" if data["lab"] else "on this machine's KVM"
    return [
        f"Medians, of rates the best (lowest-highest), of {data['runs']} runs in turns; one vCPU, 256 MiB.",
        f"Measured {where}; {host['date']}.",
        f"Guest: Debian's {data['kernel']}, the same initramfs and command line; qemu {data['qemu']} -M microvm.",
        f"{host['system']}, {host['kernel']}, {host['cpus']} CPUs; load average {host['load']} afterwards.",
    ]


def text(data: dict[str, Any]) -> list[str]:
    table = rows(data)
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return [*lines, "", *conditions(data)]


def write(file: Path, data: dict[str, Any]) -> None:
    """Replace what is between the two marks, and nothing else."""
    before, begin, rest = file.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"bench: {file} has no {BEGIN} … {END}")
    table = rows(data)
    head = ["| " + " | ".join(table[0]) + " |", "| --- | ---: | ---: | ---: | --- |"]
    body = ["| " + " | ".join(row) + " |" for row in table[1:]]
    notes = ["", *(f"- {line}" for line in conditions(data))]
    file.write_text("\n".join([f"{before}{begin}", *head, *body, *notes, f"{end}{after}"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

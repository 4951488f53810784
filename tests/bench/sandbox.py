"""A sandbox (a VM without a kernel) beside a container, in one run: the last part of ``make bench``.

    .venv/bin/python tests/bench/sandbox.py [--runs N] [--write docs/performance.md] [--json FILE]

The same bundle under each isolation, in turns: a static busybox's ``true``, cold, by the command, and from a process
that has minirun in it already; then a program of ours (sandboxed.c) that says what calls, forks and clones cost it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import report
import view

ROOT = Path(__file__).resolve().parents[2]
MINIRUN = ROOT / ".venv" / "bin" / "minirun"
BEGIN, END = "<!-- bench-sandbox:begin -->", "<!-- bench-sandbox:end -->"
NAMES = ("container", "sandbox")
# Row -> (label, unit, what a unit has of what was measured)
ROWS = {
    "cold": ("`run` of `/bin/true`, cold", "ms", 1.0),
    "warm": ("`/bin/true`, start to exit, from a warm process", "ms", 1.0),
    "getppid": ("a system call (getppid)", "µs", 1e3),
    "read": ("read of 1 byte", "µs", 1e3),
    "write": ("write of 4 KiB", "µs", 1e3),
    "fork": ("fork of a program of 16 MiB, to the child's first byte", "ms", 1e6),
    "clone": ("memory of each of 100 clones (PSS)", "KiB", 1.0),
}
SECONDS = 120

WARM = """
import os, sys, time
sys.path.insert(0, {root!r})
from minirun.linux.kvm import Kvm
from minirun.vm.sandbox.calls import everything
from minirun.vm.sandbox.calls.process import run
from minirun.vm.sandbox.descriptors import Files
from minirun.vm.sandbox.first import First
from minirun.vm.sandbox.process import Process
everything()
kvm, proc = Kvm(), os.open("/proc", os.O_PATH | os.O_DIRECTORY)
os.chroot({rootfs!r}); os.chdir("/")
for number in range({runs}):
    begin = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        process = Process(kvm, proc, Files({{0: 0, 1: 1, 2: 2}}), First(kvm))
        thread = process.begin()
        process.execute(thread, b"/bin/true", [b"true"], [])
        run(thread)
    if os.waitpid(pid, 0)[1]:
        sys.exit("a sandbox failed")
    print((time.perf_counter() - begin) * 1000)
"""


class Stand:
    """The bundle, and a state directory."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.bundle = place / "bundle"
        self.bundle.mkdir()
        subprocess.run([ROOT / "rootfs" / "busybox.sh", self.bundle / "rootfs"], check=True, capture_output=True)
        program = self.bundle / "rootfs" / "bin" / "sandboxed"
        source = Path(__file__).with_name("sandboxed.c")
        subprocess.run(["cc", "-O2", "-static", "-o", program, source], check=True)
        subprocess.run([MINIRUN, "spec", "-b", self.bundle], check=True)
        self.number = 0

    def command(self, isolation: str, *args: str) -> list[str]:
        file = self.bundle / "config.json"
        config = json.loads(file.read_text())
        config["process"]["terminal"], config["process"]["args"] = False, list(args)
        file.write_text(json.dumps(config))
        self.number += 1
        words = ["--root", str(self.place / "state"), "--isolation", isolation, "run", "-b", str(self.bundle)]
        return [str(MINIRUN), *words, f"bench-{os.getpid()}-{self.number}"]

    def cold(self, isolation: str) -> float:
        words = self.command(isolation, "/bin/true")
        begin = time.perf_counter()
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL)  # no timeout: with one, subprocess polls and sleeps
        return (time.perf_counter() - begin) * 1000

    def warm(self, runs: int) -> list[float]:
        program = WARM.format(root=str(ROOT), rootfs=str(self.bundle / "rootfs"), runs=runs + 1)
        done = subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=SECONDS
        )
        return [float(word) for word in done.stdout.split()][1:]

    def costs(self, isolation: str) -> dict[str, list[float]]:
        """What sandboxed.c says, and the memory of its clones."""
        found: dict[str, list[float]] = {}
        words = self.command(isolation, "/bin/sandboxed")
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout and process.stdin
            for line in process.stdout:
                name, value = line.split()
                if name == "ready":
                    found["clone"] = [memory(process.pid, int(value))]
                    process.stdin.close()
                else:
                    found.setdefault(name, []).append(float(value))
        if process.returncode or "clone" not in found:
            raise SystemExit(f"bench: the program of costs ended with {process.returncode} under {isolation}")
        return found


def memory(pid: int, clones: int) -> float:
    """KiB of each clone: all below the first process but itself, divided."""
    sys.path.insert(0, str(ROOT))
    from minirun.lab.watch import descendants

    family = descendants(pid)[2:]
    if len(family) != clones:
        raise SystemExit(f"bench: {len(family)} clones, not {clones}")
    return sum(process.pss for process in family) / clones


def measure(runs: int) -> dict[str, Any]:
    samples: dict[str, dict[str, list[float]]] = {row: {} for row in ROWS}
    with tempfile.TemporaryDirectory(prefix="minirun-bench-") as name:
        stand = Stand(Path(name))
        for number in range(runs + 1):
            for isolation in NAMES if number % 2 else reversed(NAMES):
                taken = stand.cold(isolation)
                if number:  # the first round warms caches
                    samples["cold"].setdefault(isolation, []).append(taken)
        samples["warm"]["sandbox"] = stand.warm(runs)
        for isolation in NAMES:
            for row, values in stand.costs(isolation).items():
                samples[row][isolation] = values
    return {"machine": report.machine(), "kvm": kvm(), "runs": runs, "samples": samples}


def kvm() -> str:
    sys.path.insert(0, str(ROOT))
    from minirun.lab.machine import kvm as words

    return words()


def ratio(data: dict[str, Any], row: str) -> float:
    """The sandbox's median over the container's."""
    samples = data["samples"][row]
    return float(median(samples["sandbox"]) / median(samples["container"]))


def rows(data: dict[str, Any]) -> list[list[str]]:
    table = [["", *NAMES, "sandbox / container"]]
    for row, (label, unit, factor) in ROWS.items():
        samples = data["samples"][row]
        cells = [shown(samples.get(name, []), factor) for name in NAMES]
        table.append([f"{label}, {unit}", *cells, f"{ratio(data, row):.2f}" if all(cells) else ""])
    return table


def shown(values: list[float], factor: float) -> str:
    if not values:
        return ""
    found = [value / factor for value in (median(values), min(values))]
    words = [f"{value:.0f}" if value >= 100 else f"{value:.3g}" for value in found]
    return words[0] if len(values) == 1 else f"{words[0]} ({words[1]})"


def conditions(data: dict[str, Any]) -> list[str]:
    host = data["machine"]
    return [
        f"Medians (lowest) of {data['runs']} runs in turns, of 20 rounds inside; {host['date']}.",
        f"{host['system']}, {host['kernel']}, {host['cpus']} CPUs; KVM: {data['kvm']}; load average {host['load']} "
        "afterwards.",
    ]


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench", description="Measure a sandbox beside a container.")
    parser.add_argument("--runs", type=int, default=15, metavar="N", help="rounds (default 15)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this markdown file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures as JSON")
    chosen = parser.parse_args(argv)
    target = chosen.write.resolve() if chosen.write else None
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("bench: no /dev/kvm: no sandbox is measured", file=sys.stderr)
        return 0
    view.enter()
    data = measure(chosen.runs)
    for row in rows(data):
        print("  ".join(cell.ljust(28) for cell in row).rstrip())
    print("\n".join(["", *conditions(data)]))
    if chosen.json:
        chosen.json.write_text(json.dumps(data, indent=2) + "\n")
    if target:
        report.put(target, (BEGIN, END), rows(data), conditions(data))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

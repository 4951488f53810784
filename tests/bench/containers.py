"""``minirun container`` beside podman, in one run: the third part of ``make bench``.

    .venv/bin/python tests/bench/containers.py [--runs N] [--write docs/performance.md] [--json FILE]

Both get the same image of a static busybox and a world of their own: namespaces (mount, network) with a pure cgroup v2,
an empty /run, stores in one temporary directory.  They take turns, step by step; the order changes every round.  podman
runs its containers by the runtime that works here (crun, else runc), without a seccomp profile on either side unless
the row says so: what is compared is all that stands between the command line and the program.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import report
import view
from scratch import folder, unmount_below

ROOT = Path(__file__).resolve().parents[2]
MINIRUN = ROOT / ".venv" / "bin" / "minirun"
BEGIN, END = "<!-- bench-containers:begin -->", "<!-- bench-containers:end -->"
NAMES = ("minirun", "podman")
IMAGE = "minirun.test/busybox:latest"
CLONE_NEWNET = 0x4000_0000
ROWS = {
    "run --rm, no network": ["run", "--rm", "--net", "none", IMAGE, "true"],
    "run --rm, default bridge": ["run", "--rm", "--net", "bridge", IMAGE, "true"],
    "run --rm, a published port": ["run", "--rm", "--net", "bridge", "-p", "127.0.0.1:8199:80", IMAGE, "true"],
    "run -d": ["run", "-d", "--net", "none", "--name", "web", IMAGE, "sleep", "1000"],
    "exec": ["exec", "web", "true"],
    "ps": ["ps"],
    "rm -f": ["rm", "-f", "web"],
}


class Subject:
    """One of the two: how it is called."""

    def __init__(self, name: str, words: list[str], version: str) -> None:
        self.name, self.words, self.version = name, words, version

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self.words, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)

    def ok(self, *words: str) -> str:
        done = self(*words)
        if done.returncode:
            raise SystemExit(f"bench: {self.name} {' '.join(words)}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def timed(self, words: list[str]) -> float:
        before = time.perf_counter()
        self.ok(*words)
        return (time.perf_counter() - before) * 1000


def enter() -> None:
    """A mount and a network namespace of our own."""
    view.enter()
    view.checked(view.libc.unshare(CLONE_NEWNET), "unshare")
    for target in ("/run", "/dev/shm"):
        view.checked(view.libc.mount(b"tmpfs", target.encode(), b"tmpfs", 0, b"mode=755"), "mount", target)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def runtime(place: Path) -> str:
    """The distribution's crun where it runs here, else runc."""
    said = ""
    for name in ("crun", "runc"):
        found = shutil.which(name)
        if not found:
            continue
        tried = subprocess.run([*podman(place, found), "run", "--rm", "--net", "none", *UNFILTERED, IMAGE, "true"],
                               capture_output=True, text=True, stdin=subprocess.DEVNULL)  # fmt: skip
        if tried.returncode == 0:
            return found
        said = f"{said}\n{tried.stderr.strip()}"
    raise SystemExit(f"bench: podman runs no container here, neither by crun nor by runc: {said}")


UNFILTERED = ("--security-opt", "seccomp=unconfined")
# No limit of processes where no controller is, no rlimits above what root of a container may set.
CONFIG = "[containers]\ndefault_ulimits = []\npids_limit = 0\n"


def podman(place: Path, program: str) -> list[str]:
    return [
        "podman", "--root", f"{place}/podman", "--runroot", "/run/podman", "--cgroup-manager", "cgroupfs",
        "--events-backend", "none", "--runtime", program,
    ]  # fmt: skip


def subjects(place: Path) -> list[Subject]:
    sys.path.insert(0, str(ROOT))
    from tests.integration.busybox_image import write_image

    archive = write_image(place / "image.tar")
    (place / "containers.conf").write_text(CONFIG)
    os.environ["CONTAINERS_CONF"] = str(place / "containers.conf")
    first = podman(place, "crun")
    subprocess.run([*first, "load", "-q", "-i", archive], check=True, capture_output=True)
    peer = runtime(place)
    ours = [str(MINIRUN), "--root", "/run/minirun", "--storage", f"{place}/minirun"]
    subprocess.run([*ours, "image", "load", "-q", "-i", archive], check=True, capture_output=True)
    said = subprocess.run(["podman", "--version"], capture_output=True, text=True).stdout.split()[-1]
    return [
        Subject("minirun", [*ours, "container"], ""),
        Subject("podman", podman(place, peer), f"{said} with {Path(peer).name}"),
    ]


def words_of(subject: Subject, row: str) -> list[str]:
    """The same command for both; podman's rm asks first, and waits, unless it is told not to."""
    words = ROWS[row]
    if words[0] == "rm" and subject.name == "podman":
        return ["rm", "-f", "-t", "0", *words[2:]]
    if words[0] != "run":
        return words
    return [words[0], *UNFILTERED, *words[1:]]


def measure(runs: int) -> dict[str, Any]:
    samples: dict[str, dict[str, list[float]]] = {row: {name: [] for name in NAMES} for row in ROWS}
    with folder() as name:
        both = subjects(Path(name))
        try:
            for number in range(runs + 1):
                for row in ROWS:
                    for subject in both if number % 2 else reversed(both):
                        taken = subject.timed(words_of(subject, row))
                        if number:  # the first round warms caches
                            samples[row][subject.name].append(round(taken, 2))
        finally:
            for subject in both:
                subject("rm", "-f", "-a")
            unmount_below(Path(name))
    versions = {subject.name: subject.version for subject in both if subject.version}
    return {"machine": report.machine(), "runs": runs, "versions": versions, "samples": samples}


def ratio(data: dict[str, Any], row: str) -> float:
    """minirun's median over podman's."""
    samples = data["samples"][row]
    return float(median(samples["minirun"]) / median(samples["podman"]))


def rows(data: dict[str, Any]) -> list[list[str]]:
    table = [["", *(f"{name}, ms" for name in NAMES), "minirun / podman"]]
    for row, samples in data["samples"].items():
        cells = [f"{median(samples[name]):.0f} ({min(samples[name]):.0f})" for name in NAMES]
        table.append([f"`{row}`", *cells, f"{ratio(data, row):.2f}"])
    return table


def conditions(data: dict[str, Any]) -> list[str]:
    host = data["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in data["versions"].items())
    return [
        f"Medians (lowest) of {data['runs']} runs in turns; {versions}; {host['date']}.",
        f"{host['system']}, {host['kernel']}, {host['cpus']} CPUs; load average {host['load']} afterwards.",
    ]


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench", description="Measure minirun container beside podman.")
    parser.add_argument("--runs", type=int, default=15, metavar="N", help="rounds (default 15)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this markdown file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures as JSON")
    chosen = parser.parse_args(argv)
    target = chosen.write.resolve() if chosen.write else None
    enter()
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
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    sys.exit(main(sys.argv[1:]))

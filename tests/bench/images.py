"""An image of Debian, from an image layout to files that a container can use, beside podman; in one run, in turns.

    .venv/bin/python tests/bench/images.py [--runs N] [--tar FILE] [--json FILE] [--write docs/performance.md]

minirun: ``image load`` and ``container create`` (which unpacks, and makes a container besides); podman: ``pull oci:``
(which copies and unpacks).  Each round of each has a new ext4 of its own (a loop device): ext4 does not give an inode
out again in the minute after its removal, and searches for another one meanwhile, so whoever came after a clean-up on
the same file system would be measured with it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import report

ROOT = Path(__file__).resolve().parents[2]
MINIRUN = ROOT / ".venv" / "bin" / "minirun"
BEGIN, END = "<!-- bench-images:begin -->", "<!-- bench-images:end -->"
ROOM = "4G"


def run(*argv: str | Path) -> None:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit(f"bench: {argv}: exit {done.returncode}: {done.stderr.strip()}")


def layout(place: Path, tar: str) -> Path:
    """Debian, minbase, as an image of one gzip layer in a directory."""
    source = Path(tar) if tar else place / "debian.tar"
    if not tar:
        run("mmdebstrap", "--variant=minbase", "--mode=root", "bookworm", source)
    packed = place / "debian.tar.gz"
    with open(packed, "wb") as file:
        subprocess.run(["gzip", "-6", "-n", "-c", source], stdout=file, check=True)
    base: list[str | Path] = [MINIRUN, "--storage", place / "source", "--root", place / "run"]
    run(*base, "image", "import", packed, "debian:bench")
    run(*base, "image", "export", "debian:bench", place / "layout")
    shutil.rmtree(place / "source")
    packed.unlink()
    return place / "layout"


def minirun(place: Path, image: Path) -> None:
    base: list[str | Path] = [MINIRUN, "--storage", place / "storage", "--root", place / "run"]
    run(*base, "image", "load", "-q", "-i", image)
    run(*base, "container", "create", "--net", "none", "debian:bench", "true")


def podman(place: Path, image: Path) -> None:
    base: list[str | Path] = [
        "podman",
        "--root",
        place / "root",
        "--runroot",
        place / "runroot",
        "--storage-driver",
        "overlay",
    ]
    run(*base, "pull", "-q", f"oci:{image}")


class Fresh:
    """A new file system, for as long as it takes."""

    def __init__(self, place: Path) -> None:
        self.file, self.root = place / "fs.img", place / "fs"

    def __enter__(self) -> Path:
        run("truncate", "-s", ROOM, self.file)
        run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.file)
        self.root.mkdir()
        run("mount", "-o", "loop", self.file, self.root)
        return self.root

    def __exit__(self, *why: object) -> None:
        subprocess.run(["umount", self.root / "root" / "overlay"], capture_output=True)  # podman's, mounted on itself
        run("umount", self.root)
        self.root.rmdir()
        self.file.unlink()


def measure(place: Path, image: Path, runs: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"minirun": [], "podman": []}
    subjects = {"minirun": minirun, "podman": podman}
    for number in range(runs):
        order = list(subjects) if number % 2 else list(reversed(subjects))
        for name in order:
            with Fresh(place) as own:
                before = time.perf_counter()
                subjects[name](own, image)
                found[name].append(time.perf_counter() - before)
    return found


def summary(found: dict[str, list[float]], size: int) -> list[str]:
    """The table, and what it was measured on."""
    middle = {name: median(times) for name, times in found.items()}
    host = report.machine()
    return [
        "| step | minirun | podman | podman / minirun |", "| --- | ---: | ---: | ---: |",
        f"| Debian, from a layout to files | {middle['minirun']:.2f} s | {middle['podman']:.2f} s "
        f"| {middle['podman'] / middle['minirun']:.1f} |",
        "",
        f"- Medians of {len(found['minirun'])} rounds in turns, new stores; one gzip layer of {size / 1e6:.0f} MB.",
        f"- {host['system']}, {host['kernel']}, {host['cpus']} CPUs; load average {host['load']} afterwards.",
    ]  # fmt: skip


def write(file: Path, lines: list[str]) -> None:
    """Replace what is between the two marks, and nothing else."""
    before, begin, rest = file.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"bench: {file} has no {BEGIN} … {END}")
    file.write_text("\n".join([f"{before}{begin}", *lines, f"{end}{after}"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tar", default="", help="a root file system instead of a new one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures as JSON")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this markdown file")
    words = parser.parse_args()
    place = Path(tempfile.gettempdir()) / f"minirun-images-{os.urandom(6).hex()}"  # podman takes no _ in oci:PATH
    place.mkdir(0o700)
    try:
        image = layout(place, words.tar)
        size = max(path.stat().st_size for path in (image / "blobs" / "sha256").iterdir())
        found = measure(place, image, words.runs)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    lines = summary(found, size)
    print("\n".join(lines))
    print({name: sorted(round(one, 2) for one in times) for name, times in found.items()})
    if words.json:
        words.json.write_text(json.dumps({"seconds": found}) + "\n")
    if words.write:
        write(words.write, lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""An image of Debian, from an image layout to files that a container can use, beside podman; in one run, in turns.

    .venv/bin/python tests/bench/images.py [--runs N] [--tar FILE] [--json FILE]

minirun: ``image load`` and ``container create`` (which unpacks, and makes a container besides); podman: ``pull oci:``
(which copies and unpacks).  Stores are new for every round and on the same file system.  Between two rounds the bench
waits: ext4 does not give an inode out again within five seconds of its removal, and searches for another one meanwhile,
which would punish whoever comes after a clean-up.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
MINIRUN = ROOT / ".venv" / "bin" / "minirun"
SETTLE = 7.0  # seconds


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


def untidy(place: Path) -> None:
    """podman keeps its overlay's directory mounted on itself."""
    subprocess.run(["umount", "-R", place / "root" / "overlay"], capture_output=True)
    shutil.rmtree(place)


def measure(place: Path, image: Path, runs: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"minirun": [], "podman": []}
    subjects = {"minirun": minirun, "podman": podman}
    for number in range(runs):
        order = list(subjects) if number % 2 else list(reversed(subjects))
        for name in order:
            own = place / f"{name}-{number}"
            own.mkdir()
            time.sleep(SETTLE)
            before = time.perf_counter()
            subjects[name](own, image)
            found[name].append(time.perf_counter() - before)
            untidy(own)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tar", default="", help="a root file system instead of a new one")
    parser.add_argument("--json", default="")
    words = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="minirun-images-"))
    try:
        found = measure(place, layout(place, words.tar), words.runs)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    middle = {name: median(times) for name, times in found.items()}
    for name, seconds in middle.items():
        print(f"{name:<8} {seconds * 1000:7.0f} ms   of {', '.join(f'{one:.2f}' for one in sorted(found[name]))}")
    print(f"podman / minirun: {middle['podman'] / middle['minirun']:.1f}")
    if words.json:
        Path(words.json).write_text(json.dumps({"seconds": found, "medians": middle}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

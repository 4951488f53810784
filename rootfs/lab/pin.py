"""Which kernel the lab boots: Debian's generic one, pinned by version and digest, fetched with apt, never installed.

A point release takes the pinned version out of the archive.  Then the version that apt offers now is taken, whose
digest apt itself verifies against the archive's signature, and that is said: ``make lab-pin`` makes it the new pin.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
PINS = HERE / "kernel.pin"
META = "linux-image-amd64"  # what depends on the newest kernel


class LabError(Exception):
    """Why there is no lab; one sentence for people."""


class Pin(NamedTuple):
    """One row of kernel.pin."""

    suite: str
    package: str
    version: str
    digest: str


def read_pins(path: Path = PINS) -> list[Pin]:
    """The rows, in order.  Raises LabError for one that is not four words, or no SHA-256."""
    pins = []
    for line in path.read_text().splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 4 or not re.fullmatch(r"[0-9a-f]{64}", words[3]):
            raise LabError(f"{path.name}: not a pin: {line!r}")
        pins.append(Pin(*words))
    return pins


def apt(*words: str, cwd: Path | None = None) -> str:
    """apt's answer, in its own words untranslated; "" if it has none."""
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.stdout if done.returncode == 0 else ""


def offered(meta: str = META, pins: Path = PINS) -> dict[str, list[str]]:
    """Kernel packages that the archive has now: name -> versions; the newest package first."""
    found: dict[str, list[str]] = {}
    for line in apt("apt-cache", "depends", meta).splitlines():
        kind, _, name = line.strip().partition(": ")
        if kind == "Depends" and name.startswith("linux-image-"):
            found[name] = []
    for pin in read_pins(pins):
        found.setdefault(pin.package, [])
    for name, versions in found.items():
        rows = [line.split(" | ") for line in apt("apt-cache", "madison", name).splitlines()]
        versions += [row[1].strip() for row in rows if len(row) > 1]
    return {name: versions for name, versions in found.items() if versions}


def choose(meta: str = META, pins: Path = PINS) -> Pin:
    """The first pin that apt offers, else what it offers instead, with an empty digest."""
    have = offered(meta, pins)
    if not have:
        raise LabError(f"apt knows no {meta} here (apt-get update, on Debian); MINIRUN_LAB_KERNEL names another kernel")
    for pin in read_pins(pins):
        if pin.version in have.get(pin.package, ()):
            return pin
    package, versions = next(iter(have.items()))
    print(f"lab: no pinned kernel is in the archive any more, taking {package} {versions[0]}; make lab-pin pins it",
          file=sys.stderr)  # fmt: skip
    return Pin("-", package, versions[0], "")


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(pin: Pin, folder: Path) -> Path:
    """The package's file, its digest compared with the pin's.  Raises LabError."""
    folder.mkdir(parents=True, exist_ok=True)
    apt("apt-get", "download", "-q", f"{pin.package}={pin.version}", cwd=folder)
    files = list(folder.glob(f"{pin.package}_*.deb"))
    if len(files) != 1:
        raise LabError(f"apt-get download {pin.package}={pin.version} brought nothing")
    found = digest(files[0])
    if pin.digest and found != pin.digest:
        files[0].unlink()
        raise LabError(f"{pin.package} {pin.version}: the digest is {found}, the pin says {pin.digest}")
    return files[0]


def write_pin(cache: Path) -> None:
    """kernel.pin with what apt offers today, in place of the same suite's row."""
    package, versions = next(iter(offered().items()))
    suite = next((line.split("=")[1] for line in Path("/etc/os-release").read_text().splitlines()
                  if line.startswith("VERSION_CODENAME=")), "-")  # fmt: skip
    fetched = download(Pin(suite, package, versions[0], ""), cache)
    row = " ".join(Pin(suite, package, versions[0], digest(fetched)))
    lines = [line for line in PINS.read_text().splitlines() if not line.startswith(suite + " ")]
    PINS.write_text("\n".join([*lines, row]) + "\n")
    print(f"pinned: {row}")

"""What the lab's tests of cgroups share: a running container with limits, and the numbers of its cgroup."""

from __future__ import annotations

import time
from pathlib import Path

from tests.conftest import Bundle, Json, Runtime

HOME = Path("/sys/fs/cgroup/minirun")
MEGA = 1 << 20


def started(minirun: Runtime, bundle: Bundle, resources: Json, *words: str) -> tuple[str, Path]:
    """A container of its own; the device rules of the template stay."""
    bundle.config["linux"]["resources"] = {"devices": [{"allow": False, "access": "rwm"}], **resources}
    name = minirun.start(bundle.args(*words))
    return name, HOME / name


def value(group: Path, file: str, key: str = "") -> int:
    """A file's number, or the one behind ``key``."""
    text = (group / file).read_text()
    if not key:
        return int(text)
    return next(int(line.split()[1]) for line in text.splitlines() if line.split()[0] == key)


def usage(group: Path) -> int:
    """CPU time so far, in microseconds."""
    return value(group, "cpu.stat", "usage_usec")


def exit_code(minirun: Runtime, bundle: Bundle, resources: Json, *words: str) -> tuple[int, str]:
    """Of a container that runs to its end, and what it said."""
    bundle.config["linux"]["resources"] = resources
    done = minirun.run(bundle.args(*words))
    return done.returncode, done.stdout


def during(seconds: float, *groups: Path) -> list[float]:
    """The share of one CPU that each had for a while, all measured at once."""
    before, began = [usage(group) for group in groups], time.monotonic()
    time.sleep(seconds)
    after, ended = [usage(group) for group in groups], time.monotonic()
    return [(new - old) / 1e6 / (ended - began) for old, new in zip(before, after, strict=True)]

"""What a container uses and what holds it back, now: two looks at its cgroup, and the rates between them.

A file that is not there belongs to a controller that is not switched on for this cgroup: its value is None, never 0
(``cgroups.stats`` has 0 for it, as runc does).  Files: Documentation/admin-guide/cgroup-v2.rst; the pressure:
Documentation/accounting/psi.rst, a share of the last ten seconds in percent.
"""

from __future__ import annotations

import posix
import time

from minirun.cgroups import tree
from minirun.cgroups.stats import stats, table
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.runtime.store import State

# What a value needs: the file that tells whether it can be known, and the controller that brings the file.
NEEDS = {"memory": "memory.current", "pids": "pids.current", "io": "io.stat", "cpu": "cpu.max"}


class Look(Record):
    """One look.  ``files`` are the names in the cgroup's directory; times in seconds."""

    at: float
    files: frozenset[str]
    numbers: dict[str, Any]  # as cgroups.stats has them
    io: tuple[int, int]  # bytes read and written, all devices together
    oom_kills: int
    cpu_limit: float | None  # CPUs


class Reading(Record):
    """Two looks compared.  None: not known here; a limit of None: there is none.  CPU in percent of one CPU."""

    id: str
    status: str
    cpu: float | None = None
    cpu_limit: float | None = None
    throttled: float | None = None  # percent of the periods in which it wanted to run
    memory: int | None = None
    memory_limit: int | None = None
    oom_kills: int | None = None
    pids: int | None = None
    pids_limit: int | None = None
    read: float | None = None  # bytes a second
    written: float | None = None
    pressure: dict[str, tuple[float, float]]  # resource -> some, full
    missing: tuple[str, ...] = ()  # what could not be known: memory, pids, io, cpu (its limit), pressure


def look(directory: str) -> Look | None:
    """None if the cgroup is gone."""
    try:
        files = frozenset(posix.listdir(directory))
    except OSError:
        return None
    return Look(
        at=time.monotonic(), files=files, numbers=stats(directory), io=io_bytes(directory),
        oom_kills=table(directory, "memory.events").get("oom_kill", 0), cpu_limit=cpu_limit(directory),
    )  # fmt: skip


def io_bytes(directory: str) -> tuple[int, int]:
    """io.stat: a line for each device, "8:0 rbytes=1 wbytes=2 rios=3 ..."."""
    try:
        words = tree.read(f"{directory}/io.stat").split()
    except OSError:
        return 0, 0
    pairs = [word.partition("=") for word in words]
    read, written = (
        sum(int(value) for name, _, value in pairs if name == wanted and value.isdigit())
        for wanted in ("rbytes", "wbytes")
    )
    return read, written


def cpu_limit(directory: str) -> float | None:
    """cpu.max in CPUs: "25000 50000" is half of one."""
    words = text(directory, "cpu.max").split()
    if len(words) != 2 or not all(word.isdigit() for word in words):
        return None
    return int(words[0]) / max(int(words[1]), 1)


def limit(directory: str, name: str) -> int | None:
    word = text(directory, name).strip()
    return int(word) if word.isdigit() else None


def text(directory: str, name: str) -> str:
    try:
        return tree.read(f"{directory}/{name}")
    except OSError:
        return ""


def compare(state: State, status: str, before: Look, now: Look) -> Reading:
    """What happened between two looks at a container's cgroup."""
    directory = state.cgroupRoot + state.cgroup
    seconds = max(now.at - before.at, 0.001)
    cpu, memory, pids = now.numbers["cpu"], now.numbers["memory"], now.numbers["pids"]
    missing = [name for name, file in NEEDS.items() if file not in now.files]
    found = Reading(
        id=state.id, status=status, pressure=pressure(now),
        cpu=(cpu["usage"]["total"] - before.numbers["cpu"]["usage"]["total"]) / seconds / 1e7,
        cpu_limit=now.cpu_limit,
    )  # fmt: skip
    if "cpu" not in missing:
        found.throttled = share(before.numbers["cpu"]["throttling"], cpu["throttling"])
    if "memory" not in missing:
        found.memory, found.memory_limit = memory["usage"]["usage"], limit(directory, "memory.max")
        found.oom_kills = now.oom_kills
    if "pids" not in missing:
        found.pids, found.pids_limit = pids["current"], limit(directory, "pids.max")
    if "io" not in missing:
        found.read, found.written = ((b - a) / seconds for a, b in zip(before.io, now.io, strict=True))
    if not found.pressure:
        missing.append("pressure")
    found.missing = tuple(missing)
    return found


def share(before: dict[str, int], now: dict[str, int]) -> float | None:
    """Throttled periods in a hundred; None when there were none, for only a limited cgroup has periods."""
    periods = now["periods"] - before["periods"]
    return (now["throttledPeriods"] - before["throttledPeriods"]) * 100 / periods if periods > 0 else None


def pressure(now: Look) -> dict[str, tuple[float, float]]:
    found = {}
    for name, section in (("cpu", "cpu"), ("memory", "memory"), ("io", "blkio")):
        psi = now.numbers[section].get("psi", {})
        if "some" in psi:
            found[name] = (psi["some"]["avg10"], psi.get("full", {}).get("avg10", 0.0))
    return found

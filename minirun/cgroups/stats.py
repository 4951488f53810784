"""The numbers of a cgroup, in the JSON shape of ``runc events --stats`` (cgroup-v2.rst for each file)."""

from __future__ import annotations

from minirun.cgroups import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def table(directory: str, name: str) -> dict[str, int]:
    """A file of "key number" lines; {} if it is not there."""
    try:
        lines = tree.read(f"{directory}/{name}").splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines)
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def number(directory: str, name: str) -> int:
    """A file of one number; "max" and an absent file are 0."""
    try:
        word = tree.read(f"{directory}/{name}").strip()
    except OSError:
        return 0
    return int(word) if word.isdigit() else 0


def stats(directory: str) -> dict[str, Any]:
    """cpu, memory, pids, hugetlb and pressure; what has no controller here reads 0, as runc has it."""
    cpu = table(directory, "cpu.stat")
    memory = table(directory, "memory.stat")
    return {
        "cpu": {
            "usage": {
                "total": cpu.get("usage_usec", 0) * 1000,
                "kernel": cpu.get("system_usec", 0) * 1000,
                "user": cpu.get("user_usec", 0) * 1000,
            },
            "throttling": {
                "periods": cpu.get("nr_periods", 0),
                "throttledPeriods": cpu.get("nr_throttled", 0),
                "throttledTime": cpu.get("throttled_usec", 0) * 1000,
            },
            "psi": pressure(directory, "cpu"),
        },
        "memory": {
            "cache": memory.get("file", 0),
            "usage": usage(directory, "memory"),
            "swap": usage(directory, "memory.swap"),
            "raw": memory,
            "psi": pressure(directory, "memory"),
        },
        "pids": {"current": number(directory, "pids.current"), "limit": number(directory, "pids.max")},
        "blkio": {"psi": pressure(directory, "io")},
        "hugetlb": hugetlb(directory),
    }


def usage(directory: str, prefix: str) -> dict[str, int]:
    events = table(directory, f"{prefix}.events")
    return {
        "limit": number(directory, f"{prefix}.max"),
        "usage": number(directory, f"{prefix}.current"),
        "max": number(directory, f"{prefix}.peak"),
        "failcnt": events.get("max", 0),
    }


def hugetlb(directory: str) -> dict[str, dict[str, int]]:
    import posix

    try:
        names = posix.listdir(directory)
    except OSError:
        return {}
    sizes = sorted(name.split(".")[1] for name in names if name.startswith("hugetlb.") and name.endswith("B.current"))
    return {
        size: {
            "usage": number(directory, f"hugetlb.{size}.current"),
            "failcnt": table(directory, f"hugetlb.{size}.events").get("max", 0),
        }
        for size in sizes
    }


def pressure(directory: str, resource: str) -> dict[str, dict[str, float]]:
    """some and full of RESOURCE.pressure (accounting/psi.rst)."""
    found: dict[str, dict[str, float]] = {}
    try:
        lines = tree.read(f"{directory}/{resource}.pressure").splitlines()
    except OSError:
        return {}
    for line in lines:
        kind, *words = line.split()
        values = dict(word.split("=") for word in words)
        found[kind] = {name: float(values[name]) for name in ("avg10", "avg60", "avg300")} | {
            "total": int(values["total"])
        }
    return found

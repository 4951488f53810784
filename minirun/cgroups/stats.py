"""The numbers of a cgroup, in the JSON shape of ``runc events --stats`` (cgroup-v2.rst for each file).

The shape is cgroup v1's (runc, types/events.go); v2's numbers are put where v1's were: memory.swap.* counts swap
alone and is shown together with the memory, io.stat has a line for each device and is shown by kind.  Times are in
nanoseconds.  What has no controller here reads 0 or is left out; no limit is 2^64 - 1, and for processes 0.
"""

from __future__ import annotations

from minirun.cgroups import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

UNLIMITED = (1 << 64) - 1
# io.stat's word -> (member, operation)
IO = {
    "rbytes": ("ioServiceBytesRecursive", "Read"),
    "wbytes": ("ioServiceBytesRecursive", "Write"),
    "dbytes": ("ioServiceBytesRecursive", "Discard"),
    "rios": ("ioServicedRecursive", "Read"),
    "wios": ("ioServicedRecursive", "Write"),
    "dios": ("ioServicedRecursive", "Discard"),
}
# Switches of v1's cpuset that v2 does not have; runc shows them all the same.
CPUSET_V1 = (
    "cpu_exclusive", "mem_hardwall", "mem_exclusive", "memory_migrate", "memory_spread_page", "memory_spread_slab",
    "memory_pressure", "sched_load_balance", "sched_relax_domain_level",
)  # fmt: skip


def text(directory: str, name: str) -> str:
    """A file, or "" if it cannot be read: no controller, no pressure (ENOTSUP), or the cgroup is gone."""
    try:
        return tree.read(f"{directory}/{name}")
    except OSError:
        return ""


def table(directory: str, name: str) -> dict[str, int]:
    """A file of "key number" lines; {} if it is not there. "max" is 2^64 - 1."""
    pairs = (line.split() for line in text(directory, name).splitlines())
    return {pair[0]: value(pair[1]) for pair in pairs if len(pair) == 2 and (pair[1].isdigit() or pair[1] == "max")}


def value(word: str) -> int:
    return int(word) if word.isdigit() else UNLIMITED if word == "max" else 0


def number(directory: str, name: str) -> int:
    """A file of one number; an absent file is 0, "max" is 2^64 - 1."""
    return value(text(directory, name).strip())


def stats(directory: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "cpu": cpu(directory),
        "cpuset": cpuset(directory),
        "memory": memory(directory),
        "pids": pids(directory),
        "blkio": {**io(directory), **pressure(directory, "io")},
        "hugetlb": hugetlb(directory),
        "intel_rdt": {},
        "network_interfaces": None,
    }
    for name in ("rdma", "misc"):  # of cgroup v2 alone: no member of runc's shape, and none where there is nothing
        if more := keyed(directory, name):
            found[name] = more
    return found


def cpu(directory: str) -> dict[str, Any]:
    """cpu.stat is there without the controller, too: then without throttling."""
    stat = table(directory, "cpu.stat")
    return {
        "usage": {
            "total": stat.get("usage_usec", 0) * 1000,
            "kernel": stat.get("system_usec", 0) * 1000,
            "user": stat.get("user_usec", 0) * 1000,
        },
        "throttling": {
            "periods": stat.get("nr_periods", 0),
            "throttledPeriods": stat.get("nr_throttled", 0),
            "throttledTime": stat.get("throttled_usec", 0) * 1000,
        },
        "burst": {"periods": stat.get("nr_bursts", 0), "time": stat.get("burst_usec", 0) * 1000},
        **pressure(directory, "cpu"),
    }


def cpuset(directory: str) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(CPUSET_V1, 0)
    for member in ("cpus", "mems"):
        listed = numbers(text(directory, f"cpuset.{member}.effective").strip())
        if listed:
            found[member] = listed
    return found


def numbers(listed: str) -> list[int]:
    """ "0-2,7" -> [0, 1, 2, 7] (cpuset(7), List Format)."""
    found: list[int] = []
    for part in listed.split(",") if listed else ():
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def memory(directory: str) -> dict[str, Any]:
    """Usage and swap; kernel memory is counted, but has no limit of its own in v2."""
    stat = table(directory, "memory.stat")
    usage, swap = counted(directory, "memory"), counted(directory, "memory.swap")
    both = swap | {"usage": swap["usage"] + usage["usage"], "max": 0}  # the peaks need not have come together
    both["limit"] = min(swap["limit"] + usage["limit"], UNLIMITED)
    return {
        "cache": stat.get("file", 0),
        "usage": usage,
        "swap": both,
        "kernel": {"limit": 0, "usage": stat.get("kernel", 0), "failcnt": 0},
        "kernelTCP": {"limit": 0, "usage": stat.get("sock", 0), "failcnt": 0},
        "raw": stat,
        "events": table(directory, "memory.events"),
        **pressure(directory, "memory"),
    }


def counted(directory: str, prefix: str) -> dict[str, int]:
    return {
        "limit": number(directory, f"{prefix}.max"),
        "usage": number(directory, f"{prefix}.current"),
        "max": number(directory, f"{prefix}.peak"),
        "failcnt": table(directory, f"{prefix}.events").get("max", 0),
    }


def pids(directory: str) -> dict[str, int]:
    """Without the controller the processes are counted, as runc does."""
    if not text(directory, "pids.current"):
        return {"current": len(tree.processes(directory)), "limit": 0}
    limit = number(directory, "pids.max")
    return {"current": number(directory, "pids.current"), "limit": 0 if limit == UNLIMITED else limit}


def io(directory: str) -> dict[str, list[dict[str, Any]]]:
    """io.stat: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6" and, with iocost, "cost.usage=..."."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in text(directory, "io.stat").splitlines():
        device, *words = line.split()
        major, _, minor = device.partition(":")
        for word in words:
            name, _, count = word.partition("=")
            if name.startswith("cost."):
                member, operation = "ioCost" + name[5:].capitalize(), "Count"
            elif name in IO:
                member, operation = IO[name]
            else:
                continue
            row = {"major": int(major), "minor": int(minor), "op": operation, "value": value(count)}
            found.setdefault(member, []).append(row)
    return found


def hugetlb(directory: str) -> dict[str, dict[str, int]]:
    """Reservations where the kernel counts them, else pages in use (as runc reads them)."""
    import posix

    try:
        names = posix.listdir(directory)
    except OSError:
        return {}
    sizes = sorted(name.split(".")[1] for name in names if name.startswith("hugetlb.") and name.endswith("B.current"))
    found = {}
    for size in sizes:
        reserved = f"hugetlb.{size}.rsvd.current"
        found[size] = {
            "usage": number(directory, reserved if reserved in names else f"hugetlb.{size}.current"),
            "failcnt": table(directory, f"hugetlb.{size}.events").get("max", 0),
        }
    return found


def keyed(directory: str, controller: str) -> dict[str, dict[str, dict[str, int]]]:
    """rdma ("mlx5_0 hca_handle=2 hca_object=3") and misc ("sev 4"): device or resource -> current and max."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for name in ("current", "max"):
        for line in text(directory, f"{controller}.{name}").splitlines():
            key, *words = line.split()
            pairs = (word.rpartition("=") for word in words)
            found.setdefault(key, {})[name] = {word or "count": value(count) for word, _, count in pairs}
    return found


def pressure(directory: str, resource: str) -> dict[str, dict[str, dict[str, float]]]:
    """{"psi": some and full of RESOURCE.pressure} (accounting/psi.rst), microseconds; {} where there is none."""
    found: dict[str, dict[str, float]] = {}
    for line in text(directory, f"{resource}.pressure").splitlines():
        kind, *words = line.split()
        given = dict(word.split("=") for word in words)
        averages = {name: float(given[name]) for name in ("avg10", "avg60", "avg300")}
        found[kind] = averages | {"total": int(given["total"])}
    return {"psi": found} if found else {}

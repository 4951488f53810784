"""Members that few configurations have: the numbers behind their words, lists of CPUs and nodes, and their rules.

    /process/scheduler        sched_setattr(2), sched(7), linux/sched.h
    /process/ioPriority       ioprio_set(2), linux/ioprio.h
    /process/execCPUAffinity  sched_setaffinity(2)
    /linux/personality        personality(2), linux/personality.h
    /linux/memoryPolicy       set_mempolicy(2), linux/mempolicy.h
    /linux/netDevices         config-linux.md, Network Devices
    /linux/intelRdt           config-linux.md, IntelRdt; resctrl.rst

Imported only for a document that has one of them (``check.rare_rules``).
"""

from __future__ import annotations

from minirun.spec.rules import namespace_types
from minirun.spec.schema import MEMORY_MODES, SCHEDULER_FLAGS, SCHEDULER_POLICIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.spec.check import Problems

POLICY = {name: number for number, name in enumerate(SCHEDULER_POLICIES)}
SCHEDULER_FLAG = {name: 1 << bit for bit, name in enumerate(SCHEDULER_FLAGS)}
IO_CLASS = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
DOMAIN = {"LINUX": 0, "LINUX32": 8}
MODE = {name: number for number, name in enumerate(MEMORY_MODES)}
MODE_FLAG = {"MPOL_F_NUMA_BALANCING": 1 << 13, "MPOL_F_RELATIVE_NODES": 1 << 14, "MPOL_F_STATIC_NODES": 1 << 15}
WITHOUT_NODES = ("MPOL_DEFAULT", "MPOL_LOCAL")
MOST_CPUS = 8192  # NR_CPUS of the largest kernels there are
MOST_NODES = 1024  # MAX_NUMNODES
SHORTEST = 1024  # nanoseconds: what SCHED_DEADLINE can measure (kernel/sched/deadline.c, __checkparam_dl)
LONGEST_NAME = 15  # of an interface, in bytes: IFNAMSIZ without the NUL (netdevice(7))


def numbers(text: str, most: int) -> list[int]:
    """ "0-3,7" -> [0, 1, 2, 3, 7]; spaces and empty parts are fine, as in runc. Raises ValueError, in words."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first and not dash:
            continue
        ends = (first, last) if dash else (first, first)
        if not all(end.isascii() and end.isdigit() for end in ends):
            raise ValueError(f"must be a list such as 0-3,7, not {text!r}")
        low, high = (int(end[:9]) for end in ends)
        if low > high:
            raise ValueError(f"{part.strip()} is a range from the larger to the smaller")
        if high >= most:
            raise ValueError(f"must be numbers below {most}, not {high}")
        found.update(range(low, high + 1))
    return sorted(found)


def scheduler(spec: Any, problems: Problems) -> None:
    """What sched_setattr(2) would answer with EINVAL, said by its member."""
    given = spec.get("process", {}).get("scheduler")
    if not given:
        return
    at, policy, priority = "/process/scheduler", given["policy"], given.get("priority", 0)
    if not -20 <= given.get("nice", 0) <= 19:
        problems.add(f"{at}/nice", f"must be from -20 to 19, not {given['nice']}")
    if "SCHED_FLAG_KEEP_PARAMS" in given.get("flags", ()):
        return
    if policy in ("SCHED_FIFO", "SCHED_RR"):
        if not 1 <= priority <= 99:
            problems.add(f"{at}/priority", f"must be from 1 to 99 with {policy}, not {priority}")
    elif priority:
        problems.add(f"{at}/priority", f"must be 0 with {policy}: only SCHED_FIFO and SCHED_RR have priorities")
    times = {member: given.get(member, 0) for member in ("runtime", "deadline", "period")}
    if policy == "SCHED_DEADLINE":
        deadline_times(times, at, problems)
    else:
        for member, value in times.items():
            if value:
                problems.add(f"{at}/{member}", f"must be 0 with {policy}: it belongs to SCHED_DEADLINE")


def deadline_times(times: dict[str, int], at: str, problems: Problems) -> None:
    """runtime <= deadline <= period, in nanoseconds; a period of 0 is the deadline."""
    runtime, deadline, period = times["runtime"], times["deadline"], times["period"]
    for member, value in times.items():
        if value >= 1 << 63:
            problems.add(f"{at}/{member}", "must be below 2^63 nanoseconds")
    if runtime < SHORTEST:
        problems.add(f"{at}/runtime", f"must be at least {SHORTEST} nanoseconds with SCHED_DEADLINE, not {runtime}")
    if deadline < runtime:
        problems.add(f"{at}/deadline", f"must be at least the runtime, {runtime}, not {deadline}")
    if period and period < deadline:
        problems.add(f"{at}/period", f"must be at least the deadline, {deadline}, not {period}")


def io_priority(spec: Any, problems: Problems) -> None:
    given = spec.get("process", {}).get("ioPriority", {})
    if not 0 <= given.get("priority", 0) <= 7:
        problems.add("/process/ioPriority/priority", f"must be from 0 to 7, not {given['priority']}")


def affinity(spec: Any, problems: Problems) -> None:
    for member, text in spec.get("process", {}).get("execCPUAffinity", {}).items():
        if member in ("initial", "final"):
            check_list(text, MOST_CPUS, f"/process/execCPUAffinity/{member}", problems)


def check_list(text: str, most: int, pointer: str, problems: Problems) -> None:
    try:
        if text and not numbers(text, most):
            raise ValueError(f"must be a list such as 0-3,7, not {text!r}")
    except ValueError as error:
        problems.add(pointer, str(error))


def personality(spec: Any, problems: Problems) -> None:
    if spec.get("linux", {}).get("personality", {}).get("flags"):
        problems.add("/linux/personality/flags", "must be empty: no flag is defined yet (config-linux.md, Personality)")


def memory_policy(spec: Any, problems: Problems) -> None:
    """Which modes have nodes, and which flags exclude each other (set_mempolicy(2))."""
    given = spec.get("linux", {}).get("memoryPolicy")
    if not given:
        return
    at, mode, nodes = "/linux/memoryPolicy", given["mode"], given.get("nodes", "").strip(", ")
    if nodes:
        check_list(nodes, MOST_NODES, f"{at}/nodes", problems)
    if mode in WITHOUT_NODES and nodes:
        problems.add(f"{at}/nodes", f"must be empty with {mode}")
    elif mode not in (*WITHOUT_NODES, "MPOL_PREFERRED") and not nodes:
        problems.add(f"{at}/nodes", f"must name a node at least with {mode}")
    if {"MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"} <= set(given.get("flags", ())):
        problems.add(f"{at}/flags", "MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other")


def net_devices(spec: Any, problems: Problems) -> None:
    """An interface's name is the kernel's (dev_valid_name); the new one may be a template, "eth%d"."""
    devices = spec.get("linux", {}).get("netDevices", {})
    if devices and "network" not in namespace_types(spec):
        problems.add("/linux/netDevices", "needs a network namespace in /linux/namespaces")
    taken: set[str] = set()
    for name, device in devices.items():
        at = f"/linux/netDevices/{name.replace('~', '~0').replace('/', '~1')}"
        new = device.get("name") or name
        if not interface_name(name) or "%" in name:
            problems.add(at, f"{name!r} is not an interface's name")
        elif not interface_name(new) or "%" in new.replace("%d", "", 1):
            problems.add(f"{at}/name", f"{new!r} is not an interface's name, nor one with %d for a number")
        elif new in taken and "%d" not in new:
            problems.add(f"{at}/name", f"{new} is another one's name already")
        taken.add(new)


def interface_name(name: str) -> bool:
    bad = any(letter in "/:" or letter.isspace() or not letter.isprintable() for letter in name)
    return 0 < len(name.encode()) <= LONGEST_NAME and name not in (".", "..") and not bad


def intel_rdt(spec: Any, problems: Problems) -> None:
    """A closID is one directory of resctrl's; a schema is one line of its file schemata."""
    given, at = spec.get("linux", {}).get("intelRdt", {}), "/linux/intelRdt"
    group = given.get("closID", "")
    if group != "/" and (
        group in (".", "..", "info", "mon_data", "mon_groups") or set(group) & set("/\n") or len(group) > 255
    ):
        problems.add(f"{at}/closID", f"must be the name of one directory, or /, not {group[:300]!r}")
    lines = [(f"{at}/schemata/{index}", line) for index, line in enumerate(given.get("schemata", ()))]
    for member, start in (("l3CacheSchema", "L3"), ("memBwSchema", "MB:")):
        line = given.get(member, "")
        lines.append((f"{at}/{member}", line))
        if line and not line.startswith(start):
            problems.add(f"{at}/{member}", f"must begin with {start}, not {line!r}")
    for pointer, line in lines:
        if "\n" in line:
            problems.add(pointer, "must be one line")


ALL = (scheduler, io_priority, affinity, personality, memory_policy, net_devices, intel_rdt)

"""/linux/intelRdt: a group of the resctrl file system (Documentation/arch/x86/resctrl.rst).

A group is a directory with a list of tasks and schemata (shares of cache and memory bandwidth).  closID names it, or
the container's id does; what the id names is the container's own, and goes with it.
"""

from __future__ import annotations

from minirun.plan.ops import MakeCgroup, Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.plan.container import Asked, Problems
    from minirun.plan.exec import ExecAsked

POINTER = "/linux/intelRdt"
NOT_MOUNTED = "no resctrl file system is mounted on this host"
MOUNT_HINT = "where the processor can do it: mount -t resctrl resctrl /sys/fs/resctrl"


def groups(asked: Asked | ExecAsked, problems: Problems) -> list[Op]:
    """The group, then the one inside it that counts for this container alone; exec joins what create has made."""
    given = asked.spec["linux"]["intelRdt"]
    mount = asked.facts.resctrl
    if not mount:
        problems.add(POINTER, NOT_MOUNTED, MOUNT_HINT)
        return []
    group = given.get("closID") or asked.container_id
    path = "" if group == "/" else f"/{group}"
    lines = [given.get("l3CacheSchema", ""), given.get("memBwSchema", ""), *given.get("schemata", [])]
    lines = [line for line in lines if line]
    existing = bool(given.get("closID")) and not lines
    ops = [MakeCgroup(path=path or "/", controllers=[], properties=lines, existing=existing, pointer=POINTER)]
    if given.get("enableMonitoring") or given.get("enableCMT") or given.get("enableMBM"):
        counted = f"{path}/mon_groups/{asked.container_id}"
        ops.append(MakeCgroup(path=counted, controllers=[], pointer=f"{POINTER}/enableMonitoring"))
    for op in ops:
        op.resctrl = mount
    return [*ops]


def joined(asked: ExecAsked, problems: Problems) -> list[Op]:
    """The same for one more process: everything is there."""
    ops = groups(asked, problems)
    for op in ops:
        op.properties, op.existing = [], True  # type: ignore[attr-defined]
    return ops


def own(ops: list[Op], container_id: str) -> list[str]:
    """The groups that are the container's own: removed with it, innermost first."""
    found: list[str] = []
    for op in ops:
        if op.KIND == "make_cgroup" and op.resctrl and op.path.rpartition("/")[2] == container_id:  # type: ignore[attr-defined]
            found.insert(0, op.resctrl + op.path)  # type: ignore[attr-defined]
    return found

"""How the kernel treats the process: scheduling, IO priority, CPUs, memory nodes, execution domain.

After the last hook that runs before the program (a SCHED_DEADLINE process may not fork) and before rights are
dropped.  In a user namespace init has no CAP_SYS_NICE that counts: the host does to it what needs one.
"""

from __future__ import annotations

from minirun.plan.ops import HOST, INIT, Op, Tune
from minirun.spec import rare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.spec.types import IOPriority, Linux, MemoryPolicy, Process, Scheduler


def tunes(process: Process, linux: Linux, actor: str) -> list[Op]:
    """``actor`` is who sets priorities.  The scheduler is last: what it may become cannot do much."""
    ops: list[Op] = []
    if "personality" in linux:
        domain = linux["personality"]["domain"]
        ops.append(
            Tune(what="personality", numbers=[rare.DOMAIN[domain]], words=[domain], pointer="/linux/personality")
        )
    if "memoryPolicy" in linux:
        ops.append(memory_policy(linux["memoryPolicy"]))
    if "ioPriority" in process:
        ops.append(io_priority(process["ioPriority"], actor))
    if "scheduler" in process:
        ops.append(scheduler(process["scheduler"], actor))
    return ops


def memory_policy(given: MemoryPolicy) -> Op:
    mode, flags = given["mode"], given.get("flags", [])
    number = rare.MODE[mode]
    for flag in flags:
        number |= rare.MODE_FLAG[flag]
    nodes = given.get("nodes", "").strip(", ")
    return Tune(
        what="set_mempolicy",
        numbers=[number, *rare.numbers(nodes, rare.MOST_NODES)],
        words=[mode, *([f"nodes={nodes}"] if nodes else []), *flags],
        pointer="/linux/memoryPolicy",
    )


def io_priority(given: IOPriority, actor: str) -> Op:
    name, priority = given["class"], given.get("priority", 0)
    return Tune(
        actor=actor,
        what="ioprio_set",
        numbers=[rare.IO_CLASS[name] << 13 | priority],
        words=[name, str(priority)],
        pointer="/process/ioPriority",
    )


def scheduler(given: Scheduler, actor: str) -> Op:
    """In the order of struct sched_attr."""
    flags = 0
    for flag in given.get("flags", ()):
        flags |= rare.SCHEDULER_FLAG[flag]
    members = ("nice", "priority", "runtime", "deadline", "period")
    values: list[int] = [given.get(member, 0) for member in members]  # type: ignore[misc]
    said = [f"{member}={value}" for member, value in zip(members, values, strict=True) if value]
    return Tune(
        actor=actor,
        what="sched_setattr",
        numbers=[rare.POLICY[given["policy"]], flags, *values],
        words=[given["policy"], *said, *given.get("flags", [])],
        pointer="/process/scheduler",
    )


def initial_affinity(process: Process) -> list[Op]:
    """Before there is a process: it is the runtime that goes to these CPUs, and exec's process begins there."""
    return affinity(process.get("execCPUAffinity", {}).get("initial", ""), "initial", HOST)


def final_affinity(process: Process, pinned: bool) -> list[Op]:
    """Once it is in the container's cgroup.  Not the runtime's own CPUs, unless they were asked for (as in runc)."""
    given = process.get("execCPUAffinity", {})
    if given.get("final"):
        return affinity(given["final"], "final", INIT)
    return every_cpu() if pinned and not given.get("initial") else []


def affinity(text: str, member: str, actor: str) -> list[Op]:
    if not text:
        return []
    cpus = rare.numbers(text, rare.MOST_CPUS)
    pointer = f"/process/execCPUAffinity/{member}"
    return [Tune(actor=actor, what="sched_setaffinity", numbers=cpus, words=[text.strip()], pointer=pointer)]


def every_cpu() -> list[Op]:
    """The caller's affinity is the caller's own; the container's is its cgroup's (cpuset.cpus), or none."""
    return [Tune(what="sched_setaffinity", numbers=[], words=["all"])]

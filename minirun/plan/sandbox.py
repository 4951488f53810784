"""The plan of a container whose program runs in a VM without a kernel: a container's, but for its last steps.

Everything is made as for a container: namespaces, mounts, user, capabilities, cgroup.  What then stands in the
container is not its program but minirun, which serves the program's system calls (minirun/vm/sandbox).  So what
config.json says of the program's own relation to a kernel is minirun's to keep:

    /linux/seccomp      each call of the program's is put to the filter before it is served
    rlimits             those of memory and of descriptors are the program's; on us they would weigh twice

What cannot be kept is refused by name.
"""

from __future__ import annotations

from minirun.plan import container
from minirun.plan.ops import INIT, Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.plan.container import Asked, Plan
    from minirun.plan.exec import ExecAsked

DATA, STACK, CORE, RSS, NOFILE, MEMLOCK, AS = 2, 3, 4, 5, 7, 8, 9
OURS = (DATA, STACK, NOFILE, MEMLOCK, AS)
IN_ONE = "in a VM without a kernel"
WHERE = "run it with --isolation container"


def plan(asked: Asked) -> Plan:
    """spec + facts -> the ordered list.  Raises MinirunError for what a sandbox cannot do."""
    problems = container.Problems()
    refuse(asked, problems)
    problems.raise_any(asked.config)
    made = container.plan(asked)
    return sandboxed(made)


def plan_exec(asked: ExecAsked) -> Plan:
    from minirun.plan import exec as container_exec

    return sandboxed(container_exec.plan(asked))


def sandboxed(made: Plan) -> Plan:
    """The steps that are ours; what is the program's alone goes into the words of the spawn."""
    kept = [op for op in made.ops if op.KIND == "rlimit" and not belongs(op)]
    words = [IN_ONE]
    words += [f"limit {op.resource} {op.soft} {op.hard}" for op in kept]  # type: ignore[attr-defined]
    made.ops = [op for op in made.ops if belongs(op)]
    for op in made.ops:
        if op.KIND == "spawn":
            op.machine = words  # type: ignore[attr-defined]
    return made


def is_sandbox(ops: list[Op]) -> bool:
    """Does this plan make one?"""
    return any(op.KIND == "spawn" and op.machine[:1] == [IN_ONE] for op in ops)  # type: ignore[attr-defined]


def belongs(op: Op) -> bool:
    """Is it for us, and not for the program alone?"""
    if op.KIND == "seccomp":
        return op.actor != INIT
    return op.KIND != "rlimit" or op.resource not in OURS  # type: ignore[attr-defined]


def limits_of(rows: list[tuple[int, int, int]]) -> dict[int, tuple[int, int]]:
    """(resource, soft, hard) of what the program is to find, by resource."""
    return {resource: (soft, hard) for resource, soft, hard in rows if resource in OURS}


def refuse(asked: Asked, problems: container.Problems) -> None:
    spec = asked.spec
    seccomp = spec["linux"].get("seccomp", {})
    for index, rule in enumerate(seccomp.get("syscalls", [])):
        if rule.get("action") == "SCMP_ACT_NOTIFY":
            problems.add(
                f"/linux/seccomp/syscalls/{index}/action", "nobody can be asked about a sandbox's calls", WHERE
            )
    if spec["process"].get("selinuxLabel"):
        problems.add("/process/selinuxLabel", "a label is given at execve(2), which a sandbox does not do", WHERE)
    if spec["process"].get("apparmorProfile"):
        problems.add("/process/apparmorProfile", "a profile is given at execve(2), which a sandbox does not do", WHERE)

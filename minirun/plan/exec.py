"""The plan of ``exec``: one more process in a container that runs."""

from __future__ import annotations

from minirun.plan import labels, process, seccomp, userns
from minirun.plan.container import Plan, Problems
from minirun.plan.namespaces import CLONE, flags_of
from minirun.plan.ops import (
    PIVOT_IN_PLACE,
    USER_SETGROUPS,
    Join,
    MakeCgroup,
    Pivot,
    Session,
    Spawn,
    Wait,
    WriteTask,
)
from minirun.record import Record
from minirun.spec.rules import in_place, namespace_types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.facts import Facts
    from minirun.plan.ops import Op
    from minirun.spec.types import Process, Spec


class ExecAsked(Record):
    """``spec`` is the container's as it was created, ``process`` the new one; ``cgroup`` is where it goes."""

    spec: Spec
    process: Process
    facts: Facts
    container_id: str
    rootfs: str = ""
    config: str
    cgroup: str
    unit: str = ""  # systemd's, if it has to move the process there: an ordinary user may not clone3 into its cgroup
    preserve_fds: int = 0
    new_keyring: bool = True
    at: str = "/process"  # where the process document lies in ``config``; "" for a file of its own
    setgroups: bool = True  # does the container's user namespace allow it (/proc/PID/setgroups)?


def plan(asked: ExecAsked) -> Plan:
    """All namespaces at once, by the pidfd of the container's init; then as a first process, without mounts.

    setns(2) to a pid namespace takes in children only: until the fork nobody in the container can see the process.  So
    the fork comes when all rights are given up, and who traces it then, with CAP_SYS_PTRACE say, gains nothing.
    """
    problems = Problems()
    asked.spec = userns.with_mappings(asked.spec, asked.facts, Problems())
    program = asked.process
    names = [name for name in CLONE if name in namespace_types(asked.spec)]
    first, settled = affinity(program, asked.facts)
    ops = seccomp.compile_filter(asked.spec, problems) + first
    ops += [Spawn(namespaces=[], flags=0, into_cgroup=asked.cgroup != "" and not asked.unit, pointer="")]
    if asked.unit:
        ops.append(MakeCgroup(path=asked.cgroup, controllers=[], unit=asked.unit, pointer="/linux/cgroupsPath"))
    if "intelRdt" in asked.spec["linux"]:
        from minirun.plan import resctrl

        ops += resctrl.joined(asked, problems)
    by_host, limits, late_limits = process.limits_of_exec(program, asked.spec, asked.facts)
    ops += oom_score(program) + by_host
    labels.check(program, {}, asked.facts, problems)
    if labels.wanted(program, asked.facts):
        ops.append(labels.host_proc())
    ops += settled
    ops += enter(asked, names)
    setgroups = groups(asked)
    userns.check_user(program, asked.spec, asked.facts, asked.at, problems, setgroups)
    ops += userns.become_root(asked.spec, asked.facts, program, setgroups)
    ops += labels.of_keyring(program, asked.new_keyring)
    ops.append(Session(new_keyring=asked.new_keyring, pointer=""))
    ops += process.console(program, "")
    ops += labels.of_program(program, asked.facts)
    before_fork, after_fork = process.tunes_of_exec(program, asked.spec, asked.facts)
    ops += before_fork
    early = seccomp.in_sight(asked.spec, program)
    ops += process.become_the_user(
        program, setgroups, limits, problems,
        until_exec=0 if early else seccomp.kept_for_loading(asked.spec, program),
        before=seccomp.load_filter(asked.spec, at_once=True) if early else [],
    )  # fmt: skip
    if "pid" in names or program.get("terminal"):
        ops.append(Session(new_keyring=False, fork="pid" in names, pointer="/linux/namespaces"))
    ops += late_limits + after_fork
    ops.append(Wait(pointer="/process"))
    ops += [] if early else seccomp.load_filter(asked.spec)
    ops += process.execute(program)
    in_its_own_file(asked, ops, problems)
    problems.raise_any(asked.config)
    return Plan(ops=ops, cgroup=asked.cgroup, warnings=problems.warnings)


def in_its_own_file(asked: ExecAsked, ops: list[Op], problems: Problems) -> None:
    """--process FILE is the whole document: what config.json has as /process/cwd is /cwd there."""
    if asked.at:
        return
    for op in ops:
        op.pointer = op.pointer.removeprefix("/process")
    problems.found = [(pointer.removeprefix("/process"), message) for pointer, message in problems.found]


def oom_score(program: Process) -> list[Op]:
    adjustment = program.get("oomScoreAdj")
    if adjustment is None:
        return []
    return [WriteTask(file="oom_score_adj", value=str(adjustment), pointer="/process/oomScoreAdj")]


def enter(asked: ExecAsked, names: list[str]) -> list[Op]:
    """Into all of the container's namespaces, and there to its root."""
    ops: list[Op] = []
    if names:
        ops.append(Join(path="", flags=flags_of(names), namespaces=names, pointer="/linux/namespaces"))
    if in_place(asked.spec):
        ops.append(Pivot(flags=PIVOT_IN_PLACE, path=asked.rootfs, pointer="/root/path"))
    return ops


def affinity(program: Process, facts: Facts) -> tuple[list[Op], list[Op]]:
    """The CPUs before there is a process, and those once it is in the container's cgroup."""
    if not facts.pinned and "execCPUAffinity" not in program:
        return [], []
    from minirun.plan import tune

    return tune.initial_affinity(program), tune.final_affinity(program, facts.pinned)


def groups(asked: ExecAsked) -> int:
    """As ``userns.setgroups``, for a namespace that is there to be looked at."""
    if "user" not in namespace_types(asked.spec) or userns.keeps_groups(asked.spec):
        return userns.setgroups(asked.spec, asked.facts)
    return USER_SETGROUPS if asked.setgroups else 0

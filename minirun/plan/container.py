"""The plan of a container: the column of steps from nothing to exec.

Read this function first.  Each step is one concern's module; the order is the specification's (runtime.md,
Lifecycle) and the kernel's: limits before the first process, mounts before the pivot, hooks where config.md puts
them, rights dropped last.
"""

from __future__ import annotations

from minirun.errors import MinirunError
from minirun.plan import cgroup, devices, hooks, mounts, namespaces, process
from minirun.plan.mountflags import MS_PRIVATE, MS_REC, PROPAGATION, RDONLY
from minirun.plan.ops import (
    ATTR_CLONE,
    ATTR_OPTIONAL,
    ATTR_RECURSIVE,
    PIVOT_CHROOT,
    PIVOT_IN_PLACE,
    Attr,
    Mask,
    Name,
    Op,
    Pivot,
    Rlimit,
    Root,
    Wait,
    WriteProc,
)
from minirun.record import Record
from minirun.spec.rules import has_filter, has_labels, in_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.facts import Facts
    from minirun.spec.types import Spec


class Options(Record):
    """What the caller's flags add to config.json."""

    no_pivot: bool = False
    no_new_keyring: bool = False
    preserve_fds: int = 0
    listen_fds: int = 0
    cgroup_driver: str = "cgroupfs"  # or systemd, disabled
    rootless: str = "auto"  # --rootless: may we run without a cgroup, where none can be made? true, false, auto
    notify_socket: str = ""  # $NOTIFY_SOCKET of the caller
    notify_folder: str = ""  # where the container's own is, on the host


class Problems:
    """What a plan finds that no look at config.json alone could: ``pointer``, ``message``, ``hint``."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []
        self.hints: list[str] = []
        self.warnings: list[str] = []

    def add(self, pointer: str, message: str, hint: str = "") -> None:
        self.found.append((pointer, message))
        if hint and hint not in self.hints:
            self.hints.append(hint)

    def raise_any(self, name: str) -> None:
        if not self.found:
            return
        what, hint = "this host cannot run the configuration", "; ".join(self.hints)
        if len(self.found) == 1:
            pointer, message = self.found[0]
            raise MinirunError(what, reason=message, pointer=pointer, config=name, hint=hint)
        raise MinirunError(what, reason=f"{len(self.found)} problems", config=name, problems=self.found, hint=hint)


class Asked(Record):
    """Everything a plan is made of; ``cgroup`` and ``rlimits`` are worked out once, for several concerns."""

    spec: Spec
    facts: Facts
    bundle: str
    container_id: str
    config: str
    options: Options
    cgroup: str = ""
    rlimits: list[Rlimit]


class Plan(Record):
    """The list, and what was said on the way."""

    ops: list[Op]
    cgroup: str
    warnings: list[str]

    @property
    def unit(self) -> str:
        """systemd's unit, "" where it has no part in it."""
        return next((op.unit for op in self.ops if op.KIND == "make_cgroup" and op.unit), "")  # type: ignore[attr-defined]

    @property
    def machine(self) -> list[str]:
        """The words of the machine around it, if there is one."""
        return next((op.machine for op in self.ops if op.KIND == "spawn"), [])  # type: ignore[attr-defined]

    @property
    def writes_task(self) -> bool:
        """Are files of init's /proc written?  Without the host's root only those of dumpable processes can be."""
        return any(op.KIND == "write_task" for op in self.ops)


def plan(asked: Asked) -> Plan:
    """spec + facts -> the ordered list.  Raises MinirunError for what this host cannot do."""
    problems = Problems()
    asked.spec = namespaces.with_mappings(asked, problems)
    spec, program = asked.spec, asked.spec["process"]
    asked.cgroup = cgroup.path_of(asked, problems)
    asked.rlimits = process.rlimits(program)
    ops, kept = compiled(spec, problems)
    ops += join_up(cgroup.make(asked, problems), namespaces.enter(asked, problems), asked)
    if "intelRdt" in spec["linux"]:
        from minirun.plan import resctrl

        spawned = next(index for index, op in enumerate(ops) if op.KIND == "spawn")
        ops[spawned + 1 : spawned + 1] = resctrl.groups(asked, problems)
    ops += rootfs(asked)
    ops += mounts.all_mounts(asked, problems)
    ops += notify(asked, problems)
    ops += devices.nodes(asked)
    ops += process.console(program, "/dev/console")
    ops += process.working_directory(program)
    ops += sysctls(spec)
    ops += names(spec)
    ops += hooks.before_pivot(spec, asked.bundle, absolute(spec["root"]["path"], asked.bundle))
    ops += labels_of_program(asked, problems)
    ops += mounts.read_only_at_last(spec)
    ops += protected_paths(spec)
    ops += leave_old_root(asked)
    own_limits = [] if any(op.KIND == "rlimit" for op in ops) else asked.rlimits
    ops += process.tunes(program, spec, asked.facts)
    setgroups = namespaces.setgroups(spec, asked.facts)
    ops += process.become_the_user(program, setgroups, own_limits, problems, until_exec=kept, before=[])
    ops += from_the_gate_on(spec, added(asked))
    problems.raise_any(asked.config)
    return Plan(ops=ops, cgroup=asked.cgroup, warnings=problems.warnings)


def from_the_gate_on(spec: Spec, more: dict[str, str]) -> list[Op]:
    """The end of the list.  It depends on config.json alone, so that ``start`` can name what failed in it."""
    ops: list[Op] = [Wait(pointer="/process"), *hooks.inside(spec, "startContainer")]
    if has_filter(spec):
        from minirun.plan import seccomp

        ops += seccomp.load_filter(spec)
    return ops + process.execute(spec["process"], more)


def compiled(spec: Spec, problems: Problems) -> tuple[list[Op], int]:
    """The filter's half on the host, and the capability that init keeps for its own half."""
    if not has_filter(spec):
        return [], 0
    from minirun.plan import seccomp

    return seccomp.compile_filter(spec, problems), seccomp.kept_for_loading(spec, spec["process"])


def labels_of_program(asked: Asked, problems: Problems) -> list[Op]:
    program, linux = asked.spec["process"], asked.spec["linux"]
    if not has_labels(program, linux):
        return []
    from minirun.plan import labels

    labels.check(program, linux, asked.facts, problems)
    return labels.of_program(program, asked.facts)


def notify(asked: Asked, problems: Problems) -> list[Op]:
    """The module is imported where a service manager asks for it, hardly ever."""
    if not asked.options.notify_socket:
        return []
    from minirun.plan.sd_notify import bind

    return bind(asked, problems)


def added(asked: Asked) -> dict[str, str]:
    """What the program's environment has from the caller's: socket activation (sd_listen_fds(3)), sd_notify(3)."""
    found: dict[str, str] = {}
    if asked.options.listen_fds:
        found |= {"LISTEN_FDS": str(asked.options.listen_fds), "LISTEN_PID": "1"}
    if asked.options.notify_socket:
        from minirun.plan.sd_notify import variable

        found |= variable(asked)
    return found


def join_up(limited: list[Op], entered: list[Op], asked: Asked) -> list[Op]:
    """The cgroup, then the process in it; with systemd the process (which waits), then the scope around it."""
    if asked.options.cgroup_driver == "systemd":
        return entered[:1] + limited + entered[1:]
    return limited + entered


def absolute(path: str, base: str) -> str:
    """``path`` seen from the directory ``base``."""
    return path if path.startswith("/") else f"{base.rstrip('/')}/{path}"


def rootfs(asked: Asked) -> list[Op]:
    """The whole namespace first becomes a slave of the host's: nothing mounted here may appear there."""
    spec = asked.spec
    path = absolute(spec["root"]["path"], asked.bundle)
    return [Root(path=path, propagation=mounts.propagation_of_all(spec), pointer="/root/path")]


def sysctls(spec: Spec) -> list[Op]:
    """Before the pivot, while our own procfs can still be mounted in a user namespace."""
    return [
        WriteProc(file="sys/" + sysctl_path(name), value=value, pointer=f"/linux/sysctl/{name.replace('/', '~1')}")
        for name, value in spec["linux"].get("sysctl", {}).items()
    ]


def sysctl_path(name: str) -> str:
    """net.ipv4.ip_forward or net/ipv4/conf/eth0.1/forwarding: whichever separator comes first is the one."""
    if "/" in name and name.find("/") < (name.find(".") if "." in name else len(name)):
        return name
    return name.replace("/", "\0").replace(".", "/").replace("\0", ".")


def names(spec: Spec) -> list[Op]:
    given = (("hostname", spec.get("hostname")), ("domainname", spec.get("domainname")))
    return [Name(what=what, value=value, pointer=f"/{what}") for what, value in given if value]


def protected_paths(spec: Spec) -> list[Op]:
    """Read-only paths, then masked ones: a path in both ends up masked."""
    linux = spec["linux"]
    ops: list[Op] = [
        Attr(
            target=path, attr_set=RDONLY, attr_clr=0, propagation=0, words=["read-only"],
            flags=ATTR_CLONE | ATTR_RECURSIVE | ATTR_OPTIONAL, pointer=f"/linux/readonlyPaths/{index}",
        )
        for index, path in enumerate(linux.get("readonlyPaths", ()))
    ]  # fmt: skip
    ops += [Mask(path=path, pointer=f"/linux/maskedPaths/{i}") for i, path in enumerate(linux.get("maskedPaths", ()))]
    return ops


def leave_old_root(asked: Asked) -> list[Op]:
    spec = asked.spec
    ops: list[Op] = []
    if spec["root"].get("readonly"):
        ops.append(
            Attr(
                target="/",
                attr_set=RDONLY,
                attr_clr=0,
                propagation=0,
                flags=0,
                words=["read-only"],
                pointer="/root/readonly",
            )
        )
    flags = PIVOT_IN_PLACE if in_place(spec) else PIVOT_CHROOT if asked.options.no_pivot else 0
    ops.append(Pivot(flags=flags, pointer="/root/path"))
    word = spec["linux"].get("rootfsPropagation", "")
    if word and word not in ("slave", "rslave"):
        recursive = word.startswith("r")
        propagation = PROPAGATION.get(word, PROPAGATION.get(word[1:], MS_PRIVATE)) | (MS_REC if recursive else 0)
        ops.append(
            Attr(target="/", attr_set=0, attr_clr=0, propagation=propagation, flags=0, words=[word],
                 pointer="/linux/rootfsPropagation")
        )  # fmt: skip
    return ops

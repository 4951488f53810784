"""The process: terminal, working directory, limits, user, capabilities, program.

The order is the kernel's: the bounding set needs CAP_SETPCAP, changing groups needs CAP_SETGID, so each right is
given up after its last use; the program is looked for as the user that will run it.
"""

from __future__ import annotations

from minirun.plan.ops import (
    CHDIR_TRY,
    EXEC_SET_HOME,
    HOST,
    INIT,
    USER_GIVE_STDIO,
    USER_GROUPS_TRY,
    Bounding,
    Capabilities,
    Chdir,
    Console,
    Exec,
    FindProgram,
    Node,
    Op,
    Rlimit,
    User,
)
from minirun.spec.rules import RLIMITS, namespace_types
from minirun.spec.schema import RARE_OF_LINUX, RARE_OF_PROCESS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minirun.facts import Facts
    from minirun.plan.container import Problems
    from minirun.spec.types import Process, Spec

# linux/capability.h, in the order of their numbers
CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip
NUMBER = {name: number for number, name in enumerate(CAPABILITIES)}
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_UMASK = 0o022
INFINITY = (1 << 64) - 1


def rlimits(process: Process) -> list[Rlimit]:
    return [
        Rlimit(
            resource=RLIMITS.index(limit["type"][7:]),
            soft=limit["soft"],
            hard=limit["hard"],
            name=limit["type"],
            pointer=f"/process/rlimits/{index}",
        )
        for index, limit in enumerate(process.get("rlimits", ()))
    ]


def limits_of_exec(process: Process, spec: Spec, facts: Facts) -> tuple[list[Op], list[Op], list[Op]]:
    """Those that the host sets after the spawn, that init sets with all its rights, and that it sets after the fork.

    In a user namespace init may not raise a limit (``namespaces.from_outside``).  RLIMIT_NPROC counts whatever the user
    runs, on the whole host, and exec's fork comes when init is that user: it would fail where all that is wanted is to
    execute.  To lower a limit needs no right; to raise this one does, and then it is no small one.
    """
    limits = rlimits(process)
    late: list[Op] = [each for each in limits if each.name == "RLIMIT_NPROC" and each.hard <= facts.most_processes]
    rest = [each for each in limits if each not in late]
    if "user" in namespace_types(spec) and facts.euid == 0:
        return [Rlimit(**{**each.__dict__, "actor": HOST}) for each in rest], [], late
    return [], [*rest], late


def tunes(process: Process, spec: Spec, facts: Facts) -> list[Op]:
    """Scheduling and the like, where there is any; ``spec`` is the container's."""
    linux = spec["linux"]
    if not any(word in process for word in RARE_OF_PROCESS) and not any(word in linux for word in RARE_OF_LINUX):
        return []
    from minirun.plan.tune import tunes as rare

    return rare(process, linux, HOST if "user" in namespace_types(spec) and facts.euid == 0 else INIT)


def tunes_of_exec(process: Process, spec: Spec, facts: Facts) -> tuple[list[Op], list[Op]]:
    """The scheduler's apart: exec forks last, without rights, and a fork may cost it (sched(7), reset-on-fork).

    So it is the host that sets it, when there is nothing left to do but to wait.  An ordinary user has no say over a
    process that has become another: there init does it to itself, while it is still his.
    """
    ops = tunes(process, spec, facts)
    if facts.rootless:
        return ops, []
    before = [op for op in ops if op.pointer != "/process/scheduler"]
    after = [op for op in ops if op.pointer == "/process/scheduler"]
    for op in after:
        op.actor = HOST
    return before, after


def console(process: Process, target: str) -> list[Op]:
    """A terminal and its handing over; ``target`` is where the slave is mounted ("" in exec)."""
    if not process.get("terminal"):
        return []
    size = process.get("consoleSize", {"height": 0, "width": 0})
    return [
        Console(target=target, rows=size["height"], columns=size["width"], pointer="/process/terminal"),
        Console(actor=HOST, target=target, rows=0, columns=0, pointer="/process/terminal"),
    ]


def working_directory(process: Process) -> list[Op]:
    """A missing one is made, as runc and crun do, while the rootfs can still be written."""
    cwd = process["cwd"]
    if cwd == "/":
        return []
    return [
        Node(path=cwd, type="d", target="", major=0, minor=0, mode=0o755, uid=0, gid=0, flags=0, pointer="/process/cwd")
    ]


def capability_mask(names: list[str], pointer: str, problems: Problems) -> int:
    """A bit per capability; a name the kernel does not have is a warning (config.md, process.capabilities)."""
    mask = 0
    for index, name in enumerate(names):
        number = NUMBER.get(name.upper().removeprefix("CAP_"))
        if number is None:
            problems.warnings.append(f"{pointer}/{index}: {name} is not a capability of Linux, ignored")
        else:
            mask |= 1 << number
    return mask


def become_the_user(
    process: Process, setgroups: int, limits: Sequence[Op], problems: Problems, *, until_exec: int, before: list[Op]
) -> list[Op]:
    """From root with everything to the user with what is left.

    ``setgroups`` is ``userns.setgroups()``; ``before`` is what the capabilities are needed for.
    """
    given: dict[str, list[str]] = process.get("capabilities", {})  # type: ignore[assignment]
    sets = {
        name: capability_mask(given.get(name, []), f"/process/capabilities/{name}", problems)
        for name in ("bounding", "effective", "inheritable", "permitted", "ambient")
    }
    user = process.get("user", {})
    groups = user.get("additionalGids", [])
    if groups:
        setgroups &= ~USER_GROUPS_TRY
    ops: list[Op] = [*limits]
    ops.append(Bounding(bounding=sets["bounding"], pointer="/process/capabilities/bounding"))
    if user.get("uid", 0) != 0:
        ops.append(Chdir(path=process["cwd"], flags=CHDIR_TRY, pointer="/process/cwd"))
    ops.append(
        User(
            uid=user.get("uid", 0),
            gid=user.get("gid", 0),
            groups=groups if setgroups else [],
            umask=user.get("umask", DEFAULT_UMASK),
            flags=USER_GIVE_STDIO | setgroups,
            pointer="/process/user",
        )
    )
    ops.append(Chdir(path=process["cwd"], flags=0, pointer="/process/cwd"))
    ops += before
    ops.append(
        Capabilities(
            effective=sets["effective"],
            permitted=sets["permitted"],
            inheritable=sets["inheritable"],
            ambient=sets["ambient"],
            no_new_privs=process.get("noNewPrivileges", False),
            until_exec=until_exec,
            pointer="/process/capabilities",
        )
    )
    program = process["args"][0]
    ops.append(FindProgram(program=program, search=search_path(process), pointer="/process/args/0"))
    return ops


def search_path(process: Process) -> list[str]:
    """The directories of PATH in the container's environment, as execvp(3) walks them."""
    path = DEFAULT_PATH
    for entry in process.get("env", ()):
        if entry.startswith("PATH="):
            path = entry[5:]
    return [directory or "." for directory in path.split(":")]


def environment(process: Process, added: dict[str, str]) -> list[str]:
    """A name given twice has its last value; ``added`` is what the runtime says on top.

    An empty HOME is none: podman sends it where its own look at /etc/passwd found nothing, and runc fills it in.
    """
    last = {entry.partition("=")[0]: entry for entry in process.get("env", ())}
    if last.get("HOME") == "HOME=":
        del last["HOME"]
    last |= {name: f"{name}={value}" for name, value in added.items()}
    return list(last.values())


def execute(process: Process, added: dict[str, str] | None = None) -> list[Op]:
    env = environment(process, added or {})
    return [Exec(args=process["args"], env=env, flags=EXEC_SET_HOME, pointer="/process/args")]

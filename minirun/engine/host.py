"""The host's operations: one small function each, named as the operation's kind."""

from __future__ import annotations

import posix
from errno import EBUSY, ENOENT

from minirun.cgroups import limit, tree
from minirun.engine.init import Init
from minirun.errors import MinirunError
from minirun.linux import clone3, memfd, unix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from minirun.engine.execute import Site

INIT_PROGRAM = __file__.rpartition("/engine/")[0] + "/minirun-init"


def make_cgroup(site: Site, op: Any) -> None:
    """Made (or found empty), then claimed: from there on it is ours to kill and to remove."""
    if op.unit:
        make_unit(site, op)
        return
    if op.resctrl:
        from minirun.engine import resctrl

        resctrl.make(site, op)
        return
    directory = site.cgroup_root + op.path
    if tree.populated(directory):
        raise OSError(EBUSY, "it exists and has processes: another container's?", directory)
    tree.make(site.cgroup_root, op.path, op.controllers, op.others)
    claim(site, directory)
    site.undo.append(lambda: tree.remove(site.cgroup_root, op.path, site.cgroup_made))
    if op.owner:
        tree.give(directory, op.owner)


def claim(site: Site, directory: str) -> None:
    try:
        tree.claim(directory, site.claim)
    except FileExistsError:
        other = tree.owner(directory)
        if other != site.claim and posix.access(other, posix.F_OK):
            raise OSError(EBUSY, f"it belongs to another container, {other}", directory) from None
        tree.claim(directory, site.claim, replace=True)


def make_unit(site: Site, op: Any) -> None:
    """A scope around init, which waits for us: systemd makes none without a process.  A slice takes it by its file."""
    from minirun.cgroups import systemd

    manager, init = site.systemd, site.init
    assert manager is not None and init is not None
    directory = site.cgroup_root + op.path

    def undo() -> None:
        systemd.remove(manager.address, op.unit, site.cgroup_root, op.path)

    if not op.properties:
        manager.attach(op.unit, site.cgroup.partition("/" + op.unit)[2], [init.pid])
        return
    into_slice = op.unit.endswith(".slice")
    manager.start(op.unit, op.properties, [] if into_slice else [init.pid], lambda: site.undo.append(undo))
    if not tree.exists(directory):
        raise OSError(ENOENT, "systemd put the unit's cgroup elsewhere", directory)
    if into_slice:
        tree.write(directory + "/cgroup.procs", str(init.pid))
    claim(site, directory)
    if op.owner:
        tree.give(directory, op.owner)


def write_cgroup(site: Site, op: Any) -> None:
    if op.inside:
        return  # the spawner takes it along
    directory = site.cgroup_root + site.cgroup
    file, value = limit.resolve(directory, op)
    if file:
        limit.put(directory, file, value)


def device_rules(site: Site, op: Any) -> None:
    from minirun.cgroups.device_filter import install

    install(site.cgroup_root + site.cgroup, op.rules)


def spawn(site: Site, op: Any) -> None:
    """Init, here or in a machine; from here on it is one to the engine."""
    site.init = init = site.spawner(site, op) if site.spawner is not None else clone(site, op)
    init.deliver = site.deliver
    init.terminal_due = any(each.KIND == "console" for each in site.ops)
    site.undo.append(init.kill)
    if site.warn is not None:
        warn = site.warn
        init.warn = lambda step, text: warn(warning(site, step, text))


def clone(site: Site, op: Any) -> Init:
    """clone3 of the sealed init, with the plan in a second memfd."""
    from minirun.plan.wire import encode

    ours, theirs = unix.pair()
    opened = []
    try:
        program = posix.open(INIT_PROGRAM, posix.O_RDONLY | posix.O_CLOEXEC)
        opened.append(program)
        sealed = memfd.seal_file("minirun-init", program)
        opened.append(sealed)
        bytes_of_plan = encode(site.ops, trace=site.trace, dumpable=site.dumpable, program=site.program)
        plan = memfd.seal_bytes("minirun-plan", bytes_of_plan)
        opened.append(plan)
        cgroup = -1
        if op.into_cgroup:
            cgroup = posix.open(site.cgroup_root + site.cgroup, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
            opened.append(cgroup)
        pid, pidfd = clone3.spawn(
            flags=op.flags, init_fd=sealed, sync_fd=theirs, plan_fd=plan, cgroup_fd=cgroup,
            gate_fd=site.gate_fd, target_fd=site.target_fd, preserve=site.preserve, stdio=site.stdio,
        )  # fmt: skip
    finally:
        for fd in opened:
            posix.close(fd)
        posix.close(theirs)
    return Init(pid, pidfd, ours)


def warning(site: Site, step: int, text: str) -> str:
    """In a machine it is the guest that speaks in init's place: it may say anything, and is shown, not believed."""
    if 0 < step <= len(site.ops) and text.isascii() and text.isdigit():
        return not_granted(site.ops[step - 1].pointer, int(text))
    return f"init has a warning that makes no sense: {text}"


def not_granted(pointer: str, number: int) -> str:
    """Init reports a capability by its number; people know it by its name."""
    from minirun.plan.process import CAPABILITIES

    name = f"CAP_{CAPABILITIES[number]}" if number < len(CAPABILITIES) else f"capability {number}"
    return f"{pointer}: {name} cannot be granted here, left out"


def seccomp(site: Site, op: Any) -> None:
    """Compiled, or found: the bytes travel to init in the plan."""
    from minirun.engine.filter_cache import filter_of

    site.program = filter_of(op.lines, site.filter_cache)


def write_task(site: Site, op: Any) -> None:
    """The whole value in one write(2): the kernel takes id maps in one piece only."""
    assert site.init is not None
    if op.through:
        from minirun.engine.newuidmap import write_map

        write_map(op, site.init.pid)
        return
    path = f"/proc/{site.init.pid}/{op.file}"
    tree.write(path, op.value)


def bind(site: Site, op: Any) -> None:
    from minirun.engine.mounts import clone

    site.made_mount = clone(site, op)


def mount(site: Site, op: Any) -> None:
    from minirun.engine.mounts import new

    site.made_mount = new(site, op)


def interface(site: Site, op: Any) -> None:
    from minirun.engine.interfaces import move

    move(site, op)


def tune(site: Site, op: Any) -> None:
    """Init; or, before there is one, ourselves: it will inherit it."""
    from minirun.linux import sched

    try:
        sched.CALLS[op.what](site.init.pid if site.init is not None else 0, op.numbers)
    except OSError as error:
        error.call = op.what  # type: ignore[attr-defined]
        raise


def rlimit(site: Site, op: Any) -> None:
    import resource

    assert site.init is not None
    infinity = (1 << 64) - 1
    soft, hard = (-1 if value == infinity else value for value in (op.soft, op.hard))
    try:
        resource.prlimit(site.init.pid, op.resource, (soft, hard))
    except (ValueError, OverflowError) as error:  # OverflowError: beyond what Python's resource module can say
        raise OSError(1, "Operation not permitted", op.name) from error


def console(site: Site, op: Any) -> None:
    """Init sent the master before it reached this point."""
    assert site.init is not None and site.terminal is not None
    if site.init.terminal < 0:
        raise MinirunError("cannot take the terminal", reason="init did not send one", pointer=op.pointer)
    site.terminal(site.init.terminal)


def hook(site: Site, op: Any) -> None:
    from minirun.engine.hooks import run_hook

    assert site.init is not None
    run_hook(op, site.state_document(site.init.pid), site.hook_outputs)


HANDLERS: dict[str, Callable[[Site, Any], None]] = {
    "make_cgroup": make_cgroup,
    "write_cgroup": write_cgroup,
    "device_rules": device_rules,
    "spawn": spawn,
    "seccomp": seccomp,
    "write_task": write_task,
    "bind": bind,
    "mount": mount,
    "rlimit": rlimit,
    "tune": tune,
    "interface": interface,
    "console": console,
    "hook": hook,
}
# The system call that an OSError of each comes from, for the report.
CALLS = {
    "make_cgroup": "mkdir",
    "write_cgroup": "write",
    "device_rules": "bpf",
    "spawn": "clone3",
    "seccomp": "seccomp_rule_add",
    "write_task": "write",
    "bind": "mount_setattr",
    "mount": "mount_setattr",
    "rlimit": "prlimit",
    "tune": "sched_setattr",
    "interface": "rtnetlink",
    "console": "sendmsg",
    "hook": "execve",
}

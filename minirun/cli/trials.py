"""What ``minirun doctor`` tries: little plans of real operations, carried out and thrown away.

A kernel's version says nothing about what a seccomp filter, an LSM or a missing capability takes away; so each
facility is used once, through the same engine that makes containers, and the error is the engine's own.
"""

from __future__ import annotations

import os
from tempfile import TemporaryDirectory

from minirun.engine.execute import Site, carry_out, unwind
from minirun.errors import MinirunError
from minirun.facts import Facts
from minirun.plan.namespaces import CLONE
from minirun.plan.ops import (
    ATTR_CLONE,
    USER_SETGROUPS,
    Attr,
    DeviceRules,
    MakeCgroup,
    Mask,
    Mount,
    Op,
    Pivot,
    Root,
    Session,
    Spawn,
    Unshare,
    User,
    Wait,
    WriteTask,
)

MS_SLAVE_REC = (1 << 19) | 16384
RDONLY = 1


def attempt(facts: Facts, ops: list[Op], cgroup: str = "") -> str:
    """Carry out ``ops``, undo them; "" or why it failed."""
    site = Site(
        ops=ops, config="", cgroup_root=facts.cgroup_root, cgroup=cgroup, state_document=lambda pid: b"",
        dumpable=facts.rootless, cgroup_made=facts.cgroup_home, undo=[], times={},
    )  # fmt: skip
    try:
        carry_out(site)
    except MinirunError as error:
        return f"{error.headline()} ({error.step.rpartition(', ')[2]})" if error.step else error.headline()
    unwind(site)
    return ""


def namespace(facts: Facts, name: str) -> str:
    """One new namespace; an ordinary user's comes with a user namespace."""
    late = name in ("cgroup", "time")
    names = sorted({*([] if late else [name]), *(["user"] if facts.rootless else [])})
    ops = spawn(facts, names)
    if late:
        ops.append(Unshare(flags=CLONE[name], namespaces=[name]))
    return attempt(facts, [*ops, Wait()])


def spawn(facts: Facts, names: list[str], into_cgroup: bool = False) -> list[Op]:
    """Init in new namespaces; in a user namespace it becomes root, mapped to ourselves."""
    flags = sum(CLONE[name] for name in names)
    ops: list[Op] = [Spawn(namespaces=names, flags=flags, into_cgroup=into_cgroup)]
    if "user" in names:
        if facts.euid != 0:
            ops.append(WriteTask(file="setgroups", value="deny"))
        ops.append(WriteTask(file="uid_map", value=f"0 {facts.euid} 1\n"))
        ops.append(WriteTask(file="gid_map", value=f"0 {facts.egid} 1\n"))
        allowed = facts.euid == 0 and facts.setgroups
        ops.append(User(uid=0, gid=0, groups=[], umask=0, flags=USER_SETGROUPS if allowed else 0))
    ops.append(Session(new_keyring=False))
    return ops


def mounts(facts: Facts) -> str:
    """open_tree, mount_setattr, fsopen, fsmount, move_mount, openat2, pivot_root: the walk of every container."""
    with TemporaryDirectory(prefix="minirun-doctor-") as folder:
        for name in ("tmp", "old"):
            os.mkdir(f"{folder}/{name}")
        os.chmod(folder, 0o755)
        tmpfs = Mount(fstype="tmpfs", source="tmpfs", target="/tmp", data=[], attr_set=0, attr_clr=0, flags=0, words=[])
        readonly = Attr(
            target="/tmp", attr_set=RDONLY, attr_clr=0, propagation=0, flags=ATTR_CLONE, words=["read-only"]
        )
        root = Root(path=folder, propagation=MS_SLAVE_REC)
        names = ["mount", "user"] if facts.rootless else ["mount"]
        return attempt(facts, [*spawn(facts, names), root, tmpfs, readonly, Mask(path="/old"), Pivot(flags=0), Wait()])


def cgroup(facts: Facts) -> str:
    """A cgroup, and a process born in it (CLONE_INTO_CGROUP)."""
    path = trial_cgroup(facts)
    names = ["user"] if facts.rootless else []
    return attempt(facts, [MakeCgroup(path=path, controllers=[]), *spawn(facts, names, into_cgroup=True), Wait()], path)


def cgroup_kill(facts: Facts) -> str:
    """cgroup.kill is in every cgroup but the root, so one has to be made to see it."""
    from minirun.cgroups import tree

    path = trial_cgroup(facts)
    try:
        tree.make(facts.cgroup_root, path, ())
        found = tree.exists(f"{facts.cgroup_root}{path}/cgroup.kill")
        tree.remove(facts.cgroup_root, path, facts.cgroup_home)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return "" if found else "this kernel's cgroups have no cgroup.kill"


def device_filter(facts: Facts) -> str:
    path = trial_cgroup(facts)
    return attempt(
        facts,
        [MakeCgroup(path=path, controllers=[]), DeviceRules(rules=["deny a *:* rwm"]), *spawn(facts, []), Wait()],
        path,
    )


def trial_cgroup(facts: Facts) -> str:
    return f"{facts.cgroup_home}/doctor-{os.getpid()}"


def ordinary_user(facts: Facts) -> str:
    """May a user without any right make a user namespace?  As the host's root, asked in the shoes of nobody."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    pid = os.fork()
    if pid == 0:
        try:
            if not facts.rootless:
                os.setgroups([])
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
            os._exit(0 if libc.unshare(CLONE["user"]) == 0 else ctypes.get_errno())
        finally:
            os._exit(255)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return "" if code == 0 else os.strerror(code)

"""Namespaces: new ones, joined ones, id mappings; from clone3 to "inside".

Nearly always one clone3 makes all that is new.  Two things change that.  A pid or user namespace that is *joined*
must be joined first, so that what is new belongs to it; then init joins, unshares the rest and forks.  And a
cgroup namespace has its maker's cgroup as root: it is unshared by init, which is in its cgroup already (in
clone3 it would be the runtime's; kernel/cgroup/namespace.c, copy_cgroup_ns).
"""

from __future__ import annotations

from minirun.plan.ops import (
    HOST,
    USER_SETGROUPS,
    Interface,
    Join,
    Op,
    Rlimit,
    Session,
    Spawn,
    Unshare,
    WriteTask,
)
from minirun.spec.rules import KEEP_GROUPS, has_labels, in_place, namespace_types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.facts import Facts
    from minirun.plan.container import Asked, Problems
    from minirun.spec.types import Spec

# linux/sched.h
CLONE = {
    "user": 0x10000000,
    "mount": 0x00020000,
    "pid": 0x20000000,
    "network": 0x40000000,
    "ipc": 0x08000000,
    "uts": 0x04000000,
    "cgroup": 0x02000000,
    "time": 0x00000080,
}
LATE = ("cgroup", "time")  # unshared by init
POINTER = "/linux/namespaces"


def flags_of(names: list[str]) -> int:
    flags = 0
    for name in names:
        flags |= CLONE[name]
    return flags


def pointers(asked: Asked) -> dict[str, str]:
    """Each namespace's place in config.json."""
    listed = asked.spec["linux"].get("namespaces", [])
    return {entry["type"]: f"{POINTER}/{index}" for index, entry in enumerate(listed)}


def enter(asked: Asked, problems: Problems) -> list[Op]:
    """From the spawn to where the mounts begin."""
    types = namespace_types(asked.spec)
    new = [name for name in CLONE if types.get(name) == ""]
    joined = [name for name in CLONE if types.get(name)]
    joined.sort(key=lambda name: name == "mount")  # last: the paths of the others are the runtime's
    rights(asked, problems)
    first = "user" in joined or "pid" in joined or (bool(joined) and "user" in new)
    # A new time namespace takes in children only: init forks for it, and must not be pid 1 already, which may not
    # leave its place to a sibling (kernel/fork.c: CLONE_PARENT by a namespace's init is EINVAL).
    unshared = (*LATE, "pid") if "time" in new else LATE
    if "user" in new:
        unshared = (*unshared, "ipc")  # its mqueue belongs to its maker: to the container's root, not to nobody
    at_once = [] if first else [name for name in new if name not in unshared]
    ops: list[Op] = [
        Spawn(namespaces=at_once, flags=flags_of(at_once), into_cgroup=born_inside(asked), pointer=POINTER),
    ]
    clocks = [name for name in new if name == "time"]
    id_maps, become_root = ids(asked, problems)
    outside = unshare(asked, clocks) + id_maps + from_outside(asked)
    joins = join_all(asked, joined)
    if first:
        later = [name for name in new if name not in unshared]
        ops += joins
        ops += [Unshare(flags=flags_of(later), namespaces=later, pointer=POINTER)] if later else []
        ops += outside + become_root
    else:
        ops += outside + become_root + joins
    ops += unshare(asked, [name for name in new if name in unshared and name not in clocks])
    fork = "pid" in joined or "time" in new or (first and "pid" in new)
    place = pointers(asked).get("pid", POINTER) if fork else ""
    if asked.facts.pinned:
        from minirun.plan.tune import every_cpu

        ops += every_cpu()
    if has_labels(asked.spec["process"], {}):
        from minirun.plan import labels

        ops += labels.of_keyring(asked.spec["process"], not asked.options.no_new_keyring)
    ops.append(Session(new_keyring=not asked.options.no_new_keyring, fork=fork, pointer=place))
    if "network" in new:
        ops.append(Interface(name="lo", pointer=pointers(asked)["network"]))
    return ops + interfaces(asked, problems)


def ids_differ(spec: Spec, facts: Facts) -> bool:
    """Is there more to say of ids than that root may have all of them?  If not, the module is not imported."""
    return (
        "user" in namespace_types(spec) or facts.euid != 0 or facts.userns or KEEP_GROUPS in spec.get("annotations", {})
    )


def with_mappings(asked: Asked, problems: Problems) -> Spec:
    """The configuration with the rows that it leaves out."""
    if "user" not in namespace_types(asked.spec):
        return asked.spec
    from minirun.plan import userns

    return userns.with_mappings(asked.spec, asked.facts, problems)


def ids(asked: Asked, problems: Problems) -> tuple[list[Op], list[Op]]:
    """What is written from outside, and who init becomes first."""
    if not ids_differ(asked.spec, asked.facts):
        return [], []
    from minirun.plan import userns

    userns.check(asked.spec, asked.facts, problems)
    return userns.write(asked.spec, asked.facts), userns.become_root(asked.spec, asked.facts)


def setgroups(spec: Spec, facts: Facts) -> int:
    """May init call setgroups(2)?  As flags of ``User``."""
    if not ids_differ(spec, facts):
        return USER_SETGROUPS
    from minirun.plan import userns

    return userns.setgroups(spec, facts)


def interfaces(asked: Asked, problems: Problems) -> list[Op]:
    """/linux/netDevices, once init is in its network namespace."""
    devices = asked.spec["linux"].get("netDevices", {})
    if devices and asked.facts.rootless:
        problems.add("/linux/netDevices", "only root can give a host's network interface away", "use sudo")
    return [
        Interface(
            actor=HOST,
            name=name,
            new_name=device.get("name") or name,
            pointer=f"/linux/netDevices/{name.replace('~', '~0')}",
        )
        for name, device in devices.items()
    ]


def born_inside(asked: Asked) -> bool:
    """clone3(2) puts init into a cgroup that is there already; systemd moves it into one that it makes for it."""
    return asked.cgroup != "" and asked.options.cgroup_driver != "systemd"


def rights(asked: Asked, problems: Problems) -> None:
    """What cannot be done without rights is said before anything is begun."""
    if "user" in namespace_types(asked.spec) and in_place(asked.spec):
        problems.add(
            POINTER, "root of a user namespace cannot mount in the runtime's mount namespace", 'add {"type": "mount"}'
        )
    if asked.facts.euid != 0 and "user" not in namespace_types(asked.spec):
        problems.add(
            POINTER,
            "an ordinary user needs a user namespace",
            'add {"type": "user"} with mappings (`minirun spec --rootless` makes such a file), or use sudo',
        )


def join_all(asked: Asked, joined: list[str]) -> list[Op]:
    """The user namespace first: rights in the others come from it."""
    types, places = namespace_types(asked.spec), pointers(asked)
    return [
        Join(path=types[name], flags=CLONE[name], namespaces=[name], pointer=f"{places[name]}/path") for name in joined
    ]


def unshare(asked: Asked, names: list[str]) -> list[Op]:
    """What init unshares by itself."""
    return [Unshare(flags=flags_of(names), namespaces=names, pointer=pointers(asked)[names[0]])] if names else []


def from_outside(asked: Asked) -> list[Op]:
    """What init could not do to itself: it is not dumpable, and in a user namespace it may not raise a limit.

    The clocks too, and all of it while init is still our own user: later its files in /proc are another's.
    """
    spec = asked.spec
    ops: list[Op] = []
    for clock, offset in spec["linux"].get("timeOffsets", {}).items():
        value = f"{clock} {offset.get('secs', 0)} {offset.get('nanosecs', 0)}"
        ops.append(WriteTask(file="timens_offsets", value=value, pointer=f"/linux/timeOffsets/{clock}"))
    adjustment = spec["process"].get("oomScoreAdj")
    if adjustment is not None:
        ops.append(WriteTask(file="oom_score_adj", value=str(adjustment), pointer="/process/oomScoreAdj"))
    if "user" in namespace_types(spec) and asked.facts.euid == 0:
        ops += [Rlimit(**{**limit.__dict__, "actor": HOST}) for limit in asked.rlimits]
    return ops

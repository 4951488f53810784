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
    Join,
    Loopback,
    Op,
    Rlimit,
    Session,
    Spawn,
    Unshare,
    User,
    WriteTask,
)
from minirun.plan.process import keeps_groups
from minirun.spec.rules import in_place, namespace_types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.plan.container import Asked, Problems
    from minirun.spec.types import IdMapping

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
    outside = id_maps(asked) + from_outside(asked)
    joins = join_all(asked, joined)
    become_root = root_inside(asked)
    if first:
        later = [name for name in new if name not in unshared]
        ops += joins
        ops += [Unshare(flags=flags_of(later), namespaces=later, pointer=POINTER)] if later else []
        ops += outside + become_root
    else:
        ops += outside + become_root + joins
    ops += late(asked, [name for name in new if name in unshared])
    fork = "pid" in joined or "time" in new or (first and "pid" in new)
    place = pointers(asked).get("pid", POINTER) if fork else ""
    ops.append(Session(new_keyring=not asked.options.no_new_keyring, fork=fork, pointer=place))
    if "network" in new:
        ops.append(Loopback(pointer=pointers(asked)["network"]))
    return ops


def born_inside(asked: Asked) -> bool:
    """clone3(2) puts init into a cgroup that is there already; systemd moves it into one that it makes for it."""
    return asked.cgroup != "" and asked.options.cgroup_driver != "systemd"


def rights(asked: Asked, problems: Problems) -> None:
    """What cannot be done without rights is said before anything is begun."""
    if "user" in namespace_types(asked.spec) and in_place(asked.spec):
        problems.add(
            POINTER, "root of a user namespace cannot mount in the runtime's mount namespace", 'add {"type": "mount"}'
        )
    if asked.facts.euid == 0:
        return
    if "user" not in namespace_types(asked.spec):
        problems.add(
            POINTER,
            "an ordinary user needs a user namespace",
            'add {"type": "user"} with mappings (`minirun spec --rootless` makes such a file), or use sudo',
        )
    for member, own in (("uidMappings", asked.facts.euid), ("gidMappings", asked.facts.egid)):
        rows: list[IdMapping] = asked.spec["linux"].get(member, [])  # type: ignore[assignment]
        for index, row in enumerate(rows):
            if row["size"] != 1 or row["hostID"] != own:
                problems.add(
                    f"/linux/{member}/{index}",
                    f"an ordinary user can map only itself ({own}, size 1)",
                    "ranges from /etc/subuid through newuidmap are not supported yet",
                )


def join_all(asked: Asked, joined: list[str]) -> list[Op]:
    """The user namespace first: rights in the others come from it."""
    types, places = namespace_types(asked.spec), pointers(asked)
    return [
        Join(path=types[name], flags=CLONE[name], namespaces=[name], pointer=f"{places[name]}/path") for name in joined
    ]


def late(asked: Asked, names: list[str]) -> list[Op]:
    """What init unshares by itself; then the clocks, while nobody is in the new time namespace yet."""
    ops: list[Op] = []
    if names:
        ops.append(Unshare(flags=flags_of(names), namespaces=names, pointer=pointers(asked)[names[0]]))
    offsets = asked.spec["linux"].get("timeOffsets", {})
    for clock, offset in offsets.items():
        value = f"{clock} {offset.get('secs', 0)} {offset.get('nanosecs', 0)}"
        ops.append(WriteTask(file="timens_offsets", value=value, pointer=f"/linux/timeOffsets/{clock}"))
    return ops


def id_maps(asked: Asked) -> list[Op]:
    """uid_map and gid_map of a new user namespace (user_namespaces(7)); an ordinary user must give up setgroups."""
    linux = asked.spec["linux"]
    if namespace_types(asked.spec).get("user") != "":
        return []
    ops: list[Op] = []
    if asked.facts.euid != 0:
        ops.append(WriteTask(file="setgroups", value="deny", pointer="/linux/gidMappings"))
    ops.append(WriteTask(file="uid_map", value=map_text(linux["uidMappings"]), pointer="/linux/uidMappings"))
    ops.append(WriteTask(file="gid_map", value=map_text(linux["gidMappings"]), pointer="/linux/gidMappings"))
    return ops


def map_text(rows: list[IdMapping]) -> str:
    return "".join(f"{row['containerID']} {row['hostID']} {row['size']}\n" for row in rows)


def from_outside(asked: Asked) -> list[Op]:
    """What init could not do to itself: it is not dumpable, and in a user namespace it may not raise a limit."""
    spec = asked.spec
    ops: list[Op] = []
    adjustment = spec["process"].get("oomScoreAdj")
    if adjustment is not None:
        ops.append(WriteTask(file="oom_score_adj", value=str(adjustment), pointer="/process/oomScoreAdj"))
    if "user" in namespace_types(spec) and asked.facts.euid == 0:
        ops += [Rlimit(**{**limit.__dict__, "actor": HOST}) for limit in asked.rlimits]
    return ops


def root_inside(asked: Asked) -> list[Op]:
    """In a user namespace init first becomes its root: only mapped ids can own what it makes."""
    if "user" not in namespace_types(asked.spec):
        return []
    rows = asked.spec["linux"].get("uidMappings", [])
    if rows and not any(row["containerID"] == 0 for row in rows):
        return []
    flags = USER_SETGROUPS if asked.facts.euid == 0 and not keeps_groups(asked.spec) else 0
    return [User(uid=0, gid=0, groups=[], umask=0, flags=flags, pointer="/linux/uidMappings")]

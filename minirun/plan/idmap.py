"""Id-mapped mounts (mount_setattr(2), ID-mapped mounts): whose ids a mount shows.

The kernel wants rights in the user namespace that owns the file system, which is the host's for nearly everything;
so the host makes the mount, detached, and init attaches it.  A mapping is written as uid_map and gid_map of a user
namespace: the file system's ids, the ids they become, how many (user_namespaces(7)).
"""

from __future__ import annotations

from minirun.plan.mountflags import MS_REC
from minirun.plan.ops import BIND_BY_HOST, HOST, MOUNT_MAPPED, Bind, Mount, Op
from minirun.spec.mount_rules import idmap_option, parse_idmap
from minirun.spec.rules import namespace_types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.plan.container import Asked, Problems
    from minirun.plan.mountflags import MountOptions
    from minirun.spec.mount_rules import Row
    from minirun.spec.types import IdMapping, Mount as MountSpec


def of(asked: Asked, mount: MountSpec, options: MountOptions, pointer: str, problems: Problems) -> list[str]:
    """The texts of uid_map and gid_map; nothing for the container's own.  Mappings without ``idmap`` mean it, too."""
    given = "uidMappings" in mount and bool(mount["uidMappings"])
    options.idmap = options.idmap or given
    if not options.idmap:
        return []
    if asked.facts.euid != 0:
        problems.add(
            pointer,
            "an ordinary user cannot map the ids of a mount",
            "the kernel wants root's rights over the file system: run minirun as root, or leave idmap out",
        )
    place, option = idmap_option(mount.get("options", ()))
    if given:
        return [text(mount["uidMappings"]), text(mount["gidMappings"])]
    if "=" not in option:
        return []
    uids, gids = parse_idmap(option.partition("=")[2])
    linux = asked.spec["linux"]
    at = f"{pointer}/options/{place}"
    return [
        absolute(uids, linux.get("uidMappings", []), "uidMappings", at, problems),
        absolute(gids, linux.get("gidMappings", []), "gidMappings", at, problems),
    ]


def text(rows: list[IdMapping]) -> str:
    return "".join(f"{row['containerID']} {row['hostID']} {row['size']}\n" for row in rows)


def absolute(rows: list[Row], own: list[IdMapping], member: str, pointer: str, problems: Problems) -> str:
    """The rows of an ``idmap=``; a relative one names the container's ids: each becomes what it is on the host."""
    lines: list[str] = []
    for inside, outside, count, relative in rows:
        if not relative:
            lines.append(f"{inside} {outside} {count}\n")
            continue
        while count:
            row = next((row for row in own if 0 <= outside - row["containerID"] < row["size"]), None)
            if row is None:
                problems.add(pointer, f"the container has no id {outside} in /linux/{member}")
                break
            offset = outside - row["containerID"]
            piece = min(count, row["size"] - offset)
            lines.append(f"{inside} {row['hostID'] + offset} {piece}\n")
            inside, outside, count = inside + piece, outside + piece, count - piece
    return "".join(lines)


def by_the_host(asked: Asked, op: Bind | Mount, maps: list[str]) -> list[Op]:
    """Two operations for one: the host makes the mount; init gives it its attributes and attaches it."""
    from minirun.plan.mounts import propagation_of_all

    values = {name: getattr(op, name) for name in op.FIELDS}
    if op.__class__ is Bind:
        around = propagation_of_all(asked.spec) & ~MS_REC
        host: Op = Bind(**{**values, "actor": HOST, "maps": maps, "propagation": around})
        return [host, Bind(**{**values, "flags": values["flags"] | BIND_BY_HOST})]
    return [
        Mount(**{**values, "actor": HOST, "maps": maps}),
        Mount(**{**values, "flags": values["flags"] | MOUNT_MAPPED}),
    ]


def needs_the_host(asked: Asked, op: Bind | Mount, options: MountOptions) -> bool:
    """Or may need him: in a user namespace the container's root may be kept out of a directory above the source."""
    if options.idmap:
        return True
    return op.__class__ is Bind and asked.facts.euid == 0 and "user" in namespace_types(asked.spec)

"""Ids in a user namespace: which maps are written, by whom, and who can be whom inside (user_namespaces(7)).

Root writes its maps itself.  An ordinary user may write one row, himself, and gives up setgroups(2) for it; whatever
else he asks is written by newuidmap(1) and newgidmap(1), setuid programs that look into /etc/subuid and /etc/subgid;
setgroups stays allowed then.  The two maps are decided one by one.
"""

from __future__ import annotations

from minirun.plan.ops import USER_GROUPS_TRY, USER_SETGROUPS, Op, User, WriteTask
from minirun.spec.rules import KEEP_GROUPS, namespace_types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.facts import Facts
    from minirun.plan.container import Problems
    from minirun.spec.types import IdMapping, Mount, Process, Spec

MEMBERS = {"uid": "uidMappings", "gid": "gidMappings"}
EVERY_ID = 0xFFFFFFFF  # all but the last, which stands for none
WITH_IDS = ("tmpfs", "devpts", "proc")  # file systems of a user namespace whose uid= and gid= are ids inside
PACKAGE = "install newuidmap and newgidmap: package uidmap (Debian), shadow-utils (Fedora), shadow (Arch, Alpine)"


def with_mappings(spec: Spec, facts: Facts, problems: Problems) -> Spec:
    """A new namespace whose rows are left out (config-linux.md: both are optional) has those that crun gives it.

    An ordinary user is its root, alone; for root everybody is who he is outside: it confines capabilities, not ids.
    """
    linux = spec["linux"]
    if namespace_types(spec).get("user") != "" or linux.get("uidMappings") or linux.get("gidMappings"):
        return spec
    rows: dict[str, list[IdMapping]] = {}
    for kind, own in (("uid", facts.uid_map), ("gid", facts.gid_map)):
        caller = facts.euid if kind == "uid" else facts.egid
        ids = [(inside, size) for inside, _, size in own] or [(0, EVERY_ID)]
        rows[kind] = [{"containerID": first, "hostID": first, "size": size} for first, size in ids]
        if facts.euid != 0:
            rows[kind] = [{"containerID": 0, "hostID": caller, "size": 1}]
    if facts.euid == 0:
        problems.warnings.append("/linux/uidMappings: none are given, so root of the user namespace is the host's root")
    return {**spec, "linux": {**linux, "uidMappings": rows["uid"], "gidMappings": rows["gid"]}}


def written(spec: Spec, kind: str) -> list[IdMapping]:
    """The rows of config.json, ``kind`` is uid or gid."""
    linux = spec["linux"]
    return linux.get("uidMappings", []) if kind == "uid" else linux.get("gidMappings", [])


def in_force(spec: Spec, facts: Facts, kind: str) -> list[IdMapping] | None:
    """The rows where the program will run, a new namespace's or ours; None: all there is, or a joined one's, unread."""
    path = namespace_types(spec).get("user")
    if path == "":
        return written(spec, kind)
    own = facts.uid_map if kind == "uid" else facts.gid_map
    if path or not own:
        return None
    return [{"containerID": inside, "hostID": outside, "size": size} for inside, outside, size in own]


def has(rows: list[IdMapping] | None, number: int) -> bool:
    return rows is None or any(row["containerID"] <= number < row["containerID"] + row["size"] for row in rows)


def alone(rows: list[IdMapping], own: int) -> bool:
    """One row that maps nobody but the caller: what the kernel takes from an ordinary user."""
    return len(rows) == 1 and rows[0]["size"] == 1 and rows[0]["hostID"] == own


def helper(spec: Spec, facts: Facts, kind: str) -> str | None:
    """The program that must write the map, "" if it is not here; None where we write it ourselves."""
    own = facts.euid if kind == "uid" else facts.egid
    if facts.euid == 0 or alone(written(spec, kind), own):
        return None
    return facts.newuidmap if kind == "uid" else facts.newgidmap


def write(spec: Spec, facts: Facts) -> list[Op]:
    """The maps of a new user namespace, before init goes on."""
    if namespace_types(spec).get("user") != "":
        return []
    ops: list[Op] = []
    if facts.euid != 0 and helper(spec, facts, "gid") is None:
        ops.append(WriteTask(file="setgroups", value="deny", pointer="/linux/gidMappings"))
    for kind, member in MEMBERS.items():
        value = "".join(f"{row['containerID']} {row['hostID']} {row['size']}\n" for row in written(spec, kind))
        through = helper(spec, facts, kind) or ""
        ops.append(WriteTask(file=f"{kind}_map", value=value, through=through, pointer=f"/linux/{member}"))
    return ops


def become_root(spec: Spec, facts: Facts, process: Process | None = None, groups: int = -1) -> list[Op]:
    """First of all init becomes the namespace's root: only mapped ids can own what it makes.

    Where 0 is not mapped it becomes the program's user at once (as in crun), and keeps its capabilities.
    """
    path = namespace_types(spec).get("user")
    if path is None:
        return []
    user = (process or spec["process"]).get("user", {})
    groups = setgroups(spec, facts) if groups < 0 else groups
    uid = 0 if path or has(written(spec, "uid"), 0) else user.get("uid", 0)
    gid = 0 if path or has(written(spec, "gid"), 0) else user.get("gid", 0)
    return [User(uid=uid, gid=gid, groups=[], umask=0, flags=groups, pointer="/linux/uidMappings")]


def setgroups(spec: Spec, facts: Facts) -> int:
    """May init call setgroups(2)?  As flags of ``User``: USER_SETGROUPS, with USER_GROUPS_TRY if nobody knows."""
    path = namespace_types(spec).get("user")
    if keeps_groups(spec):
        return 0
    if path:
        return USER_SETGROUPS | USER_GROUPS_TRY
    allowed = facts.setgroups and (facts.euid == 0 or (path == "" and helper(spec, facts, "gid") is not None))
    return USER_SETGROUPS if allowed else 0


# -- what cannot be, said before anything is begun --------------------------------------------------------------------


def check(spec: Spec, facts: Facts, problems: Problems) -> None:
    """Who may write these maps, and whether all that config.json names is in them."""
    if namespace_types(spec).get("user") == "":
        for kind, member in MEMBERS.items():
            check_helper(spec, facts, kind, f"/linux/{member}", problems)
            check_outside(spec, facts, kind, f"/linux/{member}", problems)
    check_user(spec["process"], spec, facts, "/process", problems, setgroups(spec, facts))
    for index, mount in enumerate(spec.get("mounts", ())):
        check_mount(mount, spec, facts, f"/mounts/{index}", problems)


def check_helper(spec: Spec, facts: Facts, kind: str, pointer: str, problems: Problems) -> None:
    if helper(spec, facts, kind) == "":
        own = facts.euid if kind == "uid" else facts.egid
        problems.add(
            pointer, f"an ordinary user maps more than himself ({own}, size 1) through new{kind}map, which is not here",
            PACKAGE,
        )  # fmt: skip


def check_outside(spec: Spec, facts: Facts, kind: str, pointer: str, problems: Problems) -> None:
    """In a user namespace of our own only what is mapped there can be mapped again."""
    own = facts.uid_map if kind == "uid" else facts.gid_map
    if facts.euid != 0 or not own:
        return
    for index, row in enumerate(written(spec, kind)):
        first, last = row["hostID"], row["hostID"] + row["size"] - 1
        if not covered(first, last, own):
            problems.add(
                f"{pointer}/{index}", f"{kind}s {first} to {last} do not exist in the user namespace that we are in",
                f"/proc/self/{kind}_map lists those that do",
            )  # fmt: skip


def covered(first: int, last: int, own: tuple[tuple[int, int, int], ...]) -> bool:
    """Is every id from ``first`` to ``last`` in one of the rows (the kernel wants one row to hold all of them)?"""
    return any(inside <= first and last < inside + size for inside, _, size in own)


def check_user(process: Process, spec: Spec, facts: Facts, at: str, problems: Problems, groups: int) -> None:
    """The program's user and groups; ``at`` is the process document's place ("" for exec --process)."""
    user = process.get("user", {})
    asked = [("uid", user.get("uid", 0), "uid"), ("gid", user.get("gid", 0), "gid")]
    asked += [("gid", gid, f"additionalGids/{i}") for i, gid in enumerate(user.get("additionalGids", ()))]
    for kind, number, member in asked:
        if not has(in_force(spec, facts, kind), number):
            problems.add(f"{at}/user/{member}", f"{kind} {number} is not mapped by {where(spec, kind)}")
    if user.get("additionalGids") and not groups and not keeps_groups(spec):
        problems.add(
            f"{at}/user/additionalGids", "groups cannot be set in this user namespace (setgroups is denied)",
            "map a range of gids, through newgidmap: docs/rootless.md",
        )  # fmt: skip


def keeps_groups(spec: Spec) -> bool:
    return spec.get("annotations", {}).get(KEEP_GROUPS, "0") != "0"


def where(spec: Spec, kind: str) -> str:
    return f"/linux/{MEMBERS[kind]}" if "user" in namespace_types(spec) else f"/proc/self/{kind}_map"


def check_mount(mount: Mount, spec: Spec, facts: Facts, pointer: str, problems: Problems) -> None:
    """devpts with gid=5 is in every template; where 5 is not mapped the kernel says EINVAL and no more."""
    if mount.get("type") not in WITH_IDS:
        return
    for index, option in enumerate(mount.get("options", ())):
        name, _, value = option.partition("=")
        if name in MEMBERS and value.isascii() and value.isdigit() and not has(in_force(spec, facts, name), int(value)):
            problems.add(
                f"{pointer}/options/{index}", f"{option}: it is not mapped by {where(spec, name)}",
                "leave the option out, or map a range of ids that has it: docs/rootless.md",
            )  # fmt: skip

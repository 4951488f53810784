"""Devices: the nodes in /dev, and the rules that say which device may be used at all.

The default devices and links are the specification's (config-linux.md, Default Devices; runtime-linux.md, Dev
symbolic links).  The allowed list on top of config.json's rules is runc's and crun's.
"""

from __future__ import annotations

from minirun.plan.mounts import clean
from minirun.plan.ops import NODE_BIND, NODE_IF_PRESENT, Node, Op
from minirun.spec.rules import namespace_types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.plan.container import Asked
    from minirun.spec.types import DeviceRule, Resources, Spec

DEFAULT = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))
LINKS = (
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
)
# Making any node is harmless (using it is what the rest decides); then the default devices, ptys and the console.
ALWAYS_ALLOWED = (
    "allow c *:* m", "allow b *:* m",
    "allow c 1:3 rwm", "allow c 1:5 rwm", "allow c 1:7 rwm", "allow c 1:8 rwm", "allow c 1:9 rwm",
    "allow c 5:0 rwm", "allow c 5:2 rwm", "allow c 136:* rwm",
)  # fmt: skip


def nodes(asked: Asked) -> list[Op]:
    """Nothing where the host's /dev is bound: its nodes are there, and not ours to make."""
    spec = asked.spec
    if binds_dev(spec):
        return []
    bind = NODE_BIND if asked.facts.rootless or "user" in namespace_types(spec) else 0
    listed = {device["path"] for device in spec["linux"].get("devices", ())}
    ops = [
        node(f"/dev/{name}", "c", major, minor, 0o666, 0, 0, bind, "/linux/devices")
        for name, major, minor in DEFAULT
        if f"/dev/{name}" not in listed
    ]
    for index, device in enumerate(spec["linux"].get("devices", ())):
        ops.append(
            node(
                device["path"],
                "c" if device["type"] == "u" else device["type"],
                device.get("major", 0),
                device.get("minor", 0),
                device.get("fileMode", 0o666) & 0o7777,
                device.get("uid", 0),
                device.get("gid", 0),
                bind if device["type"] != "p" else 0,
                f"/linux/devices/{index}",
            )
        )
    ops += [link(path, target, 0) for path, target in LINKS]
    ops.append(link("/dev/core", "/proc/kcore", NODE_IF_PRESENT))
    if "/dev/ptmx" not in listed:
        ops.append(link("/dev/ptmx", "pts/ptmx", 0))
    return ops


def binds_dev(spec: Spec) -> bool:
    """Is the host's /dev (or another directory) what the container will see there?"""
    for mount in spec.get("mounts", ()):
        options = mount.get("options", ())
        if clean(mount["destination"]) == "/dev" and ("bind" in options or "rbind" in options):
            return True
    return False


def node(path: str, kind: str, major: int, minor: int, mode: int, uid: int, gid: int, flags: int, pointer: str) -> Op:
    return Node(
        path=path,
        type=kind,
        target="",
        major=major,
        minor=minor,
        mode=mode,
        uid=uid,
        gid=gid,
        flags=flags,
        pointer=pointer,
    )


def link(path: str, target: str, flags: int) -> Op:
    return Node(
        path=path,
        type="l",
        target=target,
        major=0,
        minor=0,
        mode=0,
        uid=0,
        gid=0,
        flags=flags,
        pointer="/linux/devices",
    )


def rules(resources: Resources) -> list[str]:
    """The rules in force, most general first; the last one that speaks of an access decides it.

    A node that /linux/devices lists is made, and no more: whether it may be opened, these rules say (as runc and crun
    have it).
    """
    return ["deny a *:* rwm", *(rule_line(rule) for rule in resources.get("devices", ())), *ALWAYS_ALLOWED]


def rule_line(rule: DeviceRule) -> str:
    kind = rule.get("type") or "a"
    kind = "c" if kind == "u" else kind
    verb = "allow" if rule["allow"] else "deny"
    numbers = f"{number(rule.get('major'))}:{number(rule.get('minor'))}"
    return f"{verb} {kind} {numbers} {rule.get('access') or 'rwm'}"


def number(value: int | None) -> str:
    return "*" if value is None or value < 0 else str(value)

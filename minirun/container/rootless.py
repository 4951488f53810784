"""What is different in config.json for root of a user namespace (docs/rootless.md): an ordinary user's containers.

The kernel makes a procfs, a sysfs, devpts only for whoever owns the namespace that they show, and knows no ids but
those that are mapped; a cgroup is there only where one was delegated.  Nothing of what the user asks for is left out in
silence: what cannot be, the runtime refuses.
"""

from __future__ import annotations

from minirun.facts import Facts, probe, user_namespace
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from minirun.container.record import Container

PINGS = ("net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range")
PINGERS = 2147483647  # docker's last group that may ping


class Place(Record):
    """What matters of the namespace that we are in."""

    gids: tuple[tuple[int, int, int], ...]
    setgroups: bool
    delegated: bool  # may we make cgroups?

    @property
    def last_gid(self) -> int:
        """The last of the ids that are mapped without a gap from 0 on."""
        last = -1
        for inside, _, size in sorted(self.gids):
            if inside != last + 1:
                break
            last = inside + size - 1
        return last


def inside() -> Place | None:
    """None for the host's root."""
    return place_of(probe()) if user_namespace() else None


def place_of(facts: Facts) -> Place:
    return Place(gids=facts.gid_map, setgroups=facts.setgroups, delegated=facts.cgroup_delegated)


def adapt(made: dict[str, Any], container: Container, place: Place, warn: Callable[[str], None]) -> dict[str, Any]:
    """The configuration as it is possible here."""
    if not container.asked["apparmor"]:
        made["process"].pop("apparmorProfile", None)
    groups(made["process"]["user"], place, warn)
    cgroup(made["linux"], container, place)
    sysctls(made["linux"]["sysctl"], container, place)
    made["mounts"] = [mount(each, container, place) for each in made["mounts"]]
    return made


def groups(user: dict[str, Any], place: Place, warn: Callable[[str], None]) -> None:
    """The image's own groups of a user; those asked for by --group-add are refused by the runtime."""
    if not place.setgroups and "additionalGids" in user:
        if user["additionalGids"] != [user["gid"]]:
            warn("groups cannot be set in this user namespace: a range of gids would let them (docs/rootless.md)")
        del user["additionalGids"]


def cgroup(linux: dict[str, Any], container: Container, place: Place) -> None:
    """Below the cgroup we are in, where it is ours; else none, as long as nobody asks for one."""
    if container.cgroupDriver != "cgroupfs" or container.asked["cgroupParent"]:
        return
    if place.delegated:
        linux["cgroupsPath"] = container.id
    else:
        del linux["cgroupsPath"]


def sysctls(values: dict[str, str], container: Container, place: Place) -> None:
    """docker's two, as far as they can be: without a pid namespace there is no /proc/sys that is ours to write to, and
    in ping_group_range the kernel takes no id that is not mapped."""
    for name in PINGS:
        if name in values and name not in container.asked["sysctl"]:
            if container.asked["pid"][0] == "host":
                del values[name]
            elif name.endswith("range"):
                values[name] = f"0 {min(place.last_gid, PINGERS)}"


def mount(each: dict[str, Any], container: Container, place: Place) -> dict[str, Any]:
    kind, options = each["type"], each["options"]
    if kind == "proc" and container.asked["pid"][0] == "host":
        return bound(each, "/proc")
    if kind == "sysfs" and container.network == "host":
        return bound(each, "/sys")
    if kind == "cgroup" and container.asked["cgroupns"] == "host":
        return bound(each, "/sys/fs/cgroup")
    if kind == "devpts" and place.last_gid < 5:
        return {**each, "options": [option for option in options if option != "gid=5"]}
    return each


def bound(each: dict[str, Any], source: str) -> dict[str, Any]:
    return {**each, "type": "bind", "source": source, "options": ["rbind", "rslave", *each["options"]]}

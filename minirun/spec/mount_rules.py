"""The rules of /mounts (config.md, Mounts), and the one option that has a grammar of its own: crun's ``idmap=``."""

from __future__ import annotations

from minirun.spec.rules import namespace_types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.spec.check import Problems

# File systems that show a namespace: made anew they show the container's own, whose ids are mapped already.
OF_A_NAMESPACE = ("proc", "sysfs", "mqueue", "devpts", "cgroup", "cgroup2")
PROPAGATION = ("private", "shared", "slave", "unbindable")
MOST_ROWS = 340  # of a map (user_namespaces(7))

Row = tuple[int, int, int, bool]


def bound(mount: Any) -> bool:
    """Does the entry bind something?"""
    options = mount.get("options", ())
    return "bind" in options or "rbind" in options or mount.get("type") == "bind"


def idmap_option(options: Any) -> tuple[int, str]:
    """The place and the text of the last ``idmap`` or ``ridmap``, with or without a value; -1 and "" for none."""
    found = (-1, "")
    for index, option in enumerate(options):
        if option.partition("=")[0] in ("idmap", "ridmap"):
            found = (index, option)
    return found


def parse_idmap(text: str) -> tuple[list[Row], list[Row]]:
    """``uids=0-1000-10#10-2000-1;gids=@0-0-10`` -> rows (inside, outside, count, relative), uids and gids.

    ``@``: ``outside`` is an id of the container's, to be looked up in its own mapping (crun.1).  Raises ValueError.
    """
    maps: dict[str, list[Row]] = {}
    for part in text.split(";"):
        name, _, ranges = part.partition("=")
        if name not in ("uids", "gids") or name in maps:
            raise ValueError(f"{part!r} is neither uids=... nor gids=..., each once")
        maps[name] = [parse_range(word) for word in ranges.split("#")]
    if len(maps) != 2:
        raise ValueError("needs both uids=... and gids=...")
    return maps["uids"], maps["gids"]


def parse_range(word: str) -> Row:
    numbers = word.removeprefix("@").split("-")
    if len(numbers) != 3 or not all(n.isascii() and n.isdigit() and len(n) <= 10 for n in numbers):
        raise ValueError(f"{word!r} is not a range: [@]INSIDE-OUTSIDE-COUNT")
    inside, outside, count = (int(n) for n in numbers)
    if max(inside, outside, count) > 0xFFFFFFFF or count == 0:
        raise ValueError(f"{word!r} is not a range of ids: from 0 to 4294967295, at least one")
    return inside, outside, count, word.startswith("@")


def mounts(spec: Any, problems: Problems) -> None:
    for index, mount in enumerate(spec.get("mounts", ())):
        at = f"/mounts/{index}"
        options = mount.get("options", ())
        if not mount["destination"]:
            problems.add(f"{at}/destination", "must not be empty")
        elif len(mount["destination"]) > 4000:
            problems.add(f"{at}/destination", "is longer than a path can be")
        if bound(mount) and not mount.get("source") and "remount" not in options:
            problems.add(f"{at}/source", "is missing: a bind mount needs one")
        typeless = not bound(mount) and "remount" not in options and mount.get("type") in (None, "", "none")
        if typeless and not propagation_only(options):
            problems.add(f"{at}/type", "is missing, and no option says bind")
        if "tmpcopyup" in options and (bound(mount) or mount.get("type") != "tmpfs"):
            problems.add(
                f"{at}/options/{options.index('tmpcopyup')}", "tmpcopyup is for a tmpfs: there is nothing to copy to"
            )
        id_mapping(spec, mount, at, problems)


def propagation_only(options: Any) -> bool:
    return bool(options) and all(option.lstrip("r") in PROPAGATION for option in options)


def id_mapping(spec: Any, mount: Any, at: str, problems: Problems) -> None:
    """idmap and ridmap, uidMappings and gidMappings: config.md says when which may stand alone."""
    options = mount.get("options", ())
    place, option = idmap_option(options)
    given = [member for member in ("uidMappings", "gidMappings") if mount.get(member)]
    if place < 0 and not given:
        return
    where = f"{at}/options/{place}" if place >= 0 else f"{at}/{given[0]}"
    word, _, value = option.partition("=")
    rows(mount, given, at, problems)
    if len(given) == 1:
        missing = "gidMappings" if given == ["uidMappings"] else "uidMappings"
        problems.add(f"{at}/{missing}", f"is missing: it must be given along with {given[0]}")
    if "=" in option:
        if given:
            problems.add(where, f"gives a mapping, and so does {at}/{given[0]}")
        try:
            parse_idmap(value)
        except ValueError as error:
            problems.add(where, f"{word}: {error}")
    elif not given and "user" not in namespace_types(spec):
        problems.add(where, f"{word} needs uidMappings and gidMappings, or a user namespace to take them from")
    if "remount" in options:
        problems.add(where, "a mount that is there keeps its mapping: the kernel does not change it")
    elif not bound(mount) and mount.get("type") in OF_A_NAMESPACE:
        problems.add(where, f"{mount['type']} shows a namespace of the container's, whose ids are mapped already")


def rows(mount: Any, members: list[str], at: str, problems: Problems) -> None:
    for member in members:
        if len(mount[member]) > MOST_ROWS:
            problems.add(f"{at}/{member}", f"must have at most {MOST_ROWS} rows")
        for index, row in enumerate(mount[member]):
            if row["size"] == 0:
                problems.add(f"{at}/{member}/{index}/size", "must not be 0")

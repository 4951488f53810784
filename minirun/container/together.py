"""The command line and the image together: what of the image's counts, and ids in place of other containers' names."""

from __future__ import annotations

from minirun.container.bundle import command
from minirun.errors import MinirunError
from minirun.facts import user_namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.container.make import Request
    from minirun.container.shelf import Shelf
    from minirun.images.store import Image

TARGET = "target"


def complete(shelf: Shelf, request: Request, image: Image) -> dict[str, Any]:
    """The members, with what the image adds, and ids in place of other containers' names."""
    members = {**request.members, "asked": {**request.members["asked"]}}
    asked, config = members["asked"], image.config.get("config") or {}
    members["command"] = command(config, asked)
    members["imageConfig"] = config
    members["labels"] = {**(config.get("Labels") or {}), **members["labels"]}
    members["stopSignal"] = members["stopSignal"] or config.get("StopSignal", "")
    check_signal(members["stopSignal"])
    members["ports"] = [*members["ports"], *exposed(members, config)]
    if members["hostname"]:  # the others on its networks may call it so, as with nerdctl
        members["networks"] = [
            {**one, "aliases": [*one["aliases"], members["hostname"]]} for one in members["networks"]
        ]
    for name in ("pid", "ipc", "uts"):
        if asked[name][0] == "container":
            other = shelf.find(asked[name][1])
            asked[name] = ["container", other.id]
            if name == "ipc" and other.asked["ipc"][0] != "shareable":
                raise MinirunError(
                    f"cannot share IPC with container {other.name}", reason="it has what it has for itself",
                    hint="run that one with --ipc shareable",
                )  # fmt: skip
    if members["network"].startswith("container:"):
        members["network"] = f"container:{shelf.find(members['network'][10:]).id}"
    asked["mounts"] = [*asked["mounts"], *taken_from(shelf, asked)]
    asked["mounts"] = [*asked["mounts"], *implied(asked, config)]
    asked["userns"] = ids(asked["userns"])
    return members


def check_signal(word: str) -> None:
    """The image's own may be anything."""
    if word:
        from minirun.runtime.signals import signal_number

        signal_number(word)


def exposed(members: dict[str, Any], config: dict[str, Any]) -> list[dict[str, Any]]:
    """--publish-all: what the image and --expose name, and --publish does not."""
    from minirun.container.words import expose

    if not members["asked"]["publishAll"] or members["network"] != "networks":
        return []
    wanted = [tuple(pair) for pair in members["asked"]["expose"]]
    wanted += [pair for text in sorted(config.get("ExposedPorts") or {}) for pair in expose(text)]
    there = {(port["port"], port["protocol"]) for port in members["ports"]}
    return [
        {"hostIp": "", "hostPort": 0, "port": port, "protocol": protocol}
        for port, protocol in dict.fromkeys(wanted)
        if (port, protocol) not in there
    ]


def taken_from(shelf: Shelf, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """--volumes-from: the other's binds and volumes, where nothing else is asked for."""
    found: list[dict[str, Any]] = []
    for name, mode in asked["volumesFrom"]:
        for entry in shelf.find(name).asked["mounts"]:
            targets = {other[TARGET] for other in (*asked["mounts"], *found)}
            if entry["kind"] != "tmpfs" and entry[TARGET] not in targets:
                options = [*entry["options"], "ro"] if mode == "ro" else entry["options"]
                found.append({**entry, "options": options, "anonymous": False, "copy": False})
    return found


def implied(asked: dict[str, Any], config: dict[str, Any]) -> list[dict[str, Any]]:
    """The image's Volumes: an anonymous one each, where nothing is mounted."""
    from minirun.container.mounts import VOLUME, Wanted

    there = {entry[TARGET] for entry in asked["mounts"]}
    found = []
    for path in sorted(config.get("Volumes") or {}):
        target = "/" + "/".join(part for part in path.split("/") if part not in ("", ".", ".."))
        if target != "/" and target not in there:
            found.append(Wanted(kind=VOLUME, target=target, options=[], labels={}).plain())
    return found


def ids(userns: dict[str, Any]) -> dict[str, Any]:
    """--userns auto: the range of /etc/subuid that is kept for containers, as podman and docker's dockremap have it."""
    if userns and user_namespace():
        raise MinirunError(
            "cannot give the container a user namespace of its own",
            reason="layers can be mapped to other ids by the host's root only",
            hint="it runs in yours: root inside is you, everybody else is of your range; docs/rootless.md",
        )
    if userns.get("keep"):
        raise MinirunError("--userns keep-id is for ordinary users", hint="--userns auto, or 0:100000:65536")
    if "auto" not in userns:
        return userns
    for owner in ("minirun", "containers", "dockremap"):
        first, count = subordinate("/etc/subuid", owner), subordinate("/etc/subgid", owner)
        if first[1] and first == count:
            size = min(userns["auto"], first[1])
            return {"map": {"containerID": 0, "hostID": first[0], "size": size}}
    raise MinirunError(
        "cannot choose ids for --userns auto", reason="no range is kept for minirun in /etc/subuid and /etc/subgid",
        hint="write minirun:100000:65536 into both, or say --userns 0:100000:65536",
    )  # fmt: skip


def subordinate(path: str, owner: str) -> tuple[int, int]:
    from minirun.facts import read

    for line in read(path).splitlines():
        fields = line.split(":")
        if len(fields) == 3 and fields[0] == owner and fields[1].isdigit() and fields[2].isdigit():
            return int(fields[1]), int(fields[2])
    return 0, 0

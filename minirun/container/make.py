"""create: from a command line to a container on the shelf; nothing runs yet, and on failure nothing is left.

    the image (pulled, if the policy says so) -> its layers, unpacked once for all -> id and name -> volumes ->
    the writable layer's directories -> the record, which is what makes it exist

STORAGE/lock is held, shared, from the look-up of the image to the record that names it.
"""

from __future__ import annotations

import posix

from minirun.container.bundle import command
from minirun.container.record import Container, now
from minirun.container.volumes import Volumes
from minirun.errors import FAILED, MinirunError
from minirun.facts import user_namespace
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.container.shelf import Making, Shelf
    from minirun.images.store import Image, Images

TARGET = "target"


class Request(Record):
    """The command line but for the flags that are the record's (``flags.members``)."""

    image: str
    name: str = ""
    members: dict[str, Any]
    platform: str = ""
    pull: str = "missing"
    quiet: bool = False
    cidfile: str = ""
    isolation: str = ""
    cgroup_driver: str = "cgroupfs"
    rootless: str = "auto"


def create(shelf: Shelf, request: Request) -> Container:
    """The container.  Raises MinirunError."""
    from minirun.images.store import Images

    if request.cidfile and posix.access(request.cidfile, posix.F_OK):
        raise MinirunError(f"cannot write {request.cidfile}", reason="it is there already")
    images = Images(shelf.storage)
    provide(images, request)
    with images.shared():
        image = images.find(request.image, request.platform)
        fits(image, request)
        members = complete(shelf, request, image)
        layers = unpack(images, image, request)
        making = shelf.new(request.name)
        done: list[str] = []
        try:
            container = record(making, request, image, members, layers)
            make_volumes(shelf, container, done)
            prepare_snapshot(shelf, container, request)
            write_hosts(shelf, container)
            if request.cidfile:
                write_new(request.cidfile, container.id)
            making.complete(container)
        except BaseException:
            undo(shelf, making, request, done)
            raise
    return container


def undo(shelf: Shelf, making: Making, request: Request, done: list[str]) -> None:
    for name in done:
        Volumes(shelf.storage).discard(name)
    making.abandon()


def provide(images: Images, request: Request) -> None:
    """Pull it, where the policy says so.  Not with the lock: the pull takes its own."""
    if request.pull == "missing" and images.lookup(request.image, request.platform):
        return
    if request.pull == "never":
        return
    from minirun.images import reference
    from minirun.images.progress import progress_for  # type: ignore[import-not-found,unused-ignore]
    from minirun.images.pull import pull  # type: ignore[import-not-found,unused-ignore]

    wanted = reference.parse(request.image)
    with progress_for(quiet=request.quiet, verb="pulled") as progress:
        if request.pull == "missing":
            progress.say(f"{wanted.familiar} is not here: pulling it")
        pull(images, wanted, platform=request.platform, progress=progress)


def fits(image: Image, request: Request) -> None:
    """A single image serves whoever asks for none in particular."""
    from minirun.images import platform

    if request.platform:
        wanted, found = platform.parse(request.platform), platform.of(image.config)
        if not platform.rank(wanted, found):
            raise MinirunError(
                f"the image {request.image} is not for {wanted}", reason=f"it is for {found}",
                hint="--pull always asks the registry for the other",
            )  # fmt: skip


def unpack(images: Images, image: Image, request: Request) -> list[str]:
    """The chain ids, topmost first."""
    from minirun.images.layers import Layers, chain_ids

    layers = Layers(images.storage)
    chain = chain_ids(image.diff_ids)
    if not all(layers.has(chain_id) for chain_id in chain):
        from minirun.images.progress import progress_for

        with progress_for(quiet=request.quiet or not posix.isatty(2), verb="unpacked") as progress:
            layers.ensure(images, image, progress)
    return chain[::-1]


def complete(shelf: Shelf, request: Request, image: Image) -> dict[str, Any]:
    """The members, with what the image adds, and ids in place of other containers' names."""
    members = {**request.members, "asked": {**request.members["asked"]}}
    asked, config = members["asked"], image.config.get("config") or {}
    members["command"] = command(config, asked)
    members["imageConfig"] = config
    members["labels"] = {**(config.get("Labels") or {}), **members["labels"]}
    members["stopSignal"] = members["stopSignal"] or config.get("StopSignal", "")
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


def record(
    making: Making, request: Request, image: Image, members: dict[str, Any], layers: list[str]
) -> Container:  # fmt: skip
    from minirun.images.reference import familiar

    return Container(
        id=making.id, name=making.name, created=now(), image=familiar(image.name) if image.name else request.image,
        imageId=image.id, manifest=image.manifest_digest, layers=layers, isolation=request.isolation,
        cgroupDriver=request.cgroup_driver, rootless=request.rootless, **members,
    )  # fmt: skip


def make_volumes(shelf: Shelf, container: Container, done: list[str]) -> None:
    """Named ones that are not there yet, and anonymous ones.  ``done``: what is to be undone."""
    volumes = Volumes(shelf.storage)
    used, own, mounts = [], [], []
    for entry in container.asked["mounts"]:
        if entry["kind"] == "volume":
            new = not entry["source"] or not volumes.exists(entry["source"])
            anonymous = not entry["source"]
            volume = volumes.create(entry["source"], entry["labels"], anonymous=anonymous)
            if new:
                done.append(volume.name)
            if anonymous:
                own.append(volume.name)
                entry = {**entry, "source": volume.name, "anonymous": True}
            used.append(volume.name)
        mounts.append(entry)
    container.volumes, container.anonymous = list(dict.fromkeys(used)), own
    container.asked = {**container.asked, "mounts": mounts}


def prepare_snapshot(shelf: Shelf, container: Container, request: Request) -> None:
    from minirun.images.layers import Layers
    from minirun.images.snapshot import Snapshot

    layers = Layers(shelf.storage)
    Snapshot(
        shelf.directory(container.id), [layers.directory(chain_id) for chain_id in container.layers],
        ephemeral=container.ephemeral, size=container.size,
    ).prepare()  # fmt: skip
    try:
        posix.mkdir(shelf.rootfs(container.id), 0o755)
    except FileExistsError:
        pass


def write_hosts(shelf: Shelf, container: Container) -> None:
    """Before the network room comes to add its lines."""
    from minirun.container.prepare import hosts, write

    if not container.network.startswith("container:"):
        write(f"{shelf.directory(container.id)}/hosts", hosts(container, []))


def write_new(path: str, text: str) -> None:
    """--cidfile: never over another's."""
    try:
        fd = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, 0o644)
    except OSError as error:
        raise MinirunError(f"cannot write {path}", reason=error.strerror or "", exit_code=FAILED) from error
    try:
        posix.write(fd, text.encode())
    finally:
        posix.close(fd)

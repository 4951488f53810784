"""create: from a command line to a container on the shelf; nothing runs yet, and on failure nothing is left.

    the image (pulled, if the policy says so) -> its layers, unpacked once for all -> id and name -> volumes ->
    the writable layer's directories -> the record, which is what makes it exist

STORAGE/lock is held, shared, from the look-up of the image to the record that names it.
"""

from __future__ import annotations

import posix

from minirun.container.files import unusable
from minirun.container.record import Container, now
from minirun.container.together import complete
from minirun.container.volumes import Volumes
from minirun.errors import FAILED, MinirunError, printable
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from minirun.container.shelf import Making, Shelf
    from minirun.images.store import Image, Images

SHOWN = 5  # devices that a warning names


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
    warn: Callable[[str], None] = lambda text: None
    healthcheck: bool = True  # say that the image's is not carried out


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
        unheeded(image.config, request)
        members = complete(shelf, request, image)
        layers = unpack(images, image, request)
        making = shelf.new(request.name)
        done: list[str] = []
        try:
            container = record(making, request, image, members, layers)
            prepare_snapshot(shelf, container)
            write_hosts(shelf, container)
            if request.cidfile:
                write_new(request.cidfile, container.id)
            finish(shelf, making, container, done)
        except BaseException as error:
            undo(shelf, making, request, done)
            if isinstance(error, OSError):
                raise unusable(error.filename or shelf.storage, error) from error
            raise
    return container


def finish(shelf: Shelf, making: Making, container: Container, done: list[str]) -> None:
    """Its volumes, and the record that names them: nobody may remove one in between."""
    if not any(entry["kind"] == "volume" for entry in container.asked["mounts"]):
        making.complete(container)
        return
    volumes = Volumes(shelf.storage)
    with volumes.alone():
        make_volumes(volumes, container, done)
        making.complete(container)


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
    from minirun.images.progress import progress_for
    from minirun.images.pull import pull

    wanted = reference.parse(request.image)
    with progress_for(quiet=request.quiet, verb="pulled") as progress:
        if request.pull == "missing":
            progress.say(f"{wanted.familiar} is not here: pulling it")
        try:
            pull(images, wanted, platform=request.platform, progress=progress)
        except MinirunError as error:
            if wanted.familiar_where in ("busybox", "debian") and not wanted.digest:
                # by that very name: the recipe's own names a suite, debian:bookworm
                named = "" if wanted.familiar == "busybox:latest" else f" -t {wanted.familiar}"
                recipe = f"minirun image build-rootfs {wanted.familiar_where}{named}"
                error.hint = f"{recipe} makes one on this machine; {error.hint}"
            raise


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
        left_out(layers.skipped, request)
    return chain[::-1]


def left_out(devices: list[str], request: Request) -> None:
    """A user namespace makes no devices: the image's are not in its layers as they are unpacked, for nobody."""
    if devices:
        more = f" and {len(devices) - SHOWN} more" if len(devices) > SHOWN else ""
        request.warn(
            f"{request.image}: devices cannot be made in a user namespace, and are left out: "
            f"{', '.join(printable(name) for name in devices[:SHOWN])}{more}"
        )


def unheeded(config: dict[str, Any], request: Request) -> None:
    """As nerdctl and podman do where nothing can check: the container is as healthy as its program runs."""
    test = ((config.get("config") or {}).get("Healthcheck") or {}).get("Test") or ["NONE"]
    if request.healthcheck and test[0] != "NONE":
        request.warn("the image's HEALTHCHECK is not carried out (--no-healthcheck: do not say so)")


def record(
    making: Making, request: Request, image: Image, members: dict[str, Any], layers: list[str]
) -> Container:  # fmt: skip
    from minirun.images.reference import familiar

    return Container(
        id=making.id, name=making.name, created=now(), image=familiar(image.name) if image.name else request.image,
        imageId=image.id, manifest=image.manifest_digest, layers=layers, isolation=request.isolation,
        cgroupDriver=request.cgroup_driver, rootless=request.rootless, **members,
    )  # fmt: skip


def make_volumes(volumes: Volumes, container: Container, done: list[str]) -> None:
    """Named ones that are not there yet, and anonymous ones.  ``done``: what is to be undone."""
    used, own, mounts = [], [], []
    for entry in container.asked["mounts"]:
        if entry["kind"] == "volume":
            new = not entry["source"] or not volumes.exists(entry["source"])
            anonymous = not entry["source"]
            volume = volumes.provide(entry["source"], entry["labels"], anonymous)
            if new:
                done.append(volume.name)
            if anonymous:
                own.append(volume.name)
                entry = {**entry, "source": volume.name, "anonymous": True}
            used.append(volume.name)
        mounts.append(entry)
    container.volumes, container.anonymous = list(dict.fromkeys(used)), own
    container.asked = {**container.asked, "mounts": mounts}


def prepare_snapshot(shelf: Shelf, container: Container) -> None:
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

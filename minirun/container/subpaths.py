"""A part of a volume, mounted alone (volume-subpath): found as it is now, and held.

Containers write to volumes: a link that one has put there must not lead the next one's mount out of it (the class of
CVE-2017-1002101).  It is found by openat2(2) below the volume, and mounted by its descriptor, so that nobody can put
something else in its place meanwhile: the way to it is held until it is mounted in the container's own directory.
"""

from __future__ import annotations

import posix
from errno import ELOOP, EXDEV

from minirun.errors import MinirunError
from minirun.images.snapshot import MS_PRIVATE, clear
from minirun.images.tree import DIRECTORY, KIND, make_directories
from minirun.linux import mountfd
from minirun.linux.openat2 import O_PATH, RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, openat2

PARTS = "parts"
TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.container.record import Container


def mount(container: Container, storage: str) -> dict[str, str]:
    """Target -> where the part of the volume is mounted now, in the container's directory; ``unmount`` undoes it."""
    directory = f"{storage}/containers/{container.id}"
    unmount(directory)  # of an earlier life
    found: dict[str, str] = {}
    for entry in container.asked["mounts"]:
        if entry["kind"] == "volume" and entry["subpath"]:
            spot = f"{directory}/{PARTS}/{len(found)}"
            fd = find(storage, entry["source"], entry["subpath"])
            try:
                attach(fd, spot)
            finally:
                posix.close(fd)
            found[entry["target"]] = spot
    return found


def attach(fd: int, spot: str) -> None:
    if posix.fstat(fd).st_mode & KIND == DIRECTORY:
        make_directories(spot)
    else:
        make_directories(spot.rpartition("/")[0])
        posix.close(posix.open(spot, posix.O_WRONLY | posix.O_CREAT | posix.O_CLOEXEC, 0o600))
    tree = mountfd.open_tree(fd, 0, spot)
    try:
        mountfd.set_attributes(tree, flags=0, propagation=MS_PRIVATE, path=spot)
        mountfd.attach(tree, spot)
    finally:
        posix.close(tree)


def unmount(directory: str) -> None:
    clear(f"{directory}/{PARTS}")


def find(storage: str, volume: str, subpath: str) -> int:
    try:
        root = posix.open(f"{storage}/volumes/{volume}/_data", O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
        try:
            return openat2(
                root, subpath.encode("utf-8", "surrogateescape"), O_PATH | posix.O_CLOEXEC,
                RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
            )  # fmt: skip
        finally:
            posix.close(root)
    except OSError as error:
        reason = "it leads out of the volume" if error.errno in (EXDEV, ELOOP) else error.strerror
        raise MinirunError(f"cannot mount {subpath} of the volume {volume}", reason=reason or "") from error

"""A container's writable layer, and everything of it on disk."""

from __future__ import annotations

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.container.record import Container
    from minirun.container.shelf import Shelf
    from minirun.images.snapshot import Snapshot


def snapshot(shelf: Shelf, container: Container) -> Snapshot:
    """Its overlay."""
    from minirun.images.snapshot import Snapshot

    lowers = [f"{shelf.storage}/layers/{chain.partition(':')[2]}/fs" for chain in container.layers]
    return Snapshot(
        shelf.directory(container.id),
        lowers,
        ephemeral=container.ephemeral,
        size=container.size,
        volatile=container.remove,
        maps=maps_of(container),
    )


def maps_of(container: Container) -> tuple[str, str] | None:
    """Of its user namespace, as /proc/PID/uid_map has them."""
    if not container.asked.get("userns"):
        return None
    from minirun.container.bundle import mappings

    text = "".join(f"{each['containerID']} {each['hostID']} {each['size']}\n" for each in mappings(container))
    return text, text


def open_way(shelf: Shelf, container: Container) -> None:
    """Root of a user namespace is nobody out here, and crosses these directories to its rootfs; it reads none."""
    for path in (shelf.storage, f"{shelf.storage}/containers", shelf.directory(container.id)):
        mode = posix.stat(path).st_mode & 0o7777
        if mode | 0o011 != mode:
            posix.chmod(path, mode | 0o011)


def discard(shelf: Shelf, container: Container, *, volumes: bool) -> None:
    """Everything of it, with nothing mounted any more; to be called with the lock held."""
    shelf.forget(container.id, container.name)
    if not volumes or not container.anonymous:
        return
    from minirun.container.volumes import Volumes

    Volumes(shelf.storage).remove_unused(container.anonymous)

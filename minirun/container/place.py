"""A container's writable layer, and everything of it on disk."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.container.record import Container
    from minirun.container.shelf import Shelf
    from minirun.images.snapshot import Snapshot


def snapshot(shelf: Shelf, container: Container) -> Snapshot:
    """Its overlay."""
    from minirun.images.snapshot import Snapshot

    lowers = [f"{shelf.storage}/layers/{chain}/fs" for chain in container.layers]
    return Snapshot(
        shelf.directory(container.id),
        lowers,
        ephemeral=container.ephemeral,
        size=container.size,
        volatile=container.remove,
    )


def discard(shelf: Shelf, container: Container, *, volumes: bool) -> None:
    """Everything of it, with nothing mounted any more; to be called with the lock held."""
    shelf.forget(container.id, container.name)

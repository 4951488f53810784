"""Which images and layers the containers need, and the removal of what neither they nor a name does."""

from __future__ import annotations

import posix
from stat import S_ISDIR

from minirun.container.shelf import Shelf
from minirun.images.garbage import entries
from minirun.images.store import Images
from minirun.images.tree import remove_tree
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.container.record import Container


class Removed(Record):
    """What a collection took away."""

    blobs: int = 0
    layers: int = 0
    size: int = 0


def users(storage: str) -> dict[str, list[Container]]:
    """The id of an image -> the containers that were made of it."""
    found: dict[str, list[Container]] = {}
    for container in Shelf(storage).all():
        found.setdefault(container.imageId, []).append(container)
    return found


def unfinished(storage: str) -> list[str]:
    """Take away what is below tmp: whoever was making it ended.  Only ``with images.exclusive()``."""
    removed = []
    for name in sorted(entries(f"{storage}/tmp")):
        path = f"{storage}/tmp/{name}"
        try:
            if S_ISDIR(posix.lstat(path).st_mode):
                remove_tree(path)
            else:
                posix.unlink(path)
        except OSError:  # a tool that a killed build had called is still at its own cleaning: the next time
            continue
        removed.append(f"unfinished: {name}")
    return removed


def collect(images: Images, partials: bool = False) -> Removed:
    """Blobs and layers that no name and no container leads to, and what was unfinished.

    Only ``with images.exclusive()``.
    """
    from minirun.images.layers import Layers, chain_ids

    unfinished(images.storage)
    containers = list(Shelf(images.storage).all())
    blobs, size = images.gc([one.manifest for one in containers if one.manifest], partials)
    keep = {chain for image in images.all() for chain in chain_ids(image.diff_ids)}
    keep.update(chain for container in containers for chain in container.layers)
    return Removed(blobs=blobs, layers=Layers(images.storage).gc(keep), size=size)

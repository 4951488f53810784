"""Which images and layers the containers need, and the removal of what neither they nor a name does."""

from __future__ import annotations

from minirun.container.shelf import Shelf
from minirun.images.store import Images
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


def collect(images: Images, partials: bool = False) -> Removed:
    """Blobs and unpacked layers that no name and no container leads to.  Only ``with images.exclusive()``."""
    from minirun.images.layers import Layers, chain_ids

    containers = list(Shelf(images.storage).all())
    blobs, size = images.gc([one.manifest for one in containers if one.manifest], partials)
    keep = {chain for image in images.all() for chain in chain_ids(image.diff_ids)}
    keep.update("sha256:" + chain.removeprefix("sha256:") for container in containers for chain in container.layers)
    return Removed(blobs=blobs, layers=Layers(images.storage).gc(keep), size=size)

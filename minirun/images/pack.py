"""A layer out of an upper directory: a deterministic tar, compressed, into the content store."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.images.media import Descriptor
    from minirun.images.snapshot import Snapshot
    from minirun.images.store import Images


def pack(images: Images, snapshot: Snapshot) -> tuple[Descriptor, str]:
    """The changes of ``snapshot`` as a blob (gzip), and its diff id."""
    raise NotImplementedError

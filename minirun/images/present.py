"""What of an index is here: the images with all they need.

A pull of one more platform that was killed leaves a manifest without its layers, behind an index that has its name
already; a disk may lose anything.
"""

from __future__ import annotations

from minirun.errors import MinirunError
from minirun.images import media

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.images.media import Descriptor
    from minirun.images.store import Images


def gather(images: Images, one: Descriptor, depth: int, seen: set[str], found: list[Descriptor]) -> None:
    """Add the whole images behind ``one`` to ``found``, each once."""
    if one.digest in seen or is_attestation(one) or not images.blobs.has(one.digest, one.size):
        return
    seen.add(one.digest)
    if one.mediaType in media.MANIFESTS:
        found += [one] if is_whole(images, one) else []
    elif one.mediaType in media.INDEXES and depth:
        for child in media.index_of(images.document(one), one.digest):
            gather(images, child, depth - 1, seen, found)


def is_whole(images: Images, one: Descriptor) -> bool:
    """Are a manifest's configuration and layers here?"""
    try:
        manifest = media.manifest_of(images.document(one), one.digest)
    except MinirunError:  # damaged, or no image
        return False
    return all(images.blobs.has(blob.digest, blob.size) for blob in (manifest.config, *manifest.layers))


def is_attestation(one: Descriptor) -> bool:
    """What buildkit puts beside an image to say how it was built is no image."""
    return "vnd.docker.reference.type" in one.annotations

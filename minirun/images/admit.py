"""The gate for images from elsewhere: pull and load let everything behind a target through here before they tag it.

Blobs were verified as they were written; here the documents are: what their descriptors call them, each member of its
type, every blob there in its size, a diff id for every layer, no index without end.
"""

from __future__ import annotations

from minirun.errors import MinirunError
from minirun.images import configuration, media
from minirun.images.media import Descriptor, Manifest
from minirun.images.present import is_attestation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.images.store import Images

INDEX_DEPTH = 3  # an index within an index within an index


def admit(images: Images, target: Descriptor) -> list[Descriptor]:
    """The manifests behind ``target`` that are here, whole; an error if there is none, or anything is not valid."""
    found = walk(images, target, INDEX_DEPTH, {})
    if not found:
        raise MinirunError(f"the image {target.digest} is not complete", reason="no manifest behind it is here")
    return found


def walk(images: Images, one: Descriptor, depth: int, seen: dict[str, str]) -> list[Descriptor]:
    """``seen``: digest -> media type of what was walked already, or is being walked."""
    what = f"the document {one.digest}"
    if one.digest in seen:
        if seen[one.digest] != one.mediaType:
            raise media.bad(what, f"it is called {one.mediaType[:80]!r} and {seen[one.digest][:80]!r}")
        return []
    seen[one.digest] = one.mediaType
    if not depth:
        raise media.bad(what, f"indexes within indexes, more than {INDEX_DEPTH} deep")
    value = media.document(images.blobs.read(one.digest, verify=True), what)
    if media.kind_of(value, one.mediaType, what) == "manifest":
        check_manifest(images, one)
        return [one]
    children = media.index_of(value, what)
    here = [child for child in children if images.blobs.has(child.digest)]
    wrong = next((child for child in here if not images.blobs.has(child.digest, child.size)), None)
    if wrong:
        raise media.bad(what, f"{wrong.digest} has not the size that it says")
    found = []
    for child in here:
        if child.mediaType in (*media.INDEXES, *media.MANIFESTS, "") and not is_attestation(child):
            found += walk(images, child, depth - 1, seen)
    return found


def check_manifest(images: Images, one: Descriptor) -> Manifest:
    """A manifest, its configuration, and that all of its layers are here."""
    what = f"the manifest {one.digest}"
    value = media.document(images.blobs.read(one.digest), what)
    manifest = media.manifest_of(value, what)
    for blob in (manifest.config, *manifest.layers):
        if not images.blobs.has(blob.digest, blob.size):
            lack = "is not here" if not images.blobs.has(blob.digest) else f"is not {blob.size} bytes"
            raise media.bad(what, f"its blob {blob.digest} {lack}")
    config = media.document(images.blobs.read(manifest.config.digest), f"the configuration {manifest.config.digest}")
    configuration.check(config, len(manifest.layers), f"the configuration {manifest.config.digest}")
    return manifest

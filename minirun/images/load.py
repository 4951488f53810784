"""Images from files: an OCI layout or what ``docker save`` wrote, found out by what is in it.

Docker 25 and later writes both into one archive; then the layout is read, which keeps the digests, and the names of
manifest.json go with it.  All of it is taken or nothing: names are given when everything is in the store and was
admitted.  Whoever is killed before leaves blobs that the next ``gc`` finds without a name.
"""

from __future__ import annotations

import posix
from stat import S_ISDIR

from minirun.errors import MinirunError
from minirun.images import docker_archive, layout, media
from minirun.images.admit import check_manifest
from minirun.images.compression import File, plain
from minirun.images.spool import Directory, Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.images.media import Descriptor
    from minirun.images.store import Images

    Found = list[tuple[Descriptor, list[str]]]


def load(images: Images, fd: int, what: str, name: str = "") -> Found:
    """The images in an open file or pipe, with their names; the only one also gets ``name``.

    ``with images.shared()``: they have no names before the end.
    """
    source = Spool(images.blobs, plain(File(fd, what), what)[0], what)
    try:
        found = take(images, source)
    finally:
        source.close()
    return give_names(images, found, name, what)


def load_directory(images: Images, path: str, name: str = "") -> Found:
    """The images of a layout."""
    source = Directory(images.blobs, path)
    try:
        if not source.has(layout.LAYOUT_FILE):
            raise MinirunError(f"{path} is not an image layout", reason=f"it has no {layout.LAYOUT_FILE}")
        found = layout.take(images, source)
    finally:
        source.close()
    return give_names(images, found, name, path)


def is_directory(path: str) -> bool:
    try:
        return S_ISDIR(posix.stat(path).st_mode)
    except OSError:
        return False


def take(images: Images, source: Spool) -> Found:
    has_layout = source.has(layout.LAYOUT_FILE) and source.has(layout.INDEX_FILE)
    if has_layout:
        found = layout.take(images, source)
        if source.has(docker_archive.MANIFEST_FILE):
            add_names(images, source, found)
        return found
    if source.has(docker_archive.MANIFEST_FILE):
        return docker_archive.take(images, source)
    if source.has(docker_archive.REPOSITORIES):
        return docker_archive.take_old(images, source)
    raise MinirunError(
        f"cannot find an image in {source.what}",
        reason="it has neither index.json and oci-layout nor manifest.json",
        hint="a root file system becomes an image by minirun image import",
    )


def add_names(images: Images, source: Spool, found: Found) -> None:
    """Those of manifest.json, which has more than one for an image; by configuration, as it knows no digests."""
    by_config = docker_archive.names(source)
    for target, names in found:
        if target.mediaType in media.MANIFESTS:
            more = by_config.get(check_manifest(images, target).config.digest, [])
            names += [one for one in more if one not in names]


def give_names(images: Images, found: Found, name: str, what: str) -> Found:
    if name and len(found) != 1:
        raise MinirunError(f"cannot name what is in {what}", reason=f"there are {len(found)} images in it")
    if name:
        found[0][1].append(name)
    for target, names in found:
        for one in names or [""]:
            images.tag(one, target)
    return found

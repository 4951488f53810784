"""OCI image layouts (image-layout.md), in a directory or in a tar archive: read, and written.

    oci-layout              {"imageLayoutVersion": "1.0.0"}
    index.json              descriptors of images; an annotation says what each is called
    blobs/sha256/<hex>

What a layout calls an image: docker writes the whole name as io.containerd.image.name and the tag alone as
org.opencontainers.image.ref.name; podman and skopeo write the second only, a whole name or what was behind the colon.
"""

from __future__ import annotations

from minirun.errors import MinirunError
from minirun.images import media
from minirun.images.admit import INDEX_DEPTH, admit
from minirun.images.media import Descriptor, bad
from minirun.images.present import is_attestation
from minirun.images.reference import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from minirun.images.spool import Directory, Spool
    from minirun.images.store import Images

LAYOUT_FILE = "oci-layout"
INDEX_FILE = "index.json"
REF_NAME = "org.opencontainers.image.ref.name"
WHOLE_NAME = "io.containerd.image.name"
VERSION = "1.0.0"


def take(images: Images, source: Spool | Directory) -> list[tuple[Descriptor, list[str]]]:
    """Every image of the layout into the store, and what it is called there; nothing is tagged yet."""
    check_version(media.document(source.read(LAYOUT_FILE), f"{LAYOUT_FILE} in {source.what}"), source.what)
    what = f"{INDEX_FILE} in {source.what}"
    value = media.document(source.read(INDEX_FILE), what)
    if media.kind_of(value, "", what) != "index":
        raise bad(what, "it is not an index")
    found: dict[str, tuple[Descriptor, list[str]]] = {}
    seen: set[str] = set()
    for one in media.index_of(value, what):
        if one.mediaType not in (*media.INDEXES, *media.MANIFESTS, ""):
            continue
        target = bare(fetch(images, source, one, INDEX_DEPTH, seen))
        known = found.setdefault(target.digest, (target, []))
        known[1].extend(name for name in names_of(one) if name not in known[1])
    for target, _ in found.values():
        admit(images, target)
    if not found:
        raise bad(source.what, "there is no image in it")
    return list(found.values())


def check_version(value: dict[str, Any], what: str) -> None:
    version = value.get("imageLayoutVersion")
    if version.__class__ is not str or not version.startswith("1."):
        raise bad(what, f"the version of its layout is {str(version)[:40]!r}, not 1.0.0")


def fetch(images: Images, source: Spool | Directory, one: Descriptor, depth: int, seen: set[str]) -> Descriptor:
    """A document and all behind it that the layout has; of an index that need not be everything."""
    what = f"the document {one.digest}"
    if not depth:
        raise bad(what, f"indexes within indexes, more than {INDEX_DEPTH} deep")
    if one.size > media.DOCUMENT_LIMIT:
        raise bad(what, f"it is larger than {media.DOCUMENT_LIMIT >> 20} MiB")
    source.blob(one)
    value = media.document(images.blobs.read(one.digest), what)
    kind = media.kind_of(value, one.mediaType, what)
    whole = one
    if not one.mediaType:
        said = value.get("mediaType") or (media.INDEX if kind == "index" else media.MANIFEST)
        whole = Descriptor(mediaType=said, digest=one.digest, size=one.size)
    if one.digest in seen:
        return whole
    seen.add(one.digest)
    if kind == "manifest":
        manifest = media.manifest_of(value, what)
        for blob in (manifest.config, *manifest.layers):
            source.blob(blob)
        return whole
    for child in media.index_of(value, what):
        if child.mediaType in (*media.INDEXES, *media.MANIFESTS) and source.has(path_of(child)):
            if is_attestation(child):
                take_along(images, source, child)
            else:
                fetch(images, source, child, depth - 1, seen)
    return whole


def take_along(images: Images, source: Spool | Directory, one: Descriptor) -> None:
    """What says how an image was built goes with it, so that the index stays whole; nobody here reads it."""
    what = f"the document {one.digest}"
    source.blob(one)
    value = media.document(images.blobs.read(one.digest), what)
    listed = media.descriptors(value.get("layers", []), what, media.LAYERS_LIMIT)
    for blob in (media.descriptor(value.get("config"), what), *listed):
        if source.has(path_of(blob)):
            source.blob(blob)


def path_of(one: Descriptor) -> str:
    return "blobs/" + one.digest.replace(":", "/")


def bare(one: Descriptor) -> Descriptor:
    """Without what the layout says about it: names and platforms are ours."""
    return Descriptor(mediaType=one.mediaType, digest=one.digest, size=one.size)


def names_of(one: Descriptor) -> list[str]:
    """Whole names of an image in a layout; a word that is no more than a tag names nothing."""
    word = one.annotations.get(WHOLE_NAME) or one.annotations.get(REF_NAME, "")
    if not word or ("/" not in word and ":" not in word and is_version(word)):
        return []
    try:
        found = parse(word)
    except MinirunError:
        return []
    return [] if found.digest and not found.tag else [found.name]


def is_version(word: str) -> bool:
    """latest, 1.2, v3: what people call tags, not images."""
    return word == "latest" or word[:1].isdigit() or (word[:1] == "v" and word[1:2].isdigit())


def index_of(entries: Iterable[tuple[Descriptor, list[str]]]) -> dict[str, Any]:
    """index.json for these images; several names are several entries, as a descriptor has room for one."""
    manifests = []
    for target, names in entries:
        for name in names or [""]:
            value = target.to_json()
            if name:
                value["annotations"] = {WHOLE_NAME: name, REF_NAME: name}
            manifests.append(value)
    return {"schemaVersion": 2, "mediaType": media.INDEX, "manifests": manifests}

"""What ``docker save`` writes: configurations, layers, and manifest.json, which says which belong together.

    manifest.json   [{"Config": NAME, "RepoTags": ["busybox:latest"], "Layers": [NAME, …]}, …]

A name is that of a file in the archive, or of a link to one.  No digest stands anywhere but in the configuration: its
diff ids are what the layers, decompressed, are verified against.  Archives older than docker 1.10 have no
manifest.json; they have one directory for each layer and ``repositories`` for the names (docker's image spec v1).
"""

from __future__ import annotations

import posix

from minirun.images import configuration, media
from minirun.images.blobs import CHUNK, digest_of, hasher
from minirun.images.compression import Decompressed, File, sniff
from minirun.images.media import Descriptor, bad
from minirun.images.reference import parse
from minirun.spec.decode import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.images.spool import Spool
    from minirun.images.store import Images

MANIFEST_FILE = "manifest.json"
REPOSITORIES = "repositories"
IMAGES_LIMIT = 1000
TYPES = {"": media.LAYER, "gzip": media.LAYER_GZIP, "zstd": media.LAYER_ZSTD}


def take(images: Images, source: Spool) -> list[tuple[Descriptor, list[str]]]:
    """Every image of the archive into the store, as an OCI image with the same id, and its names."""
    return [take_one(images, source, value) for value in listed(source)]


def names(source: Spool) -> dict[str, list[str]]:
    """The digests of configurations, and what their images are called."""
    found: dict[str, list[str]] = {}
    for value in listed(source):
        called = [parse(tag).name for tag in value.get("RepoTags", [])]
        found.setdefault(digest_of(source.read(value["Config"])), []).extend(called)
    return found


def listed(source: Spool) -> list[dict[str, Any]]:
    """manifest.json, each member of its type."""
    what = f"{MANIFEST_FILE} in {source.what}"
    wrapped = media.document(b'{"images":' + source.read(MANIFEST_FILE) + b"}", what)
    found: list[dict[str, Any]] = wrapped["images"] if set(wrapped) == {"images"} else []
    if found.__class__ is not list or not 0 < len(found) <= IMAGES_LIMIT:
        raise bad(what, f"it is not a list of 1 to {IMAGES_LIMIT} images")
    for value in found:
        if value.__class__ is not dict or value.get("Config").__class__ is not str:
            raise bad(what, "an image has no configuration")
        for words in (value.get("Layers", []), value.get("RepoTags", [])):
            if words.__class__ is not list or any(word.__class__ is not str for word in words):
                raise bad(what, "Layers and RepoTags are lists of strings")
    return found


def take_one(images: Images, source: Spool, value: dict[str, Any]) -> tuple[Descriptor, list[str]]:
    layers, tags = value.get("Layers", []), value.get("RepoTags", [])
    data = source.read(value["Config"])
    config = media.document(data, f"{value['Config'][:80]!r} in {source.what}")
    configuration.check(config, len(layers), f"{value['Config'][:80]!r} in {source.what}")
    ids = config.get("rootfs", {}).get("diff_ids", [])
    blobs = [take_layer(source, name, diff_id) for name, diff_id in zip(layers, ids, strict=True)]
    return compose(images, data, blobs), [parse(tag).name for tag in tags]


def take_layer(source: Spool, name: str, diff_id: str) -> Descriptor:
    """A layer, if its content is what the configuration says."""
    fd = source.open(name)
    try:
        kind = sniff(posix.pread(fd, 8, 0))
        hashed = hasher(diff_id.partition(":")[0])
        if kind or not diff_id.startswith("sha256:"):
            raw = File(fd, f"the layer {name[:80]!r}")
            reader = Decompressed(raw, kind, raw.what) if kind else raw
            while data := reader.read(CHUNK):
                hashed.update(data)
        else:
            hashed = source.writer(name).hashed
    finally:
        posix.close(fd)
    found = f"{diff_id.partition(':')[0]}:{hashed.hexdigest()}"
    if found != diff_id:
        raise bad(f"the layer {name[:80]!r} in {source.what}", f"its content is {found}, not {diff_id}")
    return source.commit(name, TYPES.get(kind, media.LAYER))


def compose(images: Images, config: bytes, layers: list[Descriptor]) -> Descriptor:
    """A manifest for them: the archive has none."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": media.MANIFEST,
        "config": images.blobs.put(config, media.CONFIG).to_json(),
        "layers": [layer.to_json() for layer in layers],
    }
    return images.blobs.put(encode(manifest).encode(), media.MANIFEST)


def take_old(images: Images, source: Spool) -> list[tuple[Descriptor, list[str]]]:
    """An archive of docker's before 1.10: ``repositories`` names layers, each of which names its parent."""
    what = f"{REPOSITORIES} in {source.what}"
    value = media.document(source.read(REPOSITORIES), what)
    named: dict[str, list[str]] = {}
    for repository, tags in value.items():
        if tags.__class__ is not dict or any(one.__class__ is not str for one in tags.values()):
            raise bad(what, "a repository is an object of tags and layers")
        for tag, top in tags.items():
            named.setdefault(top, []).append(parse(f"{repository}:{tag}").name)
    if not named:
        raise bad(what, "it names no image")
    return [(old_image(images, source, top, what), names) for top, names in named.items()]


def old_image(images: Images, source: Spool, top: str, what: str) -> Descriptor:
    """The layers from ``top`` down to the one without a parent; its configuration is the topmost's."""
    chain: list[dict[str, Any]] = []
    name = top
    while name:
        if len(chain) >= media.LAYERS_LIMIT or any(one["id"] == name for one in chain):
            raise bad(what, "the layers' parents lead in a circle, or are too many")
        document = media.document(source.read(f"{name}/json"), f"{name[:80]!r}/json in {source.what}")
        chain.append({**document, "id": name})
        name = document.get("parent", "")
        if name.__class__ is not str:
            raise bad(what, "a parent is not a string")
    blobs, ids = [], []
    for one in reversed(chain):
        writer = source.writer(f"{one['id']}/layer.tar")
        ids.append(f"sha256:{writer.hashed.hexdigest()}")
        blobs.append(take_layer(source, f"{one['id']}/layer.tar", ids[-1]))
    kept = ("created", "author", "architecture", "os", "config")
    value = {key: chain[0][key] for key in kept if key in chain[0]}
    value["rootfs"] = {"type": "layers", "diff_ids": ids}
    configuration.check(value, len(blobs), f"{top[:80]!r}/json in {source.what}")
    return compose(images, encode(value).encode(), blobs)

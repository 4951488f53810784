"""A new image out of layers that are in the store: what build, commit and import end with (image-spec, config.md).

The same input is the same image, digest for digest: members in a fixed order, no time but the one that is given.
"""

from __future__ import annotations

from minirun.errors import MinirunError
from minirun.images import media, platform as platforms
from minirun.images.media import Descriptor
from minirun.spec.decode import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from minirun.images.store import Image, Images


def image_from(
    images: Images,
    *,
    base: Image | None = None,
    layers: Sequence[tuple[Descriptor, str]] = (),
    config: dict[str, Any] | None = None,
    history: str = "",
    name: str = "",
    created: str | None = None,
    author: str = "",
    comment: str = "",
    platform: str = "",
    annotations: dict[str, str] | None = None,
) -> Image:
    """The image of ``base`` with ``layers`` (blob, diff id) on top, written to the store and tagged ``name``.

    ``config``: members that replace those of the base's /config (Env, Cmd, Labels …; None takes one away).
    ``history``: "created by" of the first new layer.  ``created``: RFC 3339; None is now.
    Only ``with images.shared()``: until it has its name nothing else keeps it.
    """
    moment = created if created is not None else now()
    value = configuration(base, [diff_id for _, diff_id in layers], config or {}, platform)
    value["created"] = moment
    if author:
        value["author"] = author
    value["history"] = [*value.get("history", []), *new_history(layers, history, moment, author, comment)]
    written = images.blobs.put(encode(ordered(value)).encode(), media.CONFIG)
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": media.MANIFEST,
        "config": written.to_json(),
        "layers": [as_oci(layer).to_json() for layer in (*(base.layers if base else ()), *[one for one, _ in layers])],
    }
    if annotations:
        manifest["annotations"] = dict(sorted(annotations.items()))
    target = images.blobs.put(encode(manifest).encode(), media.MANIFEST)
    images.tag(name, target)
    return images.find(name or target.digest)


def configuration(base: Image | None, diff_ids: list[str], changes: dict[str, Any], platform: str) -> dict[str, Any]:
    """The base's document, or an empty one for the platform, with what is new."""
    value: dict[str, Any] = {**base.config} if base else platforms.parse(platform).to_json()
    inner = {**value.get("config", {}), **changes}
    value["config"] = {name: member for name, member in inner.items() if member is not None}
    value["rootfs"] = {"type": "layers", "diff_ids": [*(base.diff_ids if base else ()), *diff_ids]}
    for name in ("container", "container_config", "docker_version", "id", "parent", "throwaway"):
        value.pop(name, None)  # of docker's older days, about the container that the base was made with
    return value


def new_history(
    layers: Sequence[tuple[Descriptor, str]], history: str, created: str, author: str, comment: str
) -> list[dict[str, Any]]:
    """A line for each new layer; for an image that only changed its configuration, one of an empty layer."""
    entry: dict[str, Any] = {"created": created}
    entry.update(
        {name: word for name, word in (("author", author), ("created_by", history), ("comment", comment)) if word}
    )
    return [dict(entry) for _ in layers] or [{**entry, "empty_layer": True}]


def as_oci(layer: Descriptor) -> Descriptor:
    """Docker's media types are the same bytes under other names; an OCI manifest has OCI's."""
    compression = media.COMPRESSIONS.get(layer.mediaType)
    if compression is None:
        raise MinirunError("cannot make an image", reason=f"a layer of type {layer.mediaType}")
    kind = layer.mediaType
    if kind.startswith(media.DOCKER):
        kind = media.LAYER + (f"+{compression}" if compression else "")
    return Descriptor(mediaType=kind, digest=layer.digest, size=layer.size)


ORDER = (
    "created",
    "author",
    "architecture",
    "variant",
    "os",
    "os.version",
    "os.features",
    "config",
    "rootfs",
    "history",
)


def ordered(value: dict[str, Any]) -> dict[str, Any]:
    """As the specification lists the members; others behind, by name."""
    known = {name: value[name] for name in ORDER if name in value}
    return {**known, **{name: value[name] for name in sorted(value) if name not in ORDER}}


def now() -> str:
    """RFC 3339, UTC, with the nanoseconds that docker has."""
    from time import gmtime, strftime, time_ns

    stamp = time_ns()
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(stamp // 10**9)) + f".{stamp % 10**9:09}Z"

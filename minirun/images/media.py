"""Media types, descriptors, and what the documents of an image may look like (image-spec 1.1, Docker schema 2).

Whoever made them may mean harm: every document has a largest size and depth, names its members once, and is what its
descriptor calls it (CVE-2021-41190: one document that is an index to one reader and a manifest to another).  A member
that is null counts as absent, since Go writes null for an empty list.  PURE: bytes and values only.
"""

from __future__ import annotations

from _json import make_scanner

from minirun.errors import MinirunError
from minirun.images.reference import is_digest
from minirun.record import Record
from minirun.spec.decode import Context, without_nulls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."
INDEX = OCI + "index.v1+json"
MANIFEST = OCI + "manifest.v1+json"
CONFIG = OCI + "config.v1+json"
LAYER = OCI + "layer.v1.tar"
LAYER_GZIP = LAYER + "+gzip"
LAYER_ZSTD = LAYER + "+zstd"
DOCKER_LIST = DOCKER + "distribution.manifest.list.v2+json"
DOCKER_MANIFEST = DOCKER + "distribution.manifest.v2+json"
DOCKER_CONFIG = DOCKER + "container.image.v1+json"
DOCKER_LAYER = DOCKER + "image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = DOCKER_LAYER + ".gzip"
DOCKER_LAYER_ZSTD = DOCKER_LAYER + ".zstd"

INDEXES = (INDEX, DOCKER_LIST)
MANIFESTS = (MANIFEST, DOCKER_MANIFEST)
CONFIGS = (CONFIG, DOCKER_CONFIG)
# media type of a layer -> how it is compressed
COMPRESSIONS = {
    LAYER: "", LAYER_GZIP: "gzip", LAYER_ZSTD: "zstd",
    DOCKER_LAYER: "", DOCKER_LAYER_GZIP: "gzip", DOCKER_LAYER_ZSTD: "zstd",
    OCI + "layer.nondistributable.v1.tar": "", OCI + "layer.nondistributable.v1.tar+gzip": "gzip",
    OCI + "layer.nondistributable.v1.tar+zstd": "zstd",
    DOCKER_LAYER.replace("diff", "foreign.diff") + ".gzip": "gzip",
}  # fmt: skip

DOCUMENT_LIMIT = 4 << 20  # what registries take for a manifest at most
DEPTH_LIMIT = 32
LAYERS_LIMIT = 1000
MANIFESTS_LIMIT = 1000
SIZE_LIMIT = 1 << 50


class Descriptor(Record):
    """What a blob is, its digest and its size; ``raw`` is the whole object as it was read."""

    mediaType: str
    digest: str
    size: int
    platform: dict[str, Any] = {}
    annotations: dict[str, str] = {}
    raw: dict[str, Any] = {}

    def to_json(self) -> dict[str, Any]:
        """The object for another document; what ``raw`` has beyond our members (urls, data …) stays."""
        value = {**self.raw, "mediaType": self.mediaType, "digest": self.digest, "size": self.size}
        for name in ("platform", "annotations"):
            if getattr(self, name):
                value[name] = getattr(self, name)
        return value


class Manifest(Record):
    """A checked image manifest: what runs needs; ``raw`` is the document."""

    config: Descriptor
    layers: list[Descriptor]
    raw: dict[str, Any]


class Strict:
    """JSON whose objects name each member once: of two readers neither sees another value than the other."""

    strict = True
    object_hook = None
    parse_float = float
    parse_int = int
    parse_constant = Context.parse_constant

    @staticmethod
    def object_pairs_hook(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a member is named twice")
        return found


scan = make_scanner(Strict)  # type: ignore[arg-type]  # duck-typed


def document(data: bytes, what: str) -> dict[str, Any]:
    """The object in ``data``, without null members; ``what`` names it in an error."""
    if len(data) > DOCUMENT_LIMIT:
        raise bad(what, f"it is larger than {DOCUMENT_LIMIT >> 20} MiB")
    try:
        text = data.decode("utf-8").strip(" \t\r\n")
        value, end = scan(text, 0)
    except (ValueError, StopIteration, RecursionError, SystemError) as error:
        # SystemError: json.decoder, whose exception the scanner would raise, is not imported (spec/decode.py)
        raise bad(what, "not JSON" if not str(error) or error.__class__ is not ValueError else str(error)) from error
    if value.__class__ is not dict or text[end:].strip():
        raise bad(what, "not one JSON object")
    if deeper(value, DEPTH_LIMIT):
        raise bad(what, f"nested deeper than {DEPTH_LIMIT} levels")
    found: dict[str, Any] = without_nulls(value)
    return found


def deeper(value: Any, levels: int) -> bool:
    """Is ``value`` nested deeper?  The scanner itself, in C, ends at the interpreter's own limit."""
    inner = value.values() if value.__class__ is dict else value if value.__class__ is list else ()
    return levels < 0 or any(deeper(item, levels - 1) for item in inner if item.__class__ in (dict, list))


def descriptor(value: Any, what: str) -> Descriptor:
    """A descriptor out of a document, each member of its type."""
    if value.__class__ is not dict:
        raise bad(what, "a descriptor is not an object")
    kind, digest, size = value.get("mediaType", ""), value.get("digest"), value.get("size")
    if kind.__class__ is not str or len(kind) > 255:
        raise bad(what, "a media type is not a short string")
    if digest.__class__ is not str or not is_digest(digest):
        raise bad(what, f"{str(digest)[:80]!r} is not a digest (sha256 or sha512)")
    if size.__class__ is not int or not 0 <= size <= SIZE_LIMIT:
        raise bad(what, f"the size of {digest} is {str(size)[:40]}")
    platform, annotations = value.get("platform", {}), value.get("annotations", {})
    strings(annotations, what, "annotations")
    if platform.__class__ is not dict or any(platform.get(name, "").__class__ is not str for name in PLATFORM):
        raise bad(what, "a platform is not an object of strings")
    return Descriptor(mediaType=kind, digest=digest, size=size, platform=platform, annotations=annotations, raw=value)


PLATFORM = ("os", "architecture", "variant", "os.version")


def kind_of(value: dict[str, Any], media_type: str, what: str) -> str:
    """ "index" or "manifest": what the descriptor, the document's own word, and its members all say."""
    own = value.get("mediaType", "")
    if own.__class__ is not str or (own and media_type and own != media_type):
        raise bad(what, f"its media type is {str(own)[:80]!r}, its descriptor's {media_type!r}")
    said = own or media_type
    looks = "index" if "manifests" in value else "manifest"
    if "manifests" in value and ("layers" in value or "config" in value):
        raise bad(what, "it is an index and a manifest at once")
    if "fsLayers" in value or value.get("schemaVersion", 2) != 2:
        raise bad(what, "its schema version is not 2")
    kind = "index" if said in INDEXES else "manifest" if said in MANIFESTS else looks if not said else ""
    if not kind:
        raise bad(what, f"{said[:80]!r} is neither an image nor an index")
    if kind != looks and (kind == "manifest" or "layers" in value or "config" in value):
        raise bad(what, f"it is not the {kind} that its media type says")
    return kind


def index_of(value: dict[str, Any], what: str) -> list[Descriptor]:
    """The descriptors of an index."""
    return descriptors(value.get("manifests", []), what, MANIFESTS_LIMIT)


def manifest_of(value: dict[str, Any], what: str) -> Manifest:
    """An image's manifest: a configuration, and layers that somebody can unpack."""
    config = descriptor(value.get("config"), what)
    if config.mediaType not in CONFIGS:
        raise bad(what, f"its configuration is {config.mediaType[:80]!r}: an artifact, not an image")
    if config.size > DOCUMENT_LIMIT:
        raise bad(what, f"its configuration is larger than {DOCUMENT_LIMIT >> 20} MiB")
    layers = descriptors(value.get("layers", []), what, LAYERS_LIMIT)
    for layer in layers:
        if layer.mediaType not in COMPRESSIONS:
            raise bad(what, f"a layer is {layer.mediaType[:80]!r}, which cannot be unpacked")
    return Manifest(config=config, layers=layers, raw=value)


def parts_of(value: dict[str, Any], what: str) -> list[Descriptor]:
    """Configuration and layers of a manifest of whatever kind: an attestation has the form of an image, and is none."""
    config = [descriptor(value["config"], what)] if "config" in value else []
    return [*config, *descriptors(value.get("layers", []), what, LAYERS_LIMIT)]


def descriptors(value: Any, what: str, limit: int) -> list[Descriptor]:
    if value.__class__ is not list:
        raise bad(what, "a list of descriptors is not a list")
    if len(value) > limit:
        raise bad(what, f"it has more than {limit} entries")
    return [descriptor(item, what) for item in value]


def strings(value: Any, what: str, name: str) -> None:
    if value.__class__ is not dict or any(item.__class__ is not str for item in value.values()):
        raise bad(what, f"{name} is not an object of strings")


def bad(what: str, why: str) -> MinirunError:
    return MinirunError(f"{what} is not valid", reason=why)

"""image inspect and image history."""

from __future__ import annotations

from time import time

from minirun.cli import amounts
from minirun.cli.container_inspect import show
from minirun.cli.image_list import short
from minirun.cli.oci_list import columns, form_of
from minirun.cli.stores import storage_of, write_out
from minirun.container.record import seconds_of
from minirun.errors import printable
from minirun.images.reference import parse
from minirun.images.store import Image, Images
from minirun.spec.decode import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.cli.main import Call

WIDTH = 45  # of CREATED BY, as docker cuts it


def inspect(call: Call) -> int:
    images, platform = Images(storage_of(call)), call.values.text("platform")
    return show(call, [lambda word=word: about(images.find(word, platform)) for word in call.words])  # type: ignore[misc]


def about(image: Image) -> dict[str, Any]:
    """docker's object, as far as it means something without a daemon."""
    references = [parse(name) for name in image.names]
    config = image.config
    return {
        "Id": image.id,
        "RepoTags": [one.familiar for one in references if one.tag],
        "RepoDigests": sorted({f"{one.familiar_where}@{image.target.digest}" for one in references}),
        "Comment": next((line["comment"] for line in reversed(config.get("history", [])) if line.get("comment")), ""),
        "Created": config.get("created", ""),
        "Author": config.get("author", ""),
        "Architecture": config.get("architecture", ""),
        "Variant": config.get("variant", ""),
        "Os": config.get("os", ""),
        "Size": image.size,
        "Config": config.get("config", {}),
        "RootFS": {"Type": "layers", "Layers": image.diff_ids},
        "Descriptor": image.target.to_json(),
        "ManifestDigest": image.manifest_digest,
        "Layers": [layer.to_json() for layer in image.layers],
    }


def history(call: Call) -> int:
    form, whole = form_of(call, go=True), call.values.on("no_trunc")
    lines = lines_of(Images(storage_of(call)).find(call.words[0], call.values.text("platform")))
    if call.values.on("quiet"):
        ids = [line["ID"] for line in lines]
        write_out("".join(f"{one if whole or one == MISSING else short(one)}\n" for one in ids))
    elif form == "json":
        write_out("".join(encode(line) + "\n" for line in lines))
    elif form != "table":
        from minirun.cli.template import lines as filled

        write_out(filled(form, [{**one, "Size": amounts.size(one["Size"])} for one in lines], {"ID": "IMAGE"}))
    else:
        write_out(columns([["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"], *[row(one, whole) for one in lines]]))
    return 0


MISSING = "<missing>"


def lines_of(image: Image) -> list[dict[str, Any]]:
    """The newest first; one more for each layer that the history does not know."""
    layers = list(image.layers)
    found: list[dict[str, Any]] = []
    for line in image.config.get("history", []):
        size = layers.pop(0).size if layers and not line.get("empty_layer") else 0
        found.append(entry(line, size))
    found += [entry({}, layer.size) for layer in layers]
    for one in found:
        one["ID"] = MISSING
    if found:
        found[-1]["ID"] = image.id
    return found[::-1]


def entry(line: dict[str, Any], size: int) -> dict[str, Any]:
    created = line.get("created", "")
    return {
        "ID": MISSING, "CreatedAt": created, "CreatedSince": amounts.ago(seconds_of(created), time()),
        "CreatedBy": line.get("created_by", ""), "Size": size, "Comment": line.get("comment", ""),
    }  # fmt: skip


def row(line: dict[str, Any], whole: bool) -> list[str]:
    by = printable(" ".join(line["CreatedBy"].split()))
    if not whole and len(by) > WIDTH:
        by = by[: WIDTH - 1] + "…"
    image_id = line["ID"] if whole or line["ID"] == MISSING else short(line["ID"])
    return [image_id, line["CreatedSince"], by, amounts.size(line["Size"]), printable(line["Comment"])]

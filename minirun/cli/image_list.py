"""image ls."""

from __future__ import annotations

from time import time

from minirun.cli import amounts
from minirun.cli.oci_list import columns, form_of
from minirun.cli.parse import usage
from minirun.cli.stores import storage_of, write_out
from minirun.container.record import seconds_of
from minirun.errors import MinirunError, printable
from minirun.images.reference import Reference, parse
from minirun.images.store import Image, Images
from minirun.record import Record
from minirun.spec.decode import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.cli.main import Call

NONE = "<none>"
HEADINGS = {"ID": "IMAGE ID", "CreatedSince": "CREATED"}  # a template's, where they are not the member's name


class Row(Record):
    """A name of an image, or an image without; ``reference`` is None then."""

    image: Image
    reference: Reference | None


def ls(call: Call) -> int:
    form = form_of(call, go=True)
    damaged: list[str] = []
    rows = rows_of(Images(storage_of(call)).all(damaged))
    for name in damaged:
        call.log.warn(f"the image {name} is not whole any more: minirun image rm, then pull or load it again")
    kept = [row for row in rows if all(fits(row, one) for one in call.values.listed("filter"))]
    if call.words:
        kept = [row for row in kept if named(row, call.words[0])]
    if call.values.on("quiet"):
        ids = dict.fromkeys(short(row.image.id, call.values.on("no_trunc")) for row in kept)
        write_out("".join(f"{one}\n" for one in ids))
    elif form == "json":
        write_out("".join(encode(as_json(row)) + "\n" for row in kept))
    elif form != "table":
        from minirun.cli.template import lines

        write_out(lines(form, [as_json(row, call.values.on("no_trunc")) for row in kept], HEADINGS))
    else:
        digests = call.values.on("digests")
        titles = ["REPOSITORY", "TAG", *(["DIGEST"] if digests else []), "IMAGE ID", "CREATED", "SIZE"]
        write_out(columns([titles, *[cells(row, digests, call.values.on("no_trunc")) for row in kept]]))
    return 0


def rows_of(images: list[Image]) -> list[Row]:
    """Newest first, as docker has them; then by name."""
    rows = []
    for image in images:
        rows += [Row(image=image, reference=parse(name)) for name in image.names] or [Row(image=image, reference=None)]
    rows.sort(key=lambda row: row.reference.name if row.reference else "~")
    rows.sort(key=lambda row: -seconds_of(row.image.config.get("created", "")))
    return rows


def cells(row: Row, digests: bool, whole: bool) -> list[str]:
    created = seconds_of(row.image.config.get("created", ""))
    found = [repository(row), tag(row), *([row.image.target.digest] if digests else [])]
    return [*found, short(row.image.id, whole), amounts.ago(created, time()), amounts.size(row.image.size)]


def repository(row: Row) -> str:
    return row.reference.familiar_where if row.reference else NONE


def tag(row: Row) -> str:
    return (row.reference.tag if row.reference else "") or NONE


def short(image_id: str, whole: bool = False) -> str:
    return image_id if whole else image_id.partition(":")[2][:12]


def as_json(row: Row, whole: bool = False) -> dict[str, object]:
    """docker's members, all of them strings."""
    created = row.image.config.get("created", "")
    return {
        "ID": short(row.image.id, whole), "Repository": repository(row), "Tag": tag(row),
        "Digest": row.image.target.digest,
        "CreatedAt": printable(created), "CreatedSince": amounts.ago(seconds_of(created), time()),
        "Size": amounts.size(row.image.size), "Platform": platform(row.image),
    }  # fmt: skip


def platform(image: Image) -> str:
    words = (image.config.get(name, "") for name in ("os", "architecture", "variant"))
    return printable("/".join(word for word in words if word))


def named(row: Row, pattern: str) -> bool:
    """Does docker's ``image ls PATTERN`` mean it?  A whole name, with or without tag, or a pattern."""
    if row.reference is None:
        return False
    if not set(pattern) & set("*?["):
        try:
            wanted = parse(pattern)
        except MinirunError:
            return False
        tagged = ":" in pattern.rpartition("/")[2] or "@" in pattern
        return (row.reference.name if tagged else row.reference.where) == (wanted.name if tagged else wanted.where)
    from fnmatch import fnmatchcase

    return fnmatchcase(row.reference.familiar, pattern) or fnmatchcase(row.reference.familiar_where, pattern)


def fits(row: Row, condition: str) -> bool:
    name, _, value = condition.partition("=")
    if name == "dangling" and value in ("true", "false"):
        return (row.reference is None) == (value == "true")
    if name == "reference" and value:
        return named(row, value)
    if name == "label" and value:
        return has_label(row.image, value)
    raise usage(f"unknown filter {condition!r}", "dangling=true|false, reference=PATTERN or label=NAME[=VALUE]")


def has_label(image: Image, wanted: str) -> bool:
    labels = image.config.get("config", {}).get("Labels", {})
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)

"""PURE: a recipe, the small TOML file that says what a root filesystem is made of.

Its top has a name, a description, a date; then at most one table that says who fills it (``[busybox]``, ``[host]``,
``[debian]``), and tables that every recipe may have::

    [config]        the image's configuration, in image-spec's words (Cmd, Env, Entrypoint, User ...)
    [labels]        of the image
    [directories]   path = mode
    [links]         path = target
    [files]         path = its text; a first line that is empty does not count
    [copy]          path = a file beside the recipe
    [modes]         path = mode, where 644 (755 for what is copied as a program) is not right
    [owners]        path = "uid:gid"

Paths are seen from the root, without a / in front.  Everything is dated ``date``, or earlier where an input has an
earlier date: two builds from the same inputs are the same bytes.
"""

from __future__ import annotations

from minirun.errors import MinirunError
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KINDS = ("busybox", "host", "debian")
TABLES = ("config", "labels", "directories", "links", "files", "copy", "modes", "owners")
COMPRESSIONS = ("gzip", "zstd", "none")
KEYS = ("name", "description", "date", "compression", *TABLES, *KINDS)
CONFIG = {
    "Cmd": list, "Env": list, "Entrypoint": list, "User": str, "WorkingDir": str, "StopSignal": str,
    "Labels": dict, "ExposedPorts": dict, "Volumes": dict,
}  # fmt: skip
# What the kinds' tables may say, and of what type it is.
OWN: dict[str, dict[str, type]] = {
    "": {},
    "busybox": {"package": str, "paths": list, "pin": list},
    "host": {"programs": list, "add": list, "skip": list, "sets": dict},
    "debian": {
        "suite": str, "otherwise": str, "variant": str, "components": list, "include": list, "mirror": str,
        "drop": list, "empty": list,
    },
}  # fmt: skip


class Recipe(Record):
    """``kind`` is the name of the table that fills the root, "" if the rest says all; ``own`` is that table.

    ``file`` is where it was read, ``digest`` the SHA-256 of its text.
    """

    file: str
    digest: str
    name: str
    description: str
    date: int
    compression: str
    kind: str
    own: dict[str, Any]
    config: dict[str, Any]
    labels: dict[str, str]
    directories: dict[str, int]
    links: dict[str, str]
    files: dict[str, str]
    copy: dict[str, str]
    modes: dict[str, int]
    owners: dict[str, tuple[int, int]]


def recipe_from(document: dict[str, Any], file: str, digest: str) -> Recipe:
    """Checked; every mistake at once.  Raises MinirunError."""
    problems: list[tuple[str, str]] = []
    kinds = [kind for kind in KINDS if kind in document]
    if len(kinds) > 1:
        problems.append(("/", f"one of {' and '.join(kinds)} fills the root, not both"))
    kind = kinds[0] if kinds else ""
    problems += [(f"/{key}", "not known to recipes") for key in document if key not in KEYS]
    problems += check_types(document, kind)
    if problems:
        raise mistakes(file, problems)
    found = Recipe(
        file=file, digest=digest, name=document["name"], description=document.get("description", ""),
        date=seconds(document["date"]), compression=document.get("compression", "gzip"), kind=kind,
        own=document.get(kind, {}), config=document.get("config", {}), labels=document.get("labels", {}),
        directories={}, links=document.get("links", {}), files={}, copy=document.get("copy", {}), modes={}, owners={},
    )  # fmt: skip
    found.files = {path: text.removeprefix("\n") for path, text in document.get("files", {}).items()}
    for table, fits in (("directories", mode_of), ("modes", mode_of), ("owners", owner_of)):
        values = {path: fits(word) for path, word in document.get(table, {}).items()}
        problems += [(f"/{table}/{path}", "not to be read") for path, value in values.items() if value is None]
        setattr(found, table, values)
    for table in ("directories", "links", "files", "copy", "modes", "owners"):
        problems += [
            (f"/{table}/{path}", "a path from the root, without .") for path in document.get(table, {}) if bad(path)
        ]
    if problems:
        raise mistakes(file, problems)
    return found


def check_types(document: dict[str, Any], kind: str) -> list[tuple[str, str]]:
    problems = [(f"/{key}", "has to be there") for key in ("name", "date") if key not in document]
    texts = ("name", "description", "compression")
    problems += [(f"/{key}", "has to be a string") for key in texts if not isinstance(document.get(key, ""), str)]
    if "date" in document and seconds(document["date"]) < 0:
        problems.append(("/date", "has to be a date and time with its zone, as 2024-01-01T00:00:00Z"))
    if document.get("compression", "gzip") not in COMPRESSIONS:
        problems.append(("/compression", f"is one of {' '.join(COMPRESSIONS)}"))
    for table in (*TABLES, *KINDS):
        if not isinstance(document.get(table, {}), dict):
            return [*problems, (f"/{table}", "has to be a table")]
    for table in ("labels", "directories", "links", "files", "copy", "modes", "owners"):
        wrong = [path for path, word in document.get(table, {}).items() if not isinstance(word, str)]
        problems += [(f"/{table}/{path}", "has to be a string") for path in wrong]
    for table, known in (("config", CONFIG), (kind, OWN[kind])):
        for key, value in document.get(table, {}).items():
            if key not in known:
                problems.append((f"/{table}/{key}", "not known to recipes"))
            elif not isinstance(value, known[key]):
                problems.append((f"/{table}/{key}", f"has to be a {NOUNS[known[key]]}"))
    return problems


NOUNS: dict[type, str] = {list: "list", str: "string", dict: "table"}


def mistakes(file: str, problems: list[tuple[str, str]]) -> MinirunError:
    return MinirunError("the recipe is not right", config=file, problems=problems)


def seconds(value: Any) -> int:
    """TOML's date with its zone, as seconds since 1970; -1 if it is none."""
    if getattr(value, "tzinfo", None) is None:
        return -1
    return int(value.timestamp())


def mode_of(word: str) -> int | None:
    try:
        mode = int(word, 8)
    except ValueError:
        return None
    return mode if 0 <= mode <= 0o7777 else None


def owner_of(word: str) -> tuple[int, int] | None:
    uid, colon, gid = word.partition(":")
    if not (colon and uid.isdecimal() and gid.isdecimal()) or max(len(uid), len(gid)) > 10:
        return None
    return int(uid), int(gid)


def bad(path: str) -> bool:
    return not path or "\0" in path or any(part in ("", ".", "..") for part in path.split("/"))

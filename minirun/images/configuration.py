"""What an image's configuration may look like (image-spec, config.md; docker's has more members, which stay).

Whoever reads a checked one finds each member of the type that it should have, or not at all.  PURE.
"""

from __future__ import annotations

from minirun.images.media import LAYERS_LIMIT, bad, strings
from minirun.images.reference import is_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WORDS = ("created", "author", "architecture", "os", "os.version", "variant")
TOLD = ("created", "created_by", "author", "comment")
LISTS = ("Env", "Entrypoint", "Cmd", "Shell", "OnBuild")
TEXTS = ("User", "WorkingDir", "StopSignal", "Hostname", "Domainname", "Image")
SETS = ("ExposedPorts", "Volumes")
SWITCHES = ("ArgsEscaped", "Tty", "OpenStdin", "StdinOnce", "AttachStdin", "AttachStdout", "AttachStderr")


def check(value: dict[str, Any], layers: int, what: str) -> None:
    """``layers``: how many the manifest has, each of which needs a diff id of its own."""
    for name in WORDS:
        if value.get(name, "").__class__ is not str:
            raise bad(what, f"{name} is not a string")
    rootfs = value.get("rootfs", {})
    ids = rootfs.get("diff_ids", []) if rootfs.__class__ is dict else None
    if ids.__class__ is not list or rootfs.get("type", "layers") != "layers":
        raise bad(what, "rootfs is not a list of layers")
    for one in ids:
        if one.__class__ is not str or not is_digest(one):
            raise bad(what, f"{str(one)[:80]!r} is not a diff id")
    if len(ids) != layers or layers > LAYERS_LIMIT:
        raise bad(what, f"it has {len(ids)} diff ids for {layers} layers")
    history = value.get("history", [])
    if history.__class__ is not list or any(line.__class__ is not dict for line in history):
        raise bad(what, "history is not a list of objects")
    for line in history:
        wrong = next((name for name in TOLD if line.get(name, "").__class__ is not str), "")
        if wrong or line.get("empty_layer", False).__class__ is not bool:
            raise bad(what, f"{wrong or 'empty_layer'} in its history is not of its type")
    check_inner(value.get("config", {}), what)


def check_inner(value: Any, what: str) -> None:
    """What a container begins with."""
    if value.__class__ is not dict:
        raise bad(what, "config is not an object")
    for name in LISTS:
        words = value.get(name, [])
        if words.__class__ is not list or any(word.__class__ is not str for word in words):
            raise bad(what, f"{name} is not a list of strings")
    for name in TEXTS:
        if value.get(name, "").__class__ is not str:
            raise bad(what, f"{name} is not a string")
    for name in SETS:
        if value.get(name, {}).__class__ is not dict:
            raise bad(what, f"{name} is not an object")
    for name in SWITCHES:
        if value.get(name, False).__class__ is not bool:
            raise bad(what, f"{name} is neither true nor false")
    strings(value.get("Labels", {}), what, "Labels")
    texts = [word for name in LISTS for word in value.get(name, [])] + [value.get(name, "") for name in TEXTS]
    if any("\0" in word for word in texts):
        raise bad(what, "a string has a NUL in it")

"""A record out of a file of ours: every member that it needs is there, and each is of the type that its class says.

The file was written by minirun and may have been damaged since: by a full disk, by a hand.  What is wrong is said once,
with the file's name, and not by whoever stumbles over it.  PURE.
"""

from __future__ import annotations

from minirun.errors import MinirunError
from minirun.spec.decode import decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.record import Record

DAMAGED = "EUCLEAN"  # such an error's errno_name: structure needs cleaning
PLAIN: dict[str, type] = {"str": str, "int": int, "bool": bool, "list": list, "dict": dict}


def members(data: bytes, path: str, kind: type[Record], hint: str = "") -> dict[str, Any]:
    """The members of the document that ``kind`` knows: a newer minirun may have written more."""
    try:
        found = decode(data, path)
    except MinirunError as error:
        raise damaged(path, error.reason, hint) from error
    if found.__class__ is not dict:
        raise damaged(path, "it is not an object", hint)
    known: dict[str, Any] = {}
    for name in kind.FIELDS:
        if name in found:
            known[name] = found[name]
            if not fits(found[name], kind.__annotations__[name]):
                raise damaged(path, f"{name} is not {words(kind.__annotations__[name])}", hint)
        elif not hasattr(kind, name):
            raise damaged(path, f"it has no {name}", hint)
    return known


def fits(value: Any, annotation: str) -> bool:
    """``annotation`` as it is written: str, list[str], dict[str, Any], list[dict[str, Any]]."""
    outer, _, inner = annotation.partition("[")
    if value.__class__ is not PLAIN.get(outer, value.__class__):
        return False
    inner = inner[:-1]
    if outer == "list" and inner:
        return all(fits(item, inner) for item in value)
    if outer == "dict" and inner == "str, str":
        return all(item.__class__ is str for item in value.values())
    return True


def words(annotation: str) -> str:
    outer, _, inner = annotation.partition("[")
    plain = {"str": "a string", "int": "a number", "bool": "true or false", "list": "a list", "dict": "an object"}
    of = {"str]": " of strings", "str, str]": " of strings", "dict[str, Any]]": " of objects"}
    return plain.get(outer, outer) + of.get(inner, "")


def damaged(path: str, reason: str, hint: str = "") -> MinirunError:
    return MinirunError(f"{path} is damaged", reason=reason, hint=hint, errno_name=DAMAGED)

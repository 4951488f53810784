"""Bytes -> JSON value, with CPython's C scanner and nothing else.

``import json`` costs 6 ms (it brings re and enum); its C half, ``_json``, costs a tenth of that and does the work.
"""

from __future__ import annotations

from _json import encode_basestring_ascii as quote, make_scanner

from minirun.errors import MinirunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WHITESPACE = " \t\n\r"


class Context:
    """What make_scanner wants to know (json.decoder.JSONDecoder has the same attributes)."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int

    @staticmethod
    def parse_constant(word: str) -> Any:
        raise ValueError(f"{word} is not JSON")


scan = make_scanner(Context)  # type: ignore[arg-type]  # duck-typed


def decode(data: bytes, name: str) -> Any:
    """The JSON value in ``data``; ``name`` is the file for the error."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise bad(name, f"byte {error.start} is not UTF-8") from error
    start = len(text) - len(text.lstrip(WHITESPACE))
    try:
        value, end = carefully(text, start)
    except StopIteration as error:
        raise bad(name, where(text, error.value) + ": a value was expected") from error
    except (ValueError, RecursionError) as error:
        at = getattr(error, "pos", None)
        message = str(getattr(error, "msg", error)).lower()
        raise bad(name, f"{where(text, at)}: {message}" if at is not None else message) from error
    rest = text[end:].lstrip(WHITESPACE)
    if rest:
        raise bad(name, where(text, len(text) - len(rest)) + ": something follows the document")
    return value


def carefully(text: str, start: int) -> Any:
    """The scanner raises json.decoder's error only if that module is there already (CPython's _json.c, raise_errmsg).

    Only a document that is wrong pays for it.
    """
    try:
        return scan(text, start)
    except SystemError:
        import json.decoder  # noqa: F401 (for its effect on sys.modules)

        return scan(text, start)


def without_nulls(value: Any) -> Any:
    """The value with members that are null taken out, which count as absent (``check`` does the same)."""
    if value.__class__ is dict:
        return {name: without_nulls(member) for name, member in value.items() if member is not None}
    if value.__class__ is list:
        return [without_nulls(item) for item in value]
    return value


def where(text: str, at: int) -> str:
    """Line and column, from 1."""
    line = text.count("\n", 0, at) + 1
    return f"line {line} column {at - text.rfind(chr(10), 0, at)}"


def bad(name: str, why: str) -> MinirunError:
    return MinirunError("cannot read the configuration", reason=f"not JSON: {why}", config=name)


def encode(value: Any, indent: str = "", level: int = 0) -> str:
    """A JSON value as text: one line, or one member a line with ``indent`` (runc's state uses two spaces)."""
    if value.__class__ is str:
        return quote(value)
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if not isinstance(value, (dict, list, tuple)):
        return repr(value)
    inner = "\n" + indent * (level + 1) if indent else ""
    outer = "\n" + indent * level if indent else ""
    comma = "," + (inner or "")
    if isinstance(value, dict):
        colon = ": " if indent else ":"
        parts = [quote(str(k)) + colon + encode(v, indent, level + 1) for k, v in value.items()]
        return "{" + inner + comma.join(parts) + outer + "}" if parts else "{}"
    parts = [encode(item, indent, level + 1) for item in value]
    return "[" + inner + comma.join(parts) + outer + "]" if parts else "[]"

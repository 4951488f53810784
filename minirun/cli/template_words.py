"""What the words of a template (``template.py``) mean: fields, functions, and how a value is printed."""

from __future__ import annotations

from minirun.cli.parse import usage
from minirun.errors import printable
from minirun.spec.decode import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def field(value: Any, path: str, asked: bool = False) -> Any:
    """.State.Status of a document; capitals do not matter where no member is spelled so."""
    for name in filter(None, path.split(".")):
        if isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        elif isinstance(value, dict) and name in value:
            value = value[name]
        else:
            names = list(value) if isinstance(value, dict) else []
            near = next((one for one in names if one.lower() == name.lower()), None)
            if near is None and asked:
                return None
            if near is None:
                raise usage(f"there is no {path}", f"at {name!r} there is {', '.join(names) or 'nothing'}")
            value = value[near]
    return value


class Made(str):
    """What a function made, with its line breaks: a document's own words have none on a terminal."""

    __slots__ = ()


def text(value: Any) -> str:
    """A word as it is; the rest as JSON."""
    if value is None:
        return "<no value>"
    if isinstance(value, Made):
        return value
    return printable(value) if isinstance(value, str) else encode(value)


def truth(value: Any) -> bool:
    return bool(value)


def index(value: Any, *keys: Any) -> Any:
    """As Go's: what is not in a map is empty, what is not in a list is an error."""
    for key in keys:
        value = (value or {}).get(key, "") if not isinstance(value, list) else value[key]
    return value


def order(low: int, high: int, equal: bool) -> Callable[[Any, Any], bool]:
    def compare(left: Any, right: Any) -> bool:
        return (left == right and equal) or low < (left > right) - (left < right) < high

    return compare


def first_false(*values: Any) -> Any:
    return next((one for one in values if not truth(one)), values[-1])


def first_true(*values: Any) -> Any:
    return next((one for one in values if truth(one)), values[-1])


def printf(form: str, *values: Any) -> str:
    """%s %d %v %q, with widths, as in C."""
    plain = [one if isinstance(one, (int, float)) and not isinstance(one, bool) else text(one) for one in values]
    return Made(form.replace("%v", "%s").replace("%q", '"%s"') % tuple(plain))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": encode,
    "index": index,
    "len": len,
    "join": lambda words, between: Made(between.join(text(word) for word in words or ())),
    "split": lambda word, at: word.split(at),
    "upper": lambda word: text(word).upper(),
    "lower": lambda word: text(word).lower(),
    "title": lambda word: text(word).title(),
    "truncate": lambda word, width: text(word)[:width],
    "slice": lambda word, start, end=None: word[start:end],
    "print": lambda *words: Made("".join(text(word) for word in words)),
    "println": lambda *words: Made(" ".join(text(word) for word in words) + "\n"),
    "printf": printf,
    "eq": lambda left, *others: left in others,
    "ne": lambda left, right: left != right,
    "lt": order(-2, 0, False),
    "le": order(-2, 0, True),
    "gt": order(0, 2, False),
    "ge": order(0, 2, True),
    "and": first_false,
    "or": first_true,
    "not": lambda value: not truth(value),
}

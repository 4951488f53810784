"""Checking config.json: every problem at once, each with its JSON pointer (RFC 6901).

First the shape, against ``schema``; then, if the shape holds, a column of small functions, each with one rule of
the specification that no schema can say.
"""

from __future__ import annotations

from minirun.errors import MinirunError
from minirun.spec import mount_rules, resource_rules, rules
from minirun.spec.schema import CONFIG, PROCESS, RARE_OF_LINUX, RARE_OF_PROCESS, RESOURCES, UNSUPPORTED, V1_ONLY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from minirun.spec.types import Process, Resources, Spec

RANGES = {
    "uint16": (0, 0xFFFF),
    "uint32": (0, 0xFFFFFFFF),
    "id": (0, 0xFFFFFFFE),  # the last one means "leave it as it is": the container would run as root (setresuid(2))
    "int32": (-(1 << 31), (1 << 31) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "uint64": (0, (1 << 64) - 1),
}
NAMES = {dict: "an object", list: "an array", str: "a string", int: "an integer", bool: "true or false"}


class Problems:
    """The faults found so far, in the order of the document."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []

    def add(self, pointer: str, message: str) -> None:
        self.found.append((pointer, message))

    def raise_any(self, name: str, what: str = "the configuration is not valid") -> None:
        """One MinirunError with all of them; a single one is the headline itself."""
        if not self.found:
            return
        if len(self.found) == 1:
            pointer, message = self.found[0]
            raise MinirunError(what, reason=message, pointer=pointer, config=name)
        count = f"{len(self.found)} problems"
        raise MinirunError(what, reason=count, config=name, problems=self.found)


def config(value: Any, name: str) -> Spec:
    """A whole config.json, checked; ``name`` is the file for the error."""
    problems = Problems()
    walk(value, CONFIG, "", problems)
    refuse_all(value, "/", problems)
    problems.raise_any(name)
    for rule in (*rules.ALL, mount_rules.mounts, *resource_rules.CREATE, *rare_rules(value)):
        rule(value, problems)
    problems.raise_any(name)
    spec: Spec = value
    return spec


def process(value: Any, name: str, at: str = "") -> Process:
    """A process document (``exec --process``), or the one that lies ``at`` /process of ``name``."""
    problems = Problems()
    walk(value, PROCESS, at, problems)
    problems.raise_any(name, "the process is not valid")
    wrapped = {"process": value}
    refuse_all(wrapped, "/process/", problems)
    for rule in (*rules.PROCESS, *rare_rules(wrapped)):
        rule(wrapped, problems)
    problems.found = [(at + pointer.removeprefix("/process"), message) for pointer, message in problems.found]
    problems.raise_any(name, "the process is not valid")
    checked: Process = value
    return checked


def rare_rules(value: Any) -> tuple[Rule, ...]:
    """The rules of members that few configurations have; their module is not imported without them."""
    process, linux = value.get("process", {}), value.get("linux", {})
    found: tuple[Rule, ...] = ()
    if rules.has_filter(value):
        from minirun.spec import seccomp_rules

        found += seccomp_rules.ALL
    if any(member in process for member in RARE_OF_PROCESS) or any(member in linux for member in RARE_OF_LINUX):
        from minirun.spec import rare

        found += rare.ALL
    return found


def resources(value: Any, name: str) -> Resources:
    """A resources document (``update -r``)."""
    problems = Problems()
    walk(value, RESOURCES, "", problems)
    wrapped = {"linux": {"resources": value}}
    refuse_all(wrapped, "/linux/resources/", problems)
    if not problems.found:
        for rule in resource_rules.ALL:
            rule(wrapped, problems)
    problems.found = [(pointer.removeprefix("/linux/resources"), message) for pointer, message in problems.found]
    problems.raise_any(name, "the resources are not valid")
    checked: Resources = value
    return checked


def walk(value: Any, schema: Any, pointer: str, problems: Problems) -> None:
    """Compare ``value`` with ``schema``; members that are null count as absent and are dropped."""
    if schema.__class__ is str:
        scalar(value, schema, pointer, problems)
    elif schema.__class__ is dict:
        members(value, schema, pointer, problems)
    elif schema.__class__ is list:
        if value.__class__ is not list:
            problems.add(pointer, f"must be an array, not {kind(value)}")
            return
        if schema[0] == "str" and all_strings(value):
            return
        for index, item in enumerate(value):
            walk(item, schema[0], f"{pointer}/{index}", problems)
    elif schema[0] == "map" and schema[1].__class__ in (dict, str) and len(schema) == 2:
        mapping(value, schema[1], pointer, problems)
    elif value.__class__ is not str:
        problems.add(pointer, f"must be a string, not {kind(value)}")
    elif value not in schema:
        problems.add(pointer, f"must be one of {', '.join(word for word in schema if word)}, not {value!r}")


def all_strings(items: list[Any]) -> bool:
    """At once for a list where all is well: a seccomp profile names some four hundred system calls."""
    try:
        text = "".join(items)
    except TypeError:
        return False
    return text.isascii() and "\0" not in text


def members(value: Any, schema: dict[str, Any], pointer: str, problems: Problems) -> None:
    if value.__class__ is not dict:
        problems.add(pointer, f"must be an object, not {kind(value)}")
        return
    for name in [name for name, member in value.items() if member is None]:
        del value[name]
    for name in schema.get("", ()):
        if name not in value:
            problems.add(f"{pointer}/{name}", "is missing")
    for name, member in value.items():
        known = schema.get(name) if name else None
        if known is not None:
            walk(member, known, f"{pointer}/{name}", problems)


def mapping(value: Any, schema: Any, pointer: str, problems: Problems) -> None:
    if value.__class__ is not dict:
        problems.add(pointer, f"must be an object, not {kind(value)}")
        return
    for name, member in value.items():
        at = f"{pointer}/{escape(name)}"
        walk(member, schema, at, problems)
        scalar(name, "str", at, problems)


def scalar(value: Any, word: str, pointer: str, problems: Problems) -> None:
    if word == "str":
        if value.__class__ is not str:
            problems.add(pointer, f"must be a string, not {kind(value)}")
        elif "\0" in value:
            problems.add(pointer, "must not contain a NUL")
        elif not value.isascii() and not encodable(value):
            problems.add(pointer, "must be valid Unicode (it has half of a surrogate pair)")
    elif word == "bool":
        if value.__class__ is not bool:
            problems.add(pointer, f"must be true or false, not {kind(value)}")
    elif value.__class__ is not int:
        problems.add(pointer, f"must be an integer, not {kind(value)}")
    else:
        low, high = RANGES[word]
        if not low <= value <= high:
            problems.add(pointer, f"must be from {low} to {high}, not {value if abs(value) < 10**30 else 'that'}")


def encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def kind(value: Any) -> str:
    return "null" if value is None else NAMES.get(value.__class__, "a fraction")


def escape(name: str) -> str:
    """A member's name in a JSON pointer (RFC 6901, section 3)."""
    return name.replace("~", "~0").replace("/", "~1")


def refuse_all(value: Any, below: str, problems: Problems) -> None:
    """What minirun does not carry out yet, or cgroup v2 does not have; of the pointers that begin with ``below``."""
    later = "is not supported yet, and running without it would not be what was asked"
    never = "is a limit of cgroup v1: cgroup v2, the only one that minirun uses, does not have it"
    for pointers, message in ((UNSUPPORTED, later), (V1_ONLY, never)):
        for pointer in pointers:
            if pointer.startswith(below):
                refuse(value, pointer.split("/")[1:], "", problems, message)


def asks(value: Any) -> bool:
    """Does a member ask for something?  Empty, false, 0 and (for a limit: none) negative do not."""
    return bool(value) and not (value.__class__ is int and value < 0)


def refuse(value: Any, path: list[str], pointer: str, problems: Problems, message: str) -> None:
    """Add a problem if the member at ``path`` is there and asks for something."""
    head, rest = path[0], path[1:]
    if head == "*":
        if value.__class__ is list:
            for index, item in enumerate(value):
                refuse(item, rest, f"{pointer}/{index}", problems, message)
        return
    if value.__class__ is not dict or not asks(value.get(head)):
        return
    if rest:
        refuse(value[head], rest, f"{pointer}/{head}", problems, message)
    else:
        problems.add(f"{pointer}/{head}", message)


if TYPE_CHECKING:
    Rule = Callable[[Any, Problems], None]

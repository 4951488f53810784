"""``--change``: a Dockerfile's instructions that change a configuration, for import and commit.

    CMD ENTRYPOINT ENV EXPOSE LABEL ONBUILD STOPSIGNAL USER VOLUME WORKDIR HEALTHCHECK

What would need a build (RUN, COPY, FROM …) is refused by name.  PURE.
"""

from __future__ import annotations

from minirun.errors import MinirunError
from minirun.images import media

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SHELL = ["/bin/sh", "-c"]


def apply(config: dict[str, Any], lines: list[str]) -> dict[str, Any]:
    """The members of /config that the lines change, on top of ``config``; its other members are not in it."""
    value: dict[str, Any] = {}
    for line in lines:
        word, _, rest = line.strip().partition(" ")
        change = CHANGES.get(word.upper())
        if change is None or not rest.strip():
            raise bad(line, "it wants a value" if change else f"one of {', '.join(sorted(CHANGES)).lower()} is")
        change({**config, **value}, value, rest.strip(), line)
    return value


def words_of(text: str, line: str) -> list[str]:
    """As a shell would split them: quotes and backslashes."""
    import shlex

    try:
        return shlex.split(text)
    except ValueError as error:
        raise bad(line, str(error).lower()) from error


def listed(text: str, line: str) -> list[str] | None:
    """["a", "b"], the form without a shell; None for the other one."""
    if not text.startswith("["):
        return None
    try:
        value = media.document(b'{"it":' + text.encode() + b"}", "the list")["it"]
    except MinirunError:
        return None
    if value.__class__ is not list or any(word.__class__ is not str for word in value):
        raise bad(line, "the list has other things than strings in it")
    found: list[str] = value
    return found


def command(name: str) -> Callable[[dict[str, Any], dict[str, Any], str, str], None]:
    def change(now: dict[str, Any], value: dict[str, Any], text: str, line: str) -> None:
        words = listed(text, line)
        value[name] = [*(now.get("Shell") or SHELL), text] if words is None else words
        if name == "Entrypoint":  # the arguments of the old one mean nothing to the new one
            value.setdefault("Cmd", None)

    return change


def environment(now: dict[str, Any], value: dict[str, Any], text: str, line: str) -> None:
    pairs = dict(one.partition("=")[::2] for one in now.get("Env") or [])
    pairs.update(pairs_of(text, line))
    value["Env"] = [f"{name}={word}" for name, word in pairs.items()]


def labels(now: dict[str, Any], value: dict[str, Any], text: str, line: str) -> None:
    value["Labels"] = {**(now.get("Labels") or {}), **pairs_of(text, line)}


def pairs_of(text: str, line: str) -> dict[str, str]:
    """NAME=VALUE …, or the old NAME VALUE for one."""
    words = words_of(text, line)
    if "=" not in words[0]:
        name, _, rest = text.partition(" ")
        if not rest:
            raise bad(line, f"{name} has no value")
        return {name: rest.strip()}
    if any("=" not in word or word.startswith("=") for word in words):
        raise bad(line, "NAME=VALUE is wanted")
    return dict(word.partition("=")[::2] for word in words)


def ports(now: dict[str, Any], value: dict[str, Any], text: str, line: str) -> None:
    found = dict(now.get("ExposedPorts") or {})
    for word in words_of(text, line):
        port, _, protocol = word.partition("/")
        first, _, last = port.partition("-")
        numbers = [
            int(one) if one.isascii() and one.isdigit() and len(one) < 6 else 0 for one in (first, last or first)
        ]
        if protocol not in ("", "tcp", "udp", "sctp") or not 0 < numbers[0] <= numbers[1] < 65536:
            raise bad(line, f"{word!r} is not PORT, PORT-PORT or PORT/PROTOCOL")
        found.update({f"{one}/{protocol or 'tcp'}": {} for one in range(numbers[0], numbers[1] + 1)})
    value["ExposedPorts"] = found


def volumes(now: dict[str, Any], value: dict[str, Any], text: str, line: str) -> None:
    paths = listed(text, line) or words_of(text, line)
    if any(not path.startswith("/") for path in paths):
        raise bad(line, "a volume's path begins with /")
    value["Volumes"] = {**(now.get("Volumes") or {}), **{path: {} for path in paths}}


def directory(now: dict[str, Any], value: dict[str, Any], text: str, line: str) -> None:
    path = text if text.startswith("/") else f"{now.get('WorkingDir') or '/'}/{text}"
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    value["WorkingDir"] = "/" + "/".join(parts)


def word(name: str) -> Callable[[dict[str, Any], dict[str, Any], str, str], None]:
    def change(now: dict[str, Any], value: dict[str, Any], text: str, line: str) -> None:
        if len(text.split()) != 1:
            raise bad(line, "it takes one word")
        value[name] = text

    return change


def later(now: dict[str, Any], value: dict[str, Any], text: str, line: str) -> None:
    value["OnBuild"] = [*(now.get("OnBuild") or []), text]


def health(now: dict[str, Any], value: dict[str, Any], text: str, line: str) -> None:
    if text.upper() != "NONE":
        raise bad(line, "only HEALTHCHECK NONE is known: minirun has nobody who would check")
    value["Healthcheck"] = {"Test": ["NONE"]}


CHANGES = {
    "CMD": command("Cmd"), "ENTRYPOINT": command("Entrypoint"), "ENV": environment, "EXPOSE": ports, "LABEL": labels,
    "ONBUILD": later, "STOPSIGNAL": word("StopSignal"), "USER": word("User"), "VOLUME": volumes, "WORKDIR": directory,
    "HEALTHCHECK": health,
}  # fmt: skip


def bad(line: str, why: str) -> MinirunError:
    return MinirunError(f"cannot make the change {line[:80]!r}", reason=why)

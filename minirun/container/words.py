"""Small things on a command line: environment, labels, limits of a process, devices' names, namespaces.  PURE."""

from __future__ import annotations

from minirun.container.units import LARGEST, choice, clash, number, pair, wrong
from minirun.spec.rules import RLIMITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

INFINITY = (1 << 64) - 1
OLD_LIMITS = {"core": "CORE", "cpu": "CPU"}  # as docker has them all: the kernel's names in lower case


def environment(files: list[str], given: list[str], caller: dict[str, str]) -> list[str]:
    """Lines of env files, then -e; NAME alone is the caller's value, or nothing if the caller has none."""
    made: dict[str, str] = {}
    for text in files:
        for line in lines(text):
            put(made, line, caller, "--env-file")
    for word in given:
        put(made, word, caller, "--env")
    return [f"{name}={value}" for name, value in made.items()]


def put(made: dict[str, str], word: str, caller: dict[str, str], option: str) -> None:
    name, equals, value = word.partition("=")
    if not name or "\0" in word or (option == "--env-file" and any(c in name for c in " \t")):
        blank = option == "--env-file" and " " in name.strip()
        raise wrong(option, word, "NAME=VALUE", "no shell reads it: no export, no blanks in a name" if blank else "")
    if equals:
        made[name] = value
    elif name in caller:
        made[name] = caller[name]


def lines(text: str) -> list[str]:
    """Of a file: without comments and blank lines; what stands before a name is no part of it."""
    stripped = (line.lstrip() for line in text.splitlines())
    return [line for line in stripped if line and not line.startswith("#")]


def labels(files: list[str], given: list[str]) -> dict[str, str]:
    made = {}
    for option, words in (("--label-file", [line for text in files for line in lines(text)]), ("--label", given)):
        for word in words:
            name, _, value = word.partition("=")
            if not name.strip():
                raise wrong(option, word, "NAME=VALUE")
            made[name] = value
    return made


def pairs(option: str, given: list[str]) -> dict[str, str]:
    return dict(pair(option, word) for word in given)


def ulimit(text: str) -> dict[str, Any]:
    """nofile=1024:2048, core=-1"""
    name, _, values = text.partition("=")
    kind = name.upper().removeprefix("RLIMIT_")
    if kind not in RLIMITS or not values:
        raise wrong("--ulimit", text, "NAME=SOFT[:HARD]", f"names are {', '.join(sorted(RLIMITS)).lower()}")
    soft, colon, hard = values.partition(":")
    first = amount(soft, text)
    last = amount(hard, text) if colon else first
    if first > last:
        raise wrong("--ulimit", text, "a soft limit that is at most the hard one")
    return {"type": f"RLIMIT_{kind}", "soft": first, "hard": last}


def amount(word: str, text: str) -> int:
    if word in ("-1", "unlimited"):
        return INFINITY
    if not word.isdigit() or int(word) > LARGEST:
        raise wrong("--ulimit", text, "numbers, or -1 for unlimited")
    return int(word)


def umask(text: str) -> int:
    if not text or set(text) - set("01234567") or int(text, 8) > 0o777:
        raise wrong("--umask", text, "an octal number up to 0777")
    return int(text, 8)


def restart(text: str, remove: bool) -> tuple[str, int]:
    """no, always, unless-stopped, on-failure[:N] -> policy and N (0 is without end)."""
    policy, colon, count = (text or "no").partition(":")
    choice("--restart", policy, "no", "always", "unless-stopped", "on-failure")
    if colon and policy != "on-failure":
        raise wrong("--restart", text, "a number with on-failure only")
    if remove and policy != "no":
        raise clash("--restart", text, "--rm", "a container that is removed when it ends cannot be restarted")
    return policy, number("--restart on-failure", count, 0, 1 << 30) if colon else 0


def device(text: str) -> tuple[str, str, str]:
    """HOST[:CONTAINER][:rwm] -> source, target, access."""
    parts = text.split(":")
    source, target, access = parts[0], parts[0], "rwm"
    if len(parts) == 2 and parts[1].startswith("/"):
        target = parts[1]
    elif len(parts) == 2:
        access = parts[1]
    elif len(parts) == 3:
        target, access = parts[1] or source, parts[2]
    if len(parts) > 3 or not source.startswith("/") or not target.startswith("/") or ".." in target.split("/"):
        raise wrong("--device", text, "HOST[:CONTAINER][:rwm]", "as /dev/fuse, or /dev/sda:/dev/disk:r")
    if not access or set(access) - set("rwm") or len(set(access)) != len(access):
        raise wrong("--device", text, "an access of the letters r, w and m")
    return source, target, access


def device_rule(text: str) -> dict[str, Any]:
    """c 10:* rwm, as docker (and cgroup v1's devices.allow) has it."""
    words = text.split()
    if len(words) != 3 or words[0] not in ("a", "b", "c") or not words[2] or set(words[2]) - set("rwm"):
        raise wrong("--device-cgroup-rule", text, "TYPE MAJOR:MINOR ACCESS", "as 'c 10:* rwm'")
    major, colon, minor = words[1].partition(":")
    rule: dict[str, Any] = {"allow": True, "type": words[0], "access": words[2]}
    for name, word in (("major", major), ("minor", minor)):
        if word != "*":
            if not colon or not word.isdigit():
                raise wrong("--device-cgroup-rule", text, "numbers or * for major and minor")
            rule[name] = int(word)
    return rule


def expose(text: str) -> list[tuple[int, str]]:
    """80, 80/udp, 8000-8010 -> port, protocol."""
    ports, slash, protocol = text.partition("/")
    if slash and protocol not in ("tcp", "udp"):
        raise wrong("--expose", text, "tcp or udp")
    first, dash, last = ports.partition("-")
    start = number("--expose", first, 1, 65535)
    end = number("--expose", last, start, 65535) if dash else start
    return [(port, protocol or "tcp") for port in range(start, end + 1)]


def add_host(text: str) -> tuple[str, str]:
    """NAME:ADDRESS; an IPv6 address may have brackets; = may stand for the first colon."""
    name, separator, address = text.partition("=") if "=" in text else text.partition(":")
    address = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    if not separator or not name or any(c.isspace() or c == "#" for c in text):
        raise wrong("--add-host", text, "NAME:ADDRESS")
    if address != "host-gateway":
        check_address("--add-host", address)
    return name, address


def check_address(option: str, text: str) -> str:
    from minirun.network.ports import is_address

    if not is_address(text):
        raise wrong(option, text, "an address")
    return text


def host_name(option: str, text: str) -> str:
    if not text or len(text.encode()) > 64 or any(c.isspace() or not c.isprintable() or c in "/#" for c in text):
        raise wrong(option, text, "a name of at most 64 bytes")
    return text


def namespace(option: str, text: str, *words: str) -> tuple[str, str]:
    """private, host, container:NAME ... -> the word, and the container's name."""
    word, colon, name = text.partition(":")
    if colon and word == "container" and name:
        return word, name
    if text not in words:
        raise wrong(option, text, ", ".join(words) + " or container:ID")
    return text, ""


def user_namespace(text: str) -> dict[str, Any]:
    """host, auto, auto:size=N, keep-id, or CONTAINER:HOST:COUNT -> how ids are mapped; {} is not at all."""
    kind, _, rest = text.partition(":")
    if text in ("", "host"):
        return {}
    if kind == "auto":
        if rest and not rest.startswith("size="):
            raise wrong("--userns", text, "auto or auto:size=N")
        return {"auto": number("--userns auto:size", rest[5:], 1, 1 << 24) if rest else 65536}
    if text == "keep-id":
        return {"keep": True}
    parts = text.split(":")
    if len(parts) != 3:
        raise wrong("--userns", text, "host, auto, keep-id or CONTAINER:HOST:COUNT", "as 0:100000:65536")
    ids = [number("--userns", part, 0, 0xFFFFFFFE) for part in parts]
    if not ids[2] or ids[0] + ids[2] > 0xFFFFFFFF or ids[1] + ids[2] > 0xFFFFFFFF:
        raise wrong("--userns", text, "a range of ids")
    return {"map": {"containerID": ids[0], "hostID": ids[1], "size": ids[2]}}

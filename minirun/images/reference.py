"""The names of images, as docker writes and reads them (distribution's reference grammar).

    busybox                    docker.io/library/busybox:latest
    example.org/a/b:1          as it stands
    localhost:5000/a@sha256:…  as it stands: a digest needs no tag

The first component is a registry when it has a dot or a port, or is ``localhost``, or has a capital; else it belongs
to the repository, and the registry is the one below.  PURE: no file is looked at.
"""

from __future__ import annotations

from minirun.errors import MinirunError
from minirun.record import Record

DEFAULT_REGISTRY = "docker.io"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"
OTHER_NAMES = {"index.docker.io": DEFAULT_REGISTRY}
LONGEST_NAME = 255
LONGEST_TAG = 128
HEX = frozenset("0123456789abcdef")
LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
WORD = LOWER | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ_")
DIGEST_LENGTHS = {"sha256": 64, "sha512": 128}


class Reference(Record):
    """A whole name; ``tag`` or ``digest`` may be "", never both."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """docker.io/library/busybox:latest"""
        return f"{self.where}{self.suffix}"

    @property
    def where(self) -> str:
        """docker.io/library/busybox: without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def familiar(self) -> str:
        """busybox:latest"""
        return f"{self.familiar_where}{self.suffix}"

    @property
    def familiar_where(self) -> str:
        """busybox: docker's REPOSITORY column."""
        if self.registry != DEFAULT_REGISTRY:
            return self.where
        return self.repository.removeprefix(f"{DEFAULT_NAMESPACE}/")


def parse(text: str) -> Reference:
    """The reference that a person means by ``text``; a MinirunError says what is wrong with it."""
    rest, at, digest = text.partition("@")
    if at and not is_digest(digest):
        raise bad(text, f"{digest[:80]!r} is not a digest")
    tag = ""
    colon = rest.rfind(":")
    if colon > rest.rfind("/"):
        rest, tag = rest[:colon], rest[colon + 1 :]
        check_tag(text, tag)
    registry, repository = split(rest)
    if len(registry) + 1 + len(repository) > LONGEST_NAME:
        raise bad(text, f"the name is longer than {LONGEST_NAME} characters")
    check_registry(text, registry)
    for part in repository.split("/"):
        check_part(text, part)
    if not tag and not digest:
        tag = DEFAULT_TAG
        if len(text) == 64 and not set(text) - HEX:
            raise bad(text, "64 hexadecimal digits are an image's id, not a name")
    return Reference(registry=registry, repository=repository, tag=tag, digest=digest)


def split(rest: str) -> tuple[str, str]:
    """The registry and the repository of a name without tag and digest."""
    first, slash, others = rest.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        registry, repository = DEFAULT_REGISTRY, rest
    else:
        registry, repository = OTHER_NAMES.get(first, first), others
    if registry == DEFAULT_REGISTRY and "/" not in repository:
        repository = f"{DEFAULT_NAMESPACE}/{repository}"
    return registry, repository


def familiar(name: str) -> str:
    """The short form of a whole name from the store."""
    return parse(name).familiar


def is_digest(text: str) -> bool:
    """sha256:… or sha512:…, the two algorithms of the image-spec, in lower case."""
    algorithm, _, encoded = text.partition(":")
    return len(encoded) == DIGEST_LENGTHS.get(algorithm, -1) and not set(encoded) - HEX


def is_id(text: str) -> bool:
    """May ``text`` be the beginning of an image's id?"""
    text = text.removeprefix("sha256:")
    return 0 < len(text) <= 64 and not set(text) - HEX


def check_tag(text: str, tag: str) -> None:
    if not 0 < len(tag) <= LONGEST_TAG or tag[0] in ".-" or set(tag) - WORD - {".", "-"}:
        raise bad(text, "a tag is at most 128 letters, digits, _ . and -, and begins with none of the last two")


def check_registry(text: str, registry: str) -> None:
    host, colon, port = registry.rpartition(":") if not registry.endswith("]") else (registry, "", "")
    host = host if colon else registry
    if colon and not (port.isascii() and port.isdigit() and len(port) <= 5):
        raise bad(text, f"{port[:20]!r} is not a port")
    if host.startswith("[") and host.endswith("]"):
        if not host[1:-1] or set(host[1:-1].lower()) - HEX - {":", "."}:
            raise bad(text, "this is not an IPv6 address")
        return
    for part in host.split("."):
        if not part or part[0] == "-" or part[-1] == "-" or set(part) - WORD - {"-"} | (set(part) & {"_"}):
            raise bad(text, f"{host[:80]!r} is not the name of a registry")


def check_part(text: str, part: str) -> None:
    """Letters and digits, between which one ".", one or two "_", or any number of "-" may stand."""
    if not part:
        raise bad(text, "a part of the name is empty")
    if part.lower() != part:
        raise bad(text, "a repository's name has no capitals")
    if set(part) - LOWER - {".", "_", "-"}:
        raise bad(text, "a repository's name has letters, digits, and . _ - between them only")
    separator = ""
    for c in part + " ":
        if c in "._-":
            separator += c
        else:
            if separator and (c == " " or not is_separator(separator)):
                raise bad(text, f"{separator[:20]!r} may not stand there in a repository's name")
            separator = ""
    if part[0] not in LOWER:
        raise bad(text, "a part of a repository's name begins with a letter or digit")


def is_separator(text: str) -> bool:
    return text in (".", "_", "__") or not text.strip("-")


def bad(text: str, why: str) -> MinirunError:
    return MinirunError(f"{text[:300]!r} is not the name of an image", reason=why)

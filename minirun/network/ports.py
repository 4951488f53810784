"""PURE: published ports as ``docker run -p`` writes them: ``[[ip:]hostport:]port[/tcp|udp]``, and ranges of each.

``-p 8080:80``, ``-p 127.0.0.1:8080:80``, ``-p 80`` (any host port), ``-p [::1]:8080:80``, ``-p 8000-8009:80-89/udp``.
"""

from __future__ import annotations

from minirun.errors import USAGE, MinirunError
from minirun.record import Record

PROTOCOLS = ("tcp", "udp")
HINT = "as in -p 8080:80, -p 127.0.0.1:8080:80/udp, -p 8000-8009:80-89, or -p 80 for any port of the host"


class Port(Record):
    """One port; member names are the document's (record.json).  hostPort 0: a free one; hostIp "": every address."""

    hostIp: str = ""
    hostPort: int = 0
    port: int
    protocol: str = "tcp"


def parse(text: str) -> list[Port]:
    """Raises MinirunError that names the word."""
    rest, slash, protocol = text.partition("/")
    if slash and protocol not in PROTOCOLS:
        raise wrong(text, f"{protocol!r} is neither tcp nor udp")
    front, _, inner = rest.rpartition(":")
    address, outer = split(front, text)
    first, last = span(inner, text)
    hosts = span(outer, text) if outer not in ("", "0") else (0, 0)
    if hosts[0] and hosts[1] - hosts[0] != last - first:
        raise wrong(text, "both ranges must be equally long")
    return [
        Port(hostIp=address, hostPort=hosts[0] + step if hosts[0] else 0, port=first + step, protocol=protocol or "tcp")
        for step in range(last - first + 1)
    ]


def split(front: str, text: str) -> tuple[str, str]:
    """``127.0.0.1:8080`` or ``[::1]:8080`` or ``8080`` -> address, ports."""
    if front.startswith("["):
        address, bracket, outer = front[1:].partition("]")
        if not bracket or outer[:1] not in ("", ":"):
            raise wrong(text, "an IPv6 address stands in brackets")
        outer = outer[1:]
    elif ":" in front:
        address, _, outer = front.rpartition(":")
        if ":" in address:
            raise wrong(text, "an IPv6 address stands in brackets")
    else:
        return "", front
    if address and not is_address(address):
        raise wrong(text, f"{address!r} is no address")
    return address, outer


def is_address(text: str) -> bool:
    from minirun.network.address import parse_ip

    return parse_ip(text) is not None


def span(text: str, whole: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    ends = (number(first, whole), number(last if dash else first, whole))
    if ends[0] > ends[1]:
        raise wrong(whole, f"the range {text} is empty")
    return ends


def number(text: str, whole: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536):
        raise wrong(whole, f"{text!r} is no port (1 to 65535)")
    return int(text)


def wrong(text: str, reason: str) -> MinirunError:
    return MinirunError(f"invalid published port {text!r}", reason=reason, hint=HINT, exit_code=USAGE)

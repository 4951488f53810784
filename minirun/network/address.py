"""PURE: addresses and subnets of IPv4 and IPv6 as numbers.

``ipaddress`` costs 5 ms of import (it brings re and functools' rest); this is what of it is needed here.  The
parsing is inet_pton(3)'s.
"""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from minirun.record import Record


def parse_ip(text: str) -> bytes | None:
    """4 or 16 bytes, or None."""
    try:
        return inet_pton(AF_INET6 if ":" in text else AF_INET, text)
    except (OSError, ValueError):
        return None


def ip_text(packed: bytes) -> str:
    return inet_ntop(AF_INET if len(packed) == 4 else AF_INET6, packed)


class Subnet(Record):
    """``base``: the first address as a number; ``bits``: of the prefix; ``size``: 32 or 128."""

    base: int
    bits: int
    size: int

    @property
    def last(self) -> int:
        return self.base | ((1 << self.size - self.bits) - 1)

    def overlaps(self, other: Subnet) -> bool:
        return self.size == other.size and self.base <= other.last and other.base <= self.last

    def holds(self, packed: bytes) -> bool:
        return len(packed) * 8 == self.size and self.base <= int.from_bytes(packed, "big") <= self.last

    def at(self, number: int) -> bytes:
        """The address with that number."""
        return number.to_bytes(self.size // 8, "big")

    def nth(self, offset: int) -> bytes:
        """The first is the subnet's own; 1 is where the gateway usually is."""
        return self.at(self.base + offset)

    def __str__(self) -> str:
        return f"{ip_text(self.at(self.base))}/{self.bits}"


def subnet(text: str) -> Subnet | None:
    """``10.89.0.0/24``; None if it is none.  Bits behind the prefix are taken off, as docker does."""
    address, slash, bits = text.partition("/")
    packed = parse_ip(address)
    if packed is None or not slash or not bits.isascii() or not bits.isdigit() or len(bits) > 3:
        return None
    return of(packed, int(bits))


def of(packed: bytes, bits: int) -> Subnet | None:
    size = len(packed) * 8
    if bits > size:
        return None
    rest = (1 << size - bits) - 1
    return Subnet(base=int.from_bytes(packed, "big") & ~rest, bits=bits, size=size)

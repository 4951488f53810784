"""Which subnet: one that collides with no route, no address and no other network of this host."""

from __future__ import annotations

import posix
from _socket import AF_INET

from minirun.errors import MinirunError
from minirun.linux import link
from minirun.network.address import Subnet, ip_text, of, subnet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from minirun.linux import rtnetlink
    from minirun.network.networks import Network

TRIES = 32
LOCAL, UNICAST = 2, 1
USUAL_MTU = 1500


def candidates() -> Iterator[Subnet]:
    """10.90.0.0/24 and upwards: above what podman (10.88, 10.89) and docker (172.17 ...) take by themselves."""
    for second in range(90, 128):
        for third in range(256):
            yield Subnet(base=(10 << 24) + (second << 16) + (third << 8), bits=24, size=32)


def on_host(route: rtnetlink.Route, below: int = 0) -> list[Subnet]:
    """Every destination that this host has a route to, but for the default ones.  ``below``: only those of
    interfaces with a smaller number."""
    found = []
    for each in link.routes(route):
        if each.bits and each.kind in (UNICAST, LOCAL) and (not below or each.device < below):
            there = of(each.destination, each.bits)
            if there:
                found.append(there)
    return found


def collides(chosen: Sequence[Subnet], route: rtnetlink.Route, below: int = 0) -> bool:
    return any(each.overlaps(other) for other in on_host(route, below) for each in chosen)


def choose(storage: str, network: Network, host: Sequence[Subnet]) -> Network:
    """The network with subnet and gateway, where it has none of its own, that are free; ``host``: what it has."""
    from minirun.network.networks import changed, every

    taken = list(host)
    for other in every(storage):
        if other.name != network.name:
            taken += [each for each in map(subnet, (other.subnet, other.subnet6)) if each]
    free = next((each for each in candidates() if not any(each.overlaps(other) for other in taken)), None)
    if free is None:
        raise MinirunError("no subnet is free", reason="all of 10.90.0.0 to 10.127.255.255 are in use", hint="--subnet")
    return changed(network, subnet=str(free), gateway=ip_text(free.nth(1)))


def private6() -> Subnet:
    """A /64 below a prefix of our own (RFC 4193): forty random bits."""
    return Subnet(base=int.from_bytes(b"\xfd" + posix.urandom(5) + bytes(10), "big"), bits=64, size=128)


def host_mtu(route: rtnetlink.Route, interfaces: Sequence[link.Interface]) -> int:
    """Of the interface that the default route leaves by, the cheapest IPv4 one first."""
    ways = [each for each in link.routes(route) if not each.bits and each.device and each.kind == UNICAST]
    ways.sort(key=lambda each: (each.family != AF_INET, each.priority))
    for way in ways:
        for each in interfaces:
            if each.index == way.device:
                return max(each.mtu, 576)
    return USUAL_MTU

"""The nf_tables table of one network: named as its bridge, made in one transaction; another puts ports in its maps.

    early        what comes from the bridge has nothing to do with 127.0.0.0/8 (route_localnet is on there)
    prerouting   a published port of this host -> the container's address and port (from outside, and between bridges)
    output       the same for this host's own processes, 127.0.0.1 among them
    postrouting  what leaves the network gets this host's address; so does who comes back to his own network by a
                 published port, and who comes from 127.0.0.1
    forward      into the network: answers and published ports only; an internal network has no way in or out

Nothing of anybody else's is touched, and the table goes in one piece.  Addresses and ports are in maps: their number
costs a packet nothing, and only a connection's first packet asks at all.
"""

from __future__ import annotations

from minirun.linux import nftables as nft
from minirun.network.address import Subnet, parse_ip
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

LOOPBACK, LOOPBACK_BITS = bytes([127, 0, 0, 0]), 8
RAW, DSTNAT, FILTER, SRCNAT = -300, -100, 0, 100  # priorities, as nft(8) names them
LOOPBACK6 = bytes(15) + b"\x01"
# name, family, kind of address, is the address part of the key?
MAPS = (
    ("at4", nft.IPV4, nft.ADDRESS, True), ("any4", nft.IPV4, nft.ADDRESS, False),
    ("at6", nft.IPV6, nft.ADDRESS6, True), ("any6", nft.IPV6, nft.ADDRESS6, False),
)  # fmt: skip
CHAINS = ("early", "forward", "into")  # of every network; and of those with a way out:
NAT_CHAINS = ("prerouting", "output", "postrouting")
PROTOCOLS = {"tcp": nft.TCP, "udp": nft.UDP}


class Redirect(Record):
    """One published port: what arrives at ``hostIp`` ("" or 0.0.0.0 or ::, any), ``hostPort`` goes to ``target``."""

    hostIp: str
    hostPort: int
    protocol: str
    target: bytes
    port: int


class Ruled(Record):
    """What the rules of one network are made from."""

    device: str
    subnets: Sequence[Subnet]
    internal: bool


def chains(internal: bool) -> tuple[str, ...]:
    return CHAINS if internal else CHAINS + NAT_CHAINS


def batch_for(ruled: Ruled) -> nft.Batch:
    """Remove the table if there is one, and make it: one transaction, in which no packet sees a half."""
    batch = nft.Batch()
    name = ruled.device
    batch.table(name)
    batch.delete_table(name)
    batch.table(name)
    loopback(batch, name)
    if not ruled.internal:
        maps(batch, name)
        leaving(batch, name, ruled.subnets)
    forward(batch, name, ruled.internal)
    return batch


def loopback(batch: nft.Batch, name: str) -> None:
    batch.chain(name, "early", "filter", nft.PREROUTING, RAW)
    for destination in (True, False):
        local = nft.within(LOOPBACK, LOOPBACK_BITS, destination=destination)
        batch.rule(name, "early", nft.interface(name, out=False), local, nft.verdict(nft.DROP))


def maps(batch: nft.Batch, name: str) -> None:
    """Four maps (IPv4 and IPv6; at one address or at any) and the two chains that look things up in them."""
    batch.chain(name, "prerouting", "nat", nft.PREROUTING, DSTNAT)
    batch.chain(name, "output", "nat", nft.OUTPUT, DSTNAT)
    # a neighbour on the wire may send to 127.0.0.1, and must not be helped past the check for that
    local = nft.within(LOOPBACK, LOOPBACK_BITS, destination=True)
    batch.rule(name, "prerouting", local, nft.verdict(nft.ACCEPT))
    # IPv6 has no route_localnet: who connects to ::1 gets the monitor's relay (network/relay.py)
    batch.rule(name, "output", nft.within(LOOPBACK6, 128, destination=True), nft.verdict(nft.ACCEPT))
    for number, (word, family, address, exact) in enumerate(MAPS):
        batch.map(name, word, key_of(address, exact), [address, nft.SERVICE], number + 1)
        for chain in ("prerouting", "output"):
            batch.rule(name, chain, *translation(family, nft.size_of(address), exact, word))


def key_of(address: int, exact: bool) -> list[int]:
    return [*([address] if exact else []), nft.PROTOCOL, nft.SERVICE]


def ports_for(name: str, redirects: Sequence[Redirect]) -> nft.Batch:
    """What is in the maps from now on."""
    batch = nft.Batch()
    for word, _, address, exact in MAPS:
        chosen = {}
        for each in redirects:
            if len(each.target) == nft.size_of(address) and bool(fixed(each.hostIp)) == exact:
                key = fixed(each.hostIp) + bytes([PROTOCOLS[each.protocol], 0, 0, 0]) + port(each.hostPort)
                chosen[key] = each.target + port(each.port)
        batch.clear(name, word)
        batch.elements(name, word, list(chosen.items()))
    return batch


def translation(family: int, size: int, exact: bool, word: str) -> list[bytes]:
    """Only what is addressed to this host: behind NAT others may have the same port."""
    register = nft.REGISTER
    loads = [nft.family(family), nft.to_this_host()]
    if exact:
        loads.append(nft.payload(1, 16 if family == nft.IPV4 else 24, size, register))
        register += size // 4
    loads += [nft.meta(16, register), nft.payload(2, 2, 2, register + 1)]  # the protocol, the destination port
    return [*loads, nft.lookup(word), nft.redirect(family)]


def leaving(batch: nft.Batch, name: str, subnets: Sequence[Subnet]) -> None:
    batch.chain(name, "postrouting", "nat", nft.POSTROUTING, SRCNAT)
    for each in subnets:
        source = nft.within(each.nth(0), each.bits, destination=False)
        inside = nft.within(each.nth(0), each.bits, destination=True)
        batch.rule(name, "postrouting", source, nft.interface(name, out=True, unlike=True), nft.masquerade())
        batch.rule(name, "postrouting", source, inside, nft.translated(), nft.masquerade())
    local = nft.within(LOOPBACK, LOOPBACK_BITS, destination=False)
    batch.rule(name, "postrouting", local, nft.interface(name, out=True), nft.masquerade())


def forward(batch: nft.Batch, name: str, internal: bool) -> None:
    """Where br_netfilter shows us what stays inside the bridge, such a packet is past after one rule."""
    batch.chain(name, "forward", "filter", nft.FORWARD, FILTER)
    batch.branch(name, "into")
    entering = nft.interface(name, out=True) + nft.interface(name, out=False, unlike=True)
    batch.rule(name, "forward", entering, nft.jump("into"))
    if internal:
        leaving_it = nft.interface(name, out=False) + nft.interface(name, out=True, unlike=True)
        batch.rule(name, "forward", leaving_it, nft.verdict(nft.DROP))
    else:
        batch.rule(name, "into", nft.established(), nft.verdict(nft.ACCEPT))
        batch.rule(name, "into", nft.translated(), nft.verdict(nft.ACCEPT))
    batch.rule(name, "into", nft.verdict(nft.DROP))


def fixed(address: str) -> bytes:
    """The address that a port is published at; b"" for all of them."""
    packed = parse_ip(address) or b""
    return packed if any(packed) else b""


def port(number: int) -> bytes:
    return number.to_bytes(2, "big") + b"\0\0"

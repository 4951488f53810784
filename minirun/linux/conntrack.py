"""ctnetlink (linux/netfilter/nfnetlink_conntrack.h): making the kernel forget connections that it tracks."""

from __future__ import annotations

from _socket import AF_NETLINK, SOCK_CLOEXEC, SOCK_RAW, socket
from sys import byteorder

from minirun.linux.nftables import LARGEST, NESTED, NETLINK_NETFILTER, message
from minirun.linux.rtnetlink import HEADER, NLM_F_ACK, NLM_F_DUMP, NLMSG_DONE, NLMSG_ERROR, attribute, attributes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SUBSYSTEM, GET, DELETE = 1, 1, 2
TUPLE_ORIG, ZONE = 1, 18  # CTA_
TUPLE_IP, TUPLE_PROTO = 1, 2
IP_DESTINATION = {2: (2,), 10: (4,)}  # CTA_IP_V4_DST, CTA_IP_V6_DST
PROTOCOL, DESTINATION_PORT = 1, 3


def forget(protocol: int, fits: Callable[[bytes, int], bool]) -> int:
    """Every connection of a protocol whose first packet's destination (address, port) ``fits``: how many.

    Its next packet is a new connection, and goes by the rules there are then.  Raises OSError.
    """
    netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER)
    try:
        found = list(chosen(netlink, protocol, fits))
        for family, key in found:
            netlink.send(message(SUBSYSTEM << 8 | DELETE, NLM_F_ACK, family, 0, key, 1))
            netlink.recv(LARGEST)  # gone meanwhile is as well
        return len(found)
    finally:
        netlink.close()


def chosen(netlink: socket, protocol: int, fits: Callable[[bytes, int], bool]) -> Iterator[tuple[int, bytes]]:
    """(family, the attributes that name it) of each."""
    for family, rows in dump(netlink):
        first = attributes(rows.get(TUPLE_ORIG, b""))
        transport = attributes(first.get(TUPLE_PROTO, b""))
        network = attributes(first.get(TUPLE_IP, b""))
        address = next((network[kind] for kind in IP_DESTINATION.get(family, ()) if kind in network), b"")
        port = int.from_bytes(transport.get(DESTINATION_PORT, b"")[:2], "big")
        if transport.get(PROTOCOL, b"")[:1] == bytes([protocol]) and fits(address, port):
            zone = attribute(ZONE, rows[ZONE]) if ZONE in rows else b""
            yield family, attribute(TUPLE_ORIG | NESTED, rows[TUPLE_ORIG]) + zone


def dump(netlink: socket) -> Iterator[tuple[int, dict[int, bytes]]]:
    netlink.send(message(SUBSYSTEM << 8 | GET, NLM_F_DUMP, 0, 0, b"", 1))
    while True:
        received = netlink.recv(LARGEST)
        at = 0
        while at + HEADER.size <= len(received):
            length, kind, *_ = HEADER.unpack_from(received, at)
            body = received[at + HEADER.size : at + length]
            if kind == NLMSG_DONE:
                return
            if kind == NLMSG_ERROR:
                raise OSError(-int.from_bytes(body[:4], byteorder, signed=True), "conntrack")
            yield body[0], attributes(body[4:])
            at += max((length + 3) & ~3, HEADER.size)

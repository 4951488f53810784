"""rtnetlink(7), the part for giving an interface away: links, addresses, and a move between network namespaces.

A message is a header (length, type, flags, sequence, port), a fixed part and attributes (length, type, value), all
padded to four bytes (netlink(7)).  Numbers are linux/rtnetlink.h's, if_link.h's and if_addr.h's.
"""

from __future__ import annotations

import posix
from _struct import Struct

from minirun.linux import lib, oserror
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

RTM_NEWLINK, RTM_GETLINK, RTM_SETLINK, RTM_NEWADDR, RTM_GETADDR = 16, 18, 19, 20, 22
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP, NLM_F_EXCL, NLM_F_CREATE = 1, 4, 0x300, 0x200, 0x400
NLM_F_DUMP_INTR, NLM_F_ACK_TLVS = 0x10, 0x200
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLMSGERR_ATTR_MSG = 1
IFLA_IFNAME, IFLA_NET_NS_FD, IFLA_NEW_IFINDEX = 3, 28, 49
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS, IFA_RT_PRIORITY, IFA_PROTO = 1, 2, 4, 8, 9, 11
IFA_F_PERMANENT, IFF_UP, UNIVERSE = 0x80, 1, 0
KEPT_FLAGS = (
    0x02 | 0x10 | 0x100 | 0x200 | 0x400
)  # nodad, home, mngtmpaddr, noprefixroute, autojoin: the administrator's

HEADER, ATTRIBUTE, LINK, ADDRESS, NUMBER = (
    Struct("=IHHII"),
    Struct("=HH"),
    Struct("=BxHiII"),
    Struct("=BBBBI"),
    Struct("=I"),
)
LARGEST = 1 << 17  # of a reply: a link with many virtual functions


class Link(Record):
    """An interface: its number, its name, is it up?"""

    index: int
    name: str
    up: bool


class Address(Record):
    """One address of an interface; ``attributes`` as the kernel gave them, without those that belong to the place."""

    family: int
    prefix: int
    scope: int
    flags: int
    attributes: dict[int, bytes]

    @property
    def lasting(self) -> bool:
        """Permanent and global: what the specification has us keep."""
        return bool(self.flags & IFA_F_PERMANENT) and self.scope == UNIVERSE


def attribute(kind: int, value: bytes) -> bytes:
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    at = 0
    while at + ATTRIBUTE.size <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, at)
        if length < ATTRIBUTE.size:
            break
        found[kind & 0x3FFF] = data[at + ATTRIBUTE.size : at + length]  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
        at += (length + 3) & ~3
    return found


class Route:
    """A socket in the network namespace ``netns`` (a descriptor; -1: our own).  OSError carries the kernel's words."""

    def __init__(self, netns: int = -1) -> None:
        self.fd: int = lib.minirun_netlink(netns)
        if self.fd < 0:
            raise oserror()
        self.sequence = 0

    def __del__(self) -> None:
        if self.fd >= 0:
            posix.close(self.fd)

    def ask(self, kind: int, flags: int, body: bytes) -> list[bytes]:
        """Send a request; the replies' bodies.  A dump that was interrupted by a change is asked for again."""
        while True:
            self.sequence += 1
            size = HEADER.size + len(body)
            posix.write(self.fd, HEADER.pack(size, kind, NLM_F_REQUEST | NLM_F_ACK | flags, self.sequence, 0) + body)
            replies: list[bytes] = []
            interrupted = False
            for answer, marks, data in self.messages():
                interrupted = interrupted or bool(marks & NLM_F_DUMP_INTR)
                if answer == NLMSG_DONE:
                    break
                if answer == NLMSG_ERROR:
                    refuse(data, marks)
                    break
                replies.append(data)
            if not interrupted:
                return replies

    def messages(self) -> Iterator[tuple[int, int, bytes]]:
        """(type, flags, body) of what comes in answer to the last request."""
        while True:
            data = posix.read(self.fd, LARGEST)
            at = 0
            while at + HEADER.size <= len(data):
                length, kind, flags, sequence, _ = HEADER.unpack_from(data, at)
                if sequence == self.sequence:
                    yield kind, flags, data[at + HEADER.size : at + length]
                at += max((length + 3) & ~3, HEADER.size)

    def links(self) -> list[Link]:
        return [link_of(data) for data in self.ask(RTM_GETLINK, NLM_F_DUMP, LINK.pack(0, 0, 0, 0, 0))]

    def link(self, name: str) -> Link:
        """Raises OSError (ENODEV)."""
        body = LINK.pack(0, 0, 0, 0, 0) + attribute(IFLA_IFNAME, name.encode() + b"\0")
        return link_of(self.ask(RTM_GETLINK, 0, body)[0])

    def addresses(self, index: int) -> list[Address]:
        found = []
        for data in self.ask(RTM_GETADDR, NLM_F_DUMP, ADDRESS.pack(0, 0, 0, 0, 0)):
            family, prefix, flags, scope, owner = ADDRESS.unpack_from(data)
            if owner == index:
                rows = attributes(data[ADDRESS.size :])
                if IFA_FLAGS in rows:
                    (flags,) = NUMBER.unpack(rows[IFA_FLAGS])
                kept = {kind: rows[kind] for kind in (IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_RT_PRIORITY, IFA_PROTO)
                        if kind in rows}  # fmt: skip
                found.append(Address(family=family, prefix=prefix, scope=scope, flags=flags, attributes=kept))
        return found

    def add(self, index: int, address: Address) -> None:
        body = ADDRESS.pack(address.family, address.prefix, 0, address.scope, index)
        for kind, value in address.attributes.items():
            body += attribute(kind, value)
        body += attribute(IFA_FLAGS, NUMBER.pack(address.flags & KEPT_FLAGS))
        self.ask(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body)

    def move(self, index: int, netns: int, name: str, new_index: int) -> None:
        """To the network namespace ``netns``, with a new name and number, in one request."""
        body = LINK.pack(0, 0, index, 0, 0) + attribute(IFLA_IFNAME, name.encode() + b"\0")
        body += attribute(IFLA_NET_NS_FD, NUMBER.pack(netns)) + attribute(IFLA_NEW_IFINDEX, NUMBER.pack(new_index))
        self.ask(RTM_SETLINK, 0, body)

    def up(self, index: int) -> None:
        self.ask(RTM_SETLINK, 0, LINK.pack(0, 0, index, IFF_UP, IFF_UP))


def link_of(data: bytes) -> Link:
    _, _, index, flags, _ = LINK.unpack_from(data)
    name = attributes(data[LINK.size :]).get(IFLA_IFNAME, b"").rstrip(b"\0").decode("utf-8", "replace")
    return Link(index=index, name=name, up=bool(flags & IFF_UP))


def refuse(data: bytes, flags: int) -> None:
    """NLMSG_ERROR: a negative errno (0 is the acknowledgement), our header again, perhaps words of the kernel's own."""
    number = -int.from_bytes(data[:4], "little", signed=True)
    if not number:
        return
    words = attributes(data[4 + HEADER.size :]).get(NLMSGERR_ATTR_MSG, b"") if flags & NLM_F_ACK_TLVS else b""
    raise OSError(number, words.rstrip(b"\0").decode("utf-8", "replace") or posix.strerror(number))

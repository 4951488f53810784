"""nf_tables by netlink (linux/netfilter/nf_tables.h): messages, expressions, and a batch that is one transaction.

A batch is a row of messages between BATCH_BEGIN and BATCH_END: the kernel takes all of them or none.  A rule is a list
of expressions that work on registers of 32 bits: load (``meta``, ``payload``, ``ct``, ``fib``), compare, look up in a
map, act.  ``nft --debug=netlink list ruleset`` shows the same words.  Numbers in attributes are big-endian.
"""

from __future__ import annotations

import posix
from _socket import AF_NETLINK, MSG_DONTWAIT, SOCK_CLOEXEC, SOCK_RAW, socket
from errno import ENOENT
from sys import byteorder

from minirun.linux.rtnetlink import (
    HEADER,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    attribute,
    attributes,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NETLINK_NETFILTER, SUBSYSTEM, BATCH_BEGIN, BATCH_END = 12, 10, 16, 17
NEWTABLE, GETTABLE, DELTABLE, NEWCHAIN, GETCHAIN, NEWRULE, NEWSET, NEWSETELEM, DELSETELEM = 0, 1, 2, 3, 4, 6, 9, 12, 14
INET, IPV4, IPV6 = 1, 2, 10
PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING = range(5)
DROP, ACCEPT, JUMP = 0, 1, -3
NESTED = 0x8000
REGISTER = 8  # NFT_REG32_00; the next is 9
TCP, UDP = 6, 17
# nftables' own numbers for what a set holds, so that nft(8) prints it well; a concatenation has six bits for each
ADDRESS, ADDRESS6, PROTOCOL, SERVICE = 7, 8, 12, 13
LARGEST = 1 << 17


def word(kind: int, value: int) -> bytes:
    return attribute(kind, value.to_bytes(4, "big", signed=value < 0))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def nest(kind: int, *parts: bytes) -> bytes:
    return attribute(kind | NESTED, b"".join(parts))


def data(kind: int, value: bytes) -> bytes:
    return nest(kind, attribute(1, value))  # NFTA_DATA_VALUE


# -- expressions ---------------------------------------------------------------------------------------------------


def expression(name: str, *parts: bytes) -> bytes:
    return nest(1, text(1, name), nest(2, *parts))  # NFTA_LIST_ELEM: NFTA_EXPR_NAME, NFTA_EXPR_DATA


def meta(key: int, register: int = REGISTER) -> bytes:
    return expression("meta", word(1, register), word(2, key))


def payload(base: int, offset: int, length: int, register: int = REGISTER) -> bytes:
    """base 1: the network header, 2: the transport header."""
    return expression("payload", word(1, register), word(2, base), word(3, offset), word(4, length))


def equal(value: bytes, *, unlike: bool = False) -> bytes:
    return expression("cmp", word(1, REGISTER), word(2, int(unlike)), data(3, value))


def masked(mask: bytes) -> bytes:
    return expression(
        "bitwise", word(1, REGISTER), word(2, REGISTER), word(3, len(mask)), data(4, mask), data(5, bytes(len(mask)))
    )


def verdict(code: int) -> bytes:
    return expression("immediate", word(1, 0), nest(2, nest(2, word(1, code))))


def jump(chain: str) -> bytes:
    return expression("immediate", word(1, 0), nest(2, nest(2, word(1, JUMP), text(2, chain))))


def family(number: int) -> bytes:
    return meta(15) + equal(bytes([number]))  # NFT_META_NFPROTO


def interface(name: str, *, out: bool, unlike: bool = False) -> bytes:
    return meta(7 if out else 6) + equal(name.encode().ljust(16, b"\0"), unlike=unlike)


def within(base: bytes, bits: int, *, destination: bool, unlike: bool = False) -> bytes:
    """The packet's source or destination is in base/bits."""
    size = len(base)
    offset = (16 if destination else 12) if size == 4 else (24 if destination else 8)
    mask = (((1 << bits) - 1) << size * 8 - bits).to_bytes(size, "big")
    return family(IPV4 if size == 4 else IPV6) + payload(1, offset, size) + masked(mask) + equal(base, unlike=unlike)


def tracked(key: int, bits: int) -> bytes:
    """conntrack: key 0 the state, 2 the status; any of the bits (in the machine's own order)."""
    return (
        expression("ct", word(1, REGISTER), word(2, key))
        + masked(bits.to_bytes(4, byteorder))
        + equal(bytes(4), unlike=True)
    )


def established() -> bytes:
    return tracked(0, 2 | 4)  # ESTABLISHED, RELATED


def translated() -> bytes:
    return tracked(2, 0x20)  # IPS_DST_NAT


def to_this_host() -> bytes:
    loaded = expression("fib", word(1, REGISTER), word(2, 3), word(3, 2))  # the type of the destination
    return loaded + equal((2).to_bytes(4, byteorder))  # RTN_LOCAL


def lookup(name: str) -> bytes:
    return expression("lookup", text(1, name), word(2, REGISTER), word(3, REGISTER), word(4, 0))


def redirect(family_number: int) -> bytes:
    """DNAT to the address in the first registers and the port in the one behind."""
    port = REGISTER + (1 if family_number == IPV4 else 4)
    return expression("nat", word(1, 1), word(2, family_number), word(3, REGISTER), word(5, port))


def masquerade() -> bytes:
    return expression("masq")


# -- messages ------------------------------------------------------------------------------------------------------


class Batch:
    """Messages of one transaction."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def add(self, kind: int, flags: int, *body: bytes) -> None:
        """In the family inet."""
        self.parts.append(message(SUBSYSTEM << 8 | kind, flags, INET, 0, b"".join(body), len(self.parts) + 2))

    def table(self, name: str) -> None:
        self.add(NEWTABLE, NLM_F_CREATE, text(1, name))

    def delete_table(self, name: str) -> None:
        self.add(DELTABLE, 0, text(1, name))

    def chain(self, table: str, name: str, kind: str, hook: int, priority: int) -> None:
        self.add(
            NEWCHAIN, NLM_F_CREATE, text(1, table), text(3, name), nest(4, word(1, hook), word(2, priority)),
            word(5, ACCEPT), text(7, kind),
        )  # fmt: skip

    def branch(self, table: str, name: str) -> None:
        """A chain that is jumped to."""
        self.add(NEWCHAIN, NLM_F_CREATE, text(1, table), text(3, name))

    def rule(self, table: str, chain: str, *expressions: bytes) -> None:
        self.add(NEWRULE, NLM_F_CREATE | 0x800, text(1, table), text(2, chain), nest(4, *expressions))  # NLM_F_APPEND

    def map(self, table: str, name: str, keys: Sequence[int], values: Sequence[int], number: int) -> None:
        self.add(
            NEWSET, NLM_F_CREATE, text(1, table), text(2, name), word(3, 8), word(4, concatenated(keys)),
            word(5, sum(map(size_of, keys))), word(6, concatenated(values)), word(7, sum(map(size_of, values))),
            word(10, number),
        )  # fmt: skip

    def elements(self, table: str, name: str, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """An attribute has at most 64 KiB: many elements are several messages."""
        for at in range(0, len(pairs), 500):
            rows = [nest(1, data(1, key), data(2, value)) for key, value in pairs[at : at + 500]]
            self.add(NEWSETELEM, NLM_F_CREATE, text(1, table), text(2, name), nest(3, *rows))

    def clear(self, table: str, name: str) -> None:
        """No element is named: all of them."""
        self.add(DELSETELEM, 0, text(1, table), text(2, name))

    def bytes(self) -> bytes:
        begin = message(BATCH_BEGIN, 0, 0, SUBSYSTEM, b"", 1)
        end = message(BATCH_END, 0, 0, SUBSYSTEM, b"", len(self.parts) + 2)
        return begin + b"".join(self.parts) + end


def concatenated(kinds: Sequence[int]) -> int:
    number = 0
    for kind in kinds:
        number = number << 6 | kind
    return number


def size_of(kind: int) -> int:
    """In registers: every part of a concatenation begins in one of its own."""
    return 16 if kind == ADDRESS6 else 4


def message(kind: int, flags: int, family_number: int, resource: int, body: bytes, sequence: int) -> bytes:
    content = bytes([family_number, 0]) + resource.to_bytes(2, "big") + body
    return HEADER.pack(HEADER.size + len(content), kind, NLM_F_REQUEST | flags, sequence, 0) + content


class Tables:
    """A socket to nf_tables of this network namespace.  Raises OSError: EPROTONOSUPPORT without netfilter."""

    def __init__(self) -> None:
        self.socket = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER)

    def __enter__(self) -> Tables:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def commit(self, batch: Batch) -> None:
        """All or nothing.  The first error that the kernel names is raised."""
        last = bytearray(batch.parts[-1])
        HEADER.pack_into(last, 0, *with_ack(HEADER.unpack_from(last)))
        batch.parts[-1] = bytes(last)
        self.send(batch.bytes())
        for kind, sequence, body in self.answers():
            if kind == NLMSG_ERROR:
                number = -int.from_bytes(body[:4], byteorder, signed=True)
                if number:
                    raise OSError(number, posix.strerror(number), "nf_tables")
                if sequence == len(batch.parts) + 1:
                    return

    def dump(self, kind: int) -> list[tuple[int, dict[int, bytes]]]:
        """(family, attributes) of every table or chain."""
        self.send(message(SUBSYSTEM << 8 | kind, NLM_F_DUMP, 0, 0, b"", 1))
        found = []
        for answer, _, body in self.answers():
            if answer == NLMSG_DONE:
                break
            if answer == NLMSG_ERROR:
                number = -int.from_bytes(body[:4], byteorder, signed=True)
                raise OSError(number, posix.strerror(number), "nf_tables")
            found.append((body[0], attributes(body[4:])))
        return found

    def has(self, table: str) -> bool:
        """Is there a table of that name in the family inet?"""
        self.send(message(SUBSYSTEM << 8 | GETTABLE, NLM_F_ACK, INET, 0, text(1, table), 1))
        for kind, _, body in self.answers():
            if kind == NLMSG_ERROR:
                number = -int.from_bytes(body[:4], byteorder, signed=True)
                if number and number != ENOENT:
                    raise OSError(number, posix.strerror(number), "nf_tables")
                return not number
        return False  # not reached: the kernel acknowledges

    def forbids_forwarding(self) -> list[str]:
        """Tables of others whose chain at the hook forward drops what no rule of theirs lets through."""
        found = []
        for _, rows in self.dump(GETCHAIN):
            hook = attributes(rows.get(4, b""))
            if hook and int.from_bytes(hook.get(1, b""), "big") == FORWARD and rows.get(5) == bytes(4):
                found.append(rows[1].rstrip(b"\0").decode())
        return found

    def send(self, request: bytes) -> None:
        """A transaction that failed has an answer for each message that was wrong: who raised has left the rest."""
        while True:
            try:
                self.socket.recv(LARGEST, MSG_DONTWAIT)
            except BlockingIOError:
                break
        self.socket.send(request)

    def answers(self) -> Iterator[tuple[int, int, bytes]]:
        while True:
            received = self.socket.recv(LARGEST)
            at = 0
            while at + HEADER.size <= len(received):
                length, kind, _, sequence, _ = HEADER.unpack_from(received, at)
                yield kind, sequence, received[at + HEADER.size : at + length]
                at += max((length + 3) & ~3, HEADER.size)


def with_ack(header: tuple[int, ...]) -> tuple[int, ...]:
    length, kind, flags, sequence, port = header
    return length, kind, flags | NLM_F_ACK, sequence, port

"""rtnetlink(7), the part for making things: bridges, veth pairs, addresses, routes (ip-link(8), ip-route(8)).

Requests for a ``rtnetlink.Route``.  Numbers are linux/if_link.h's, veth.h's, if_bridge.h's and rtnetlink.h's.
"""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, AF_UNSPEC
from _struct import Struct
from sys import byteorder
from time import sleep

from minirun.linux import lib, oserror
from minirun.linux.rtnetlink import (
    ADDRESS,
    IFA_ADDRESS,
    IFA_BROADCAST,
    IFA_FLAGS,
    IFA_LOCAL,
    IFF_UP,
    IFLA_IFNAME,
    IFLA_NET_NS_FD,
    LINK,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NUMBER,
    RTM_GETLINK,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_SETLINK,
    Route,
    attribute,
    attributes,
)
from minirun.record import Record

RTM_DELLINK, RTM_NEWROUTE, RTM_GETROUTE = 17, 24, 26
IFLA_ADDRESS, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO, IFLA_IFALIAS, IFLA_AF_SPEC = 1, 4, 10, 18, 20, 26
IFLA_PROTINFO, IFLA_BRPORT_MODE, AF_BRIDGE = 12, 4, 7
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFLA_BR_FORWARD_DELAY, IFLA_BR_STP_STATE, IFLA_BR_MCAST_SNOOPING = 1, 5, 23
IFLA_INET6_ADDR_GEN_MODE, GEN_MODE_NONE = 8, 1
IFA_F_NODAD = 0x02
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_TABLE = 1, 4, 5, 6, 15
ROUTE = Struct("=BBBBBBBBI")  # family, dst and src bits, tos, table, protocol, scope, type, flags
TABLE_MAIN, PROTOCOL_BOOT, UNICAST, TABLE_UNSPEC = 254, 3, 1, 0
NESTED = 0x8000
IFLA_OPERSTATE, OPERATING = 16, b"\x06"  # IF_OPER_UP
TRIES, PAUSE = 100, 0.001


class Interface(Record):
    """What of an interface matters here; ``master``: the number of its bridge, 0 for none."""

    index: int
    name: str
    mtu: int
    master: int
    kind: str  # veth, bridge, tun ...
    mac: bytes
    up: bool


class Path(Record):
    """A route: where to (4 or 16 bytes, b"" is everywhere), of how many bits, through which interface, how dear."""

    family: int
    destination: bytes
    bits: int
    device: int
    priority: int
    table: int
    kind: int


def new_netns() -> int:
    """A descriptor of a new network namespace, unshare(2); the caller stays where it is."""
    fd: int = lib.minirun_new_netns()
    if fd < 0:
        raise oserror()
    return fd


def write_sysctl(netns: int, name: str, value: str) -> None:
    """/proc/sys/NAME as the network namespace has it.  Raises OSError."""
    if lib.minirun_netns_write(netns, f"/proc/sys/{name}".encode(), value.encode()):
        raise oserror(name)


def text(kind: int, word: str) -> bytes:
    return attribute(kind, word.encode() + b"\0")


def number(kind: int, value: int) -> bytes:
    return attribute(kind, NUMBER.pack(value))


def kind_of(name: str, data: bytes = b"") -> bytes:
    return attribute(IFLA_LINKINFO, text(IFLA_INFO_KIND, name) + (attribute(IFLA_INFO_DATA, data) if data else b""))


def without_link_local() -> bytes:
    """No fe80:: address by itself: an interface without IPv6 has nothing to say, and nothing to wait for."""
    mode = attribute(IFLA_INET6_ADDR_GEN_MODE, bytes([GEN_MODE_NONE]))
    return attribute(IFLA_AF_SPEC | NESTED, attribute(AF_INET6 | NESTED, mode))


def add_bridge(route: Route, name: str, mac: bytes, mtu: int) -> None:
    """A bridge that forwards at once.  With an address of its own: else it would take the lowest of its ports'."""
    data = number(IFLA_BR_FORWARD_DELAY, 0) + number(IFLA_BR_STP_STATE, 0)
    data += attribute(IFLA_BR_MCAST_SNOOPING, b"\0")
    body = LINK.pack(0, 0, 0, 0, 0) + text(IFLA_IFNAME, name) + attribute(IFLA_ADDRESS, mac)
    route.ask(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body + number(IFLA_MTU, mtu) + kind_of("bridge", data))


def add_veth(route: Route, name: str, master: int, mtu: int, netns: int, inner: str, mac: bytes) -> None:
    """A pair of veth(4): ``name`` here, a port of the bridge ``master``; ``inner`` with ``mac`` in ``netns``."""
    peer = LINK.pack(0, 0, 0, 0, 0) + text(IFLA_IFNAME, inner) + attribute(IFLA_ADDRESS, mac)
    peer += number(IFLA_MTU, mtu) + number(IFLA_NET_NS_FD, netns)
    body = LINK.pack(0, 0, 0, 0, 0) + text(IFLA_IFNAME, name) + number(IFLA_MTU, mtu) + number(IFLA_MASTER, master)
    body += kind_of("veth", attribute(VETH_INFO_PEER, peer))
    route.ask(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body)


def enslave(route: Route, index: int, master: int, mtu: int) -> None:
    """Make an interface that is there a port of a bridge."""
    body = LINK.pack(0, 0, index, 0, 0) + number(IFLA_MASTER, master) + number(IFLA_MTU, mtu)
    route.ask(RTM_SETLINK, 0, body)


def hairpin(route: Route, index: int) -> None:
    """A port may get back what came from it: a container that calls its own published port does.

    Without, where br_netfilter has bridged packets translated (net.bridge.bridge-nf-call-iptables), they are lost.
    """
    mode = attribute(IFLA_PROTINFO | NESTED, attribute(IFLA_BRPORT_MODE, b"\1"))
    route.ask(RTM_SETLINK, 0, LINK.pack(AF_BRIDGE, 0, index, 0, 0) + mode)


def quieten(route: Route, index: int) -> None:
    """Where IPv6 is not built in, there is nothing to quieten."""
    try:
        route.ask(RTM_SETLINK, 0, LINK.pack(0, 0, index, 0, 0) + without_link_local())
    except OSError:
        pass


def name_it(route: Route, index: int, alias: str) -> None:
    """What ``ip link`` shows beside it."""
    route.ask(RTM_SETLINK, 0, LINK.pack(0, 0, index, 0, 0) + attribute(IFLA_IFALIAS, alias.encode()[:255]))


def delete(route: Route, index: int) -> None:
    route.ask(RTM_DELLINK, 0, LINK.pack(0, 0, index, 0, 0))


def bring_down(route: Route, index: int) -> None:
    route.ask(RTM_SETLINK, 0, LINK.pack(0, 0, index, 0, IFF_UP))


def wait_until_up(route: Route, index: int) -> None:
    """Until what is sent there arrives: an interface that has got its carrier drops everything, and a bridge's port
    forwards nothing, before the kernel's own worker has seen it (net/core/link_watch.c).  Whoever sends too early waits
    a second, for TCP or ARP to try again.  Since Linux 6.8 the question itself does the work.
    """
    for _ in range(TRIES):
        rows = attributes(route.ask(RTM_GETLINK, 0, LINK.pack(0, 0, index, 0, 0))[0][LINK.size :])
        if rows.get(IFLA_OPERSTATE) == OPERATING:
            return
        sleep(PAUSE)


def family_of(address: bytes) -> int:
    return AF_INET if len(address) == 4 else AF_INET6


def add_address(route: Route, index: int, address: bytes, bits: int) -> None:
    """Usable at once: IPv6 would first ask whether another has it (RFC 4862, 5.4); we give every address once."""
    body = ADDRESS.pack(family_of(address), bits, 0, 0, index)
    body += attribute(IFA_LOCAL, address) + attribute(IFA_ADDRESS, address) + number(IFA_FLAGS, IFA_F_NODAD)
    if len(address) == 4 and bits < 31:
        last = int.from_bytes(address, "big") | ((1 << 32 - bits) - 1)
        body += attribute(IFA_BROADCAST, last.to_bytes(4, "big"))
    route.ask(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body)


def add_default_route(route: Route, index: int, gateway: bytes, priority: int = 0) -> None:
    body = ROUTE.pack(family_of(gateway), 0, 0, 0, TABLE_MAIN, PROTOCOL_BOOT, 0, UNICAST, 0)
    body += attribute(RTA_GATEWAY, gateway) + number(RTA_OIF, index)
    if priority:
        body += number(RTA_PRIORITY, priority)
    route.ask(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, body)


def interfaces(route: Route) -> list[Interface]:
    return [interface_of(data) for data in route.ask(RTM_GETLINK, NLM_F_DUMP, LINK.pack(0, 0, 0, 0, 0))]


def interface(route: Route, name: str) -> Interface:
    """Raises OSError (ENODEV)."""
    body = LINK.pack(0, 0, 0, 0, 0) + text(IFLA_IFNAME, name)
    return interface_of(route.ask(RTM_GETLINK, 0, body)[0])


def interface_of(data: bytes) -> Interface:
    _, _, index, flags, _ = LINK.unpack_from(data)
    rows = attributes(data[LINK.size :])
    info = attributes(rows.get(IFLA_LINKINFO, b""))
    return Interface(
        index=index,
        name=rows.get(IFLA_IFNAME, b"").rstrip(b"\0").decode("utf-8", "replace"),
        mtu=int.from_bytes(rows.get(IFLA_MTU, b""), byteorder),
        master=int.from_bytes(rows.get(IFLA_MASTER, b""), byteorder),
        kind=info.get(IFLA_INFO_KIND, b"").rstrip(b"\0").decode("ascii", "replace"),
        mac=rows.get(IFLA_ADDRESS, b""),
        up=bool(flags & IFF_UP),
    )


def routes(route: Route) -> list[Path]:
    """Every route of every table, IPv4 and IPv6."""
    found = []
    for data in route.ask(RTM_GETROUTE, NLM_F_DUMP, ROUTE.pack(AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0, 0)):
        family, bits, _, _, table, _, _, kind, _ = ROUTE.unpack_from(data)
        rows = attributes(data[ROUTE.size :])
        found.append(
            Path(
                family=family, destination=rows.get(RTA_DST, b""), bits=bits, kind=kind,
                device=int.from_bytes(rows.get(RTA_OIF, b""), byteorder),
                priority=int.from_bytes(rows.get(RTA_PRIORITY, b""), byteorder),
                table=int.from_bytes(rows[RTA_TABLE], byteorder) if RTA_TABLE in rows else table,
            )
        )  # fmt: skip
    return found

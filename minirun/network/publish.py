"""A published port is reserved by a socket bound to it: no other program of the host's gets it meanwhile.

The rules of nf_tables answer before any socket is asked.  What they cannot redirect (``::1``, and all of IPv6 where the
container has none) reaches the IPv6 socket, which therefore listens: ``relay`` takes it from there.
"""

from __future__ import annotations

import posix
from _socket import (
    AF_INET,
    AF_INET6,
    IPPROTO_IPV6,
    IPPROTO_UDP,
    IPV6_V6ONLY,
    SO_REUSEADDR,
    SOCK_DGRAM,
    SOCK_STREAM,
    SOL_SOCKET,
    socket,
)
from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT

from minirun.errors import MinirunError
from minirun.network.address import parse_ip
from minirun.network.ports import Port

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minirun.network.leases import Lease

TRIES = 64  # for one number that is free in both families
BACKLOG = 128
HINTS = {
    EADDRINUSE: "another container or program has it: minirun container ps, ss -lntup",
    EADDRNOTAVAIL: "this host has no such address",
    EACCES: "ports below net.ipv4.ip_unprivileged_port_start take root",
}


def reserve(ports: Sequence[Port]) -> tuple[list[Port], list[tuple[socket, Port]]]:
    """Every port with its host's port, and the sockets that hold them.  All or nothing."""
    found: list[Port] = []
    held: list[tuple[socket, Port]] = []
    try:
        for port in ports:
            chosen, sockets = one(port)
            found.append(chosen)
            held += [(each, chosen) for each in sockets]
    except BaseException:
        for each, _ in held:
            each.close()
        raise
    return found, held


def forget_datagrams(ports: Sequence[Port]) -> None:
    """Who sends UDP to a port all the time goes on as one connection to the kernel: to nobody, or to the container that
    had the port before (and to whoever has its address now).  Rules are for new connections only; so this one must end.
    """
    numbers = {each.hostPort for each in ports if each.protocol == "udp"}
    if not numbers:
        return
    from minirun.linux import conntrack, link, rtnetlink
    from minirun.network.address import of
    from minirun.network.pool import LOCAL

    local = [of(each.destination, each.bits) for each in link.routes(rtnetlink.Route()) if each.kind == LOCAL]

    def ours(address: bytes, port: int) -> bool:
        return port in numbers and any(each.holds(address) for each in local if each)

    try:
        conntrack.forget(IPPROTO_UDP, ours)
    except OSError:  # a kernel without nf_conntrack_netlink: they have to pause for half a minute
        pass


def ports_of(leases: Sequence[Lease]) -> list[Port]:
    return [Port(**row) for lease in leases for row in lease.ports]


def one(port: Port) -> tuple[Port, list[socket]]:
    last: OSError | None = None
    for _ in range(1 if port.hostPort else TRIES):
        sockets: list[socket] = []
        number = port.hostPort
        try:
            for address in addresses(port.hostIp):
                made = bound(address, number, port.protocol)
                if made is not None:
                    sockets.append(made)
                    number = number or made.getsockname()[1]
        except OSError as error:
            for each in sockets:
                each.close()
            last = error
            continue
        return Port(hostIp=port.hostIp, hostPort=number, port=port.port, protocol=port.protocol), sockets
    assert last is not None
    where = f"{f'[{port.hostIp}]' if ':' in port.hostIp else port.hostIp}:{port.hostPort}".removeprefix(":")
    raise MinirunError(
        f"cannot publish port {where}/{port.protocol}", reason=posix.strerror(last.errno or EADDRINUSE),
        hint=HINTS.get(last.errno or 0, ""),
    ) from last  # fmt: skip


def addresses(asked: str) -> tuple[str, ...]:
    """0.0.0.0 is every address of IPv4, :: of IPv6, nothing said of both."""
    return (asked,) if asked else ("0.0.0.0", "::")


def bound(address: str, number: int, protocol: str) -> socket | None:
    """None where the host has no IPv6 and nobody asked for it by name."""
    packed = parse_ip(address) or bytes(4)
    try:
        made = socket(AF_INET if len(packed) == 4 else AF_INET6, SOCK_STREAM if protocol == "tcp" else SOCK_DGRAM)
    except OSError as error:
        if error.errno == EAFNOSUPPORT and address == "::":
            return None
        raise
    try:
        if len(packed) == 16:
            made.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1)
            if protocol == "tcp":
                made.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)  # a relayed connection's rest must not block the next
        made.bind((address, number))
        if len(packed) == 16 and protocol == "tcp":
            made.listen(BACKLOG)
    except OSError as error:
        made.close()
        if error.errno == EADDRNOTAVAIL and address == "::":  # net.ipv6.conf.all.disable_ipv6
            return None
        raise
    return made

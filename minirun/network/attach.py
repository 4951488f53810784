"""Give a container its networks, and take them back.

The container is a network namespace (a descriptor) and an id.  Everything made here belongs to the process that calls
(the container's monitor): once that process and the namespace are gone, whatever was left is removed by the next
attach, or by ``system prune`` (``repair``).
"""

from __future__ import annotations

import posix
from _socket import AF_INET6
from errno import ENODEV, ENOENT, EROFS

from minirun.errors import USAGE, MinirunError
from minirun.linux import link, rtnetlink
from minirun.network import allocate, bridge, hosts, networks, publish, tap
from minirun.network.address import parse_ip
from minirun.network.leases import CNI, TAP, VETH, Lease, Ledger, boot_id, start_time
from minirun.network.ports import Port
from minirun.network.repair import delete, repair_locked, sweep_locked
from minirun.network.wanted import CARRIERS, Attached, Interface, Place, Wanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Sequence

__all__ = ["CARRIERS", "Attached", "Interface", "Place", "Wanted", "attach", "attach_tap", "detach"]
NO_NETNS = -1
ONE = "--net NAME of one network, or --net none"
ALIAS = "letters, digits, _ . and - only"


def attach(
    place: Place, container_id: str, name: str, netns: int, wanted: Sequence[Wanted], ports: Sequence[Port] = ()
) -> Attached:
    """Interfaces, addresses, routes, NAT, published ports, and the marked part of the hosts files of all on the same
    networks (this container's is STORAGE/containers/ID/hosts, made here if it is not there).  All or nothing.

    Raises MinirunError.
    """
    check(wanted)
    filled, held = publish.reserve(ports)
    attached = Attached(interfaces=[], ports=filled, sockets=[], notes=[], nameservers=[])
    try:
        with Ledger(place.root) as ledger:
            repair_locked(ledger)
            try:
                for number, each in enumerate(wanted):
                    lease = lease_for(container_id, name, each, f"eth{number}")
                    join(place, ledger, netns, each, lease, attached)
                publish_on(ledger, container_id, attached)
                hosts.tell(place.storage, ledger, container_id)
            except BaseException as error:
                undo(place, ledger, container_id, error)
                raise
    except BaseException:
        for held_one, _ in held:
            held_one.close()
        raise
    relay(container_id, held, attached)
    return attached


def check(wanted: Sequence[Wanted]) -> None:
    seen = set()
    for each in wanted:
        if each.name in seen:
            raise MinirunError(f"network {each.name} is named twice", exit_code=USAGE)
        seen.add(each.name)
        for alias in each.aliases:
            if not networks.valid_name(alias):
                raise MinirunError(f"invalid network alias {alias!r}", reason=ALIAS, exit_code=USAGE)


def lease_for(container_id: str, name: str, wanted: Wanted, inner: str, owner: int = 0) -> Lease:
    """What is known before there is an address."""
    own = owner or posix.getpid()
    return Lease(
        key="", network=wanted.name, container=container_id, name=name, aliases=list(wanted.aliases), inner=inner,
        owner=own, ownerStart=start_time(own), boot=boot_id(),
    )  # fmt: skip


def join(place: Place, ledger: Ledger, netns: int, wanted: Wanted, lease: Lease, attached: Attached) -> None:
    """One network."""
    if networks.is_foreign(place.storage, wanted.name) and cni_knows(place, wanted.name):
        from minirun.network import cni

        return cni.join(place, ledger, netns, wanted, lease, attached)
    network = networks.find(place.storage, wanted.name)
    lease.network = network.name
    lease.kind = VETH if netns >= 0 else TAP
    device, index = bridge.bring_up(place.storage, ledger, network, attached.notes)
    allocate.take(ledger, network, device, wanted, lease)
    try:
        first = not any(each.gateway or each.gateway6 for each in attached.interfaces)
        if netns >= 0:
            wire(device, index, netns, lease, first and not device.internal)
        else:
            tap.make(device, index, lease)
    except OSError as error:
        raise bridge.cannot(network.name, f"connect {lease.name or lease.container[:12]}", error) from error
    attached.interfaces.append(interface_of(device, lease))
    return None


def cni_knows(place: Place, name: str) -> bool:
    from minirun.network import cni

    return cni.find(place, name) is not None


def interface_of(device: bridge.Device, lease: Lease) -> Interface:
    out = not device.internal
    return Interface(
        network=lease.network,
        name=lease.link if lease.kind == TAP else lease.inner,
        mac=lease.mac,
        ip=lease.ip,
        ip6=lease.ip6,
        gateway=device.gateway if out and lease.ip else "",
        gateway6=device.gateway6 if out and lease.ip6 else "",
    )


def wire(device: bridge.Device, bridge_index: int, netns: int, lease: Lease, default: bool) -> None:
    """A pair of veth(4), one end in the bridge, the other in the namespace, with addresses and routes.  OSError."""
    here, there = rtnetlink.Route(), rtnetlink.Route(netns)
    mac = bytes.fromhex(lease.mac.replace(":", ""))
    link.add_veth(here, lease.link, bridge_index, device.mtu, netns, lease.inner, mac)
    outer, inner = link.interface(here, lease.link).index, link.interface(there, lease.inner).index
    link.hairpin(here, outer)
    link.quieten(here, outer)
    link.name_it(here, outer, f"minirun {lease.name or lease.container[:12]}")
    here.up(outer)
    if not lease.ip6:
        link.quieten(there, inner)
    for address in filter(None, (lease.ip, lease.ip6)):
        text, _, bits = address.partition("/")
        link.add_address(there, inner, parse_ip(text) or b"", int(bits))
    trust_no_neighbour(netns, lease.inner)
    there.up(inner)
    if default:
        for own, gateway in ((lease.ip, device.gateway), (lease.ip6, device.gateway6)):
            packed = parse_ip(gateway)
            if own and packed:
                link.add_default_route(there, inner, packed)
    for route, index in ((there, inner), (here, outer), (here, bridge_index)):
        link.wait_until_up(route, index)


def trust_no_neighbour(netns: int, inner: str) -> None:
    """Addresses and routes are ours to give; a router that announces itself is another container (CVE-2020-13401)."""
    try:
        link.write_sysctl(netns, f"net/ipv6/conf/{inner}/accept_ra", "0")
    except OSError as error:
        if error.errno not in (ENOENT, EROFS):  # without IPv6; or in a container, where it is not ours to set
            raise


def publish_on(ledger: Ledger, container_id: str, attached: Attached) -> None:
    """On the first network that has a way out."""
    if not attached.ports:
        return
    for lease in own_leases(ledger, container_id):
        device = bridge.device_of(ledger, lease.network)
        if lease.kind != CNI and device is not None and not device.internal:
            lease.ports = [dict(zip(each.FIELDS, each.astuple(), strict=True)) for each in attached.ports]
            ledger.change(lease)
            bridge.set_ports(device, ledger.leases(lease.network))
            publish.forget_datagrams(attached.ports)
            return
    if not any(lease.kind == CNI for lease in own_leases(ledger, container_id)):  # whose plugins do it, or say no
        raise MinirunError("cannot publish ports", reason="no network of the container's has a way out")


def own_leases(ledger: Ledger, container_id: str) -> list[Lease]:
    """In the order of its interfaces."""
    return sorted((each for each in ledger.all() if each.container == container_id), key=lambda each: each.inner)


def relay(container_id: str, held: list[tuple[socket, Port]], attached: Attached) -> None:
    """Listening sockets get their relay; all are kept by number from here on."""
    from minirun.network.relay import serve

    target = next((each.ip or each.ip6 for each in attached.interfaces if each.gateway or each.gateway6), "")
    for each, port in held:
        fd = each.detach()
        attached.sockets.append(fd)
        if each.family == AF_INET6 and port.protocol == "tcp" and target:
            serve(container_id, fd, target.partition("/")[0], port.port)


def detach(place: Place, container_id: str, *, sweep: bool = True) -> None:
    """Whatever the container has, is no more; fine if it has nothing.  The last one on a network takes the bridge and
    its rules along.

    The kernel takes its time over removing interfaces (some 20 ms for a pair, 50 for a bridge).  ``sweep=False`` only
    switches them off, for a caller whose namespace ends anyway: it calls ``repair.sweep`` when nobody waits any more.
    """
    from minirun.network.relay import stop

    stop(container_id)
    with Ledger(place.root) as ledger:
        leave(place, ledger, container_id, sweep=sweep)


def undo(place: Place, ledger: Ledger, container_id: str, error: BaseException, network: str = "") -> None:
    """Nothing stays; what went wrong first is what is told."""
    try:
        leave(place, ledger, container_id, sweep=True, network=network)
    except (MinirunError, OSError) as another:
        error.add_note(f"and then: {another}")


def leave(place: Place, ledger: Ledger, container_id: str, *, sweep: bool, network: str = "") -> None:
    """All networks, or the one."""
    route = rtnetlink.Route()
    problem: MinirunError | None = None
    left = [lease for lease in own_leases(ledger, container_id) if network in ("", lease.network)]
    for lease in left:
        index = number_of(route, lease.link)
        if lease.kind == CNI:
            from minirun.network import cni

            try:
                cni.leave(lease)
            except MinirunError as error:
                problem = problem or error
        elif index and (sweep or lease.kind == TAP):
            delete(route, index)
        elif index:
            switch_off(route, index)
        ledger.drop(lease)
        ledger.left(lease.network)
        device = bridge.device_of(ledger, lease.network)
        rest = ledger.leases(lease.network)
        if device is not None:
            bridge.left[lease.network] = device
            if lease.ports:
                bridge.set_ports(device, rest)
                publish.forget_datagrams(publish.ports_of([lease]))
    for lease in left:
        hosts.tell(place.storage, ledger, container_id, lease.network)
    if sweep:
        sweep_locked(ledger)
    if problem is not None:
        raise problem


def switch_off(route: rtnetlink.Route, index: int) -> None:
    """Gone with its namespace meanwhile is off, too."""
    try:
        link.bring_down(route, index)
    except OSError as error:
        if error.errno != ENODEV:
            raise MinirunError("cannot switch an interface off", reason=str(error.strerror)) from error


def number_of(route: rtnetlink.Route, name: str) -> int:
    """0 if there is no such interface."""
    try:
        return link.interface(route, name).index if name else 0
    except OSError:
        return 0


def attach_tap(
    place: Place, container_id: str, name: str, wanted: Sequence[Wanted], ports: Sequence[Port] = ()
) -> tuple[str, Attached]:
    """As ``attach``, with a tap on the network's bridge for a machine: the value of the annotation dev.minirun.vm.net
    comes first.  Machines have IPv4 only."""
    if len(wanted) != 1 or wanted[0].name in CARRIERS:
        names = ", ".join(each.name for each in wanted)
        raise MinirunError("cannot connect the machine", reason=f"it takes one bridge, and this is {names}", hint=ONE)
    attached = attach(place, container_id, name, NO_NETNS, wanted, ports)
    got = attached.interfaces[0]
    words = [got.name, f"mac={got.mac}"]
    if got.ip:
        words += [f"address={got.ip}", *([f"gateway={got.gateway}"] if got.gateway else [])]
    return ",".join(words), attached

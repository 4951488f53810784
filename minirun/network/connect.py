"""``network connect`` and ``disconnect``: one network more, or less, for a container that runs."""

from __future__ import annotations

from minirun.errors import MinirunError
from minirun.linux import link, rtnetlink
from minirun.network import bridge, hosts
from minirun.network.address import parse_ip
from minirun.network.attach import check, interface_of, join, lease_for, leave, own_leases, undo
from minirun.network.leases import CNI, TAP, VETH, Ledger
from minirun.network.pool import UNICAST
from minirun.network.repair import repair_locked
from minirun.network.wanted import Attached, Interface, Place, Wanted


def connect(place: Place, container_id: str, name: str, netns: int, wanted: Wanted, owner: int) -> Interface:
    """``netns``: the container's; ``owner``: its monitor, as whose the lease counts."""
    check([wanted])
    with Ledger(place.root) as ledger:
        repair_locked(ledger)
        leases = own_leases(ledger, container_id)
        if any(each.network == wanted.name for each in leases):
            raise MinirunError(f"cannot connect {name} to network {wanted.name}", reason="it is on it")
        if any(each.kind == TAP for each in leases):
            raise MinirunError(f"cannot connect {name}", reason="a machine's networks are those it started with")
        used = {each.inner for each in leases}
        inner = next(word for number in range(len(used) + 1) if (word := f"eth{number}") not in used)
        attached = Attached(interfaces=[], ports=[], sockets=[], notes=[], nameservers=[])
        for each in leases:  # who has a way out keeps it
            device = bridge.device_of(ledger, each.network)
            if each.kind != CNI and device is not None:
                attached.interfaces.append(interface_of(device, each))
        try:
            join(place, ledger, netns, wanted, lease_for(container_id, name, wanted, inner, owner), attached)
        except BaseException as error:
            undo(place, ledger, container_id, error, wanted.name)
            raise
        hosts.tell(place.storage, ledger, container_id)
    return attached.interfaces[-1]


def interfaces(place: Place, container_id: str) -> list[Interface]:
    """Of a container that runs, as they are now; those of CNI only its record knows."""
    with Ledger(place.root) as ledger:
        pairs = [(bridge.device_of(ledger, each.network), each) for each in own_leases(ledger, container_id)]
    return [interface_of(device, lease) for device, lease in pairs if device is not None and lease.kind != CNI]


def disconnect(place: Place, container_id: str, name: str, network: str, netns: int) -> None:
    """If that was the way out, another network is from now on."""
    with Ledger(place.root) as ledger:
        lease = next((each for each in own_leases(ledger, container_id) if each.network == network), None)
        if lease is None:
            raise MinirunError(f"cannot disconnect {name} from network {network}", reason="it is not on it")
        if lease.ports:
            reason = "its published ports are on that network"
            raise MinirunError(f"cannot disconnect {name} from network {network}", reason=reason)
        leave(place, ledger, container_id, sweep=True, network=network)
        hosts.tell(place.storage, ledger, container_id)
        way_out(ledger, container_id, netns)


def way_out(ledger: Ledger, container_id: str, netns: int) -> None:
    """A default route of each family, by the first network that has one and where there is none."""
    route = rtnetlink.Route(netns)
    there = {each.family for each in link.routes(route) if not each.bits and each.device and each.kind == UNICAST}
    for lease in own_leases(ledger, container_id):
        device = bridge.device_of(ledger, lease.network)
        if lease.kind != VETH or device is None or device.internal:
            continue
        for own, gateway in ((lease.ip, device.gateway), (lease.ip6, device.gateway6)):
            packed = parse_ip(gateway)
            if own and packed and link.family_of(packed) not in there:
                link.add_default_route(route, link.interface(route, lease.inner).index, packed)
                there.add(link.family_of(packed))

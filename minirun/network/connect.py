"""``network connect`` and ``disconnect``: one network more, or less, for a container that runs."""

from __future__ import annotations

from minirun.errors import MinirunError
from minirun.network import bridge, hosts, networks
from minirun.network.attach import check, interface_of, join, lease_for, leave, own_leases, undo
from minirun.network.leases import CNI, TAP, Ledger
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


def disconnect(place: Place, container_id: str, name: str, word: str) -> str:
    """The network's name."""
    network = word if networks.is_foreign(place.storage, word) else networks.find(place.storage, word).name
    with Ledger(place.root) as ledger:
        lease = next((each for each in own_leases(ledger, container_id) if each.network == network), None)
        if lease is None:
            raise MinirunError(f"cannot disconnect {name} from network {network}", reason="it is not on it")
        if lease.ports:
            reason = "its published ports are on that network"
            raise MinirunError(f"cannot disconnect {name} from network {network}", reason=reason)
        leave(place, ledger, container_id, sweep=True, network=network)
        hosts.tell(place.storage, ledger, container_id)
    return network

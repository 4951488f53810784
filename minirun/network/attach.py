"""Give a container its networks, and take them back.

The container is a network namespace (a descriptor) and an id.  Everything made here belongs to the process that calls
(the container's monitor): once that process and the namespace are gone, whatever was left is removed by the next
attach, or by ``system prune`` (``repair``).
"""

from __future__ import annotations

from minirun.network.ports import Port
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Place(Record):
    """``storage``: networks and hosts files; ``root``: the runtime's, leases are below ROOT/.networks."""

    storage: str
    root: str


class Wanted(Record):
    """One network for one container; ``name`` may be a CNI conflist's.  Members as in record.json."""

    name: str = "bridge"
    ip: str = ""
    ip6: str = ""
    mac: str = ""
    aliases: Sequence[str] = ()


class Interface(Record):
    """One interface that the container got."""

    network: str
    name: str  # eth0 ...
    mac: str
    ip: str = ""  # 10.89.0.2/24
    ip6: str = ""
    gateway: str = ""
    gateway6: str = ""


class Attached(Record):
    """What came of it.  ``sockets`` reserve the published ports: keep them open while the container runs."""

    interfaces: list[Interface]
    ports: list[Port]  # every hostPort filled in
    sockets: list[int] = []
    nameservers: list[str] = []  # from CNI; else the host's
    notes: list[str] = []  # for people: warnings

    def document(self) -> dict[str, object]:
        """For status.json and inspect."""
        return {
            "interfaces": [dict(zip(each.FIELDS, each.astuple(), strict=True)) for each in self.interfaces],
            "ports": [dict(zip(each.FIELDS, each.astuple(), strict=True)) for each in self.ports],
        }


def attach(
    place: Place, container_id: str, name: str, netns: int, wanted: Sequence[Wanted], ports: Sequence[Port] = ()
) -> Attached:
    """Interfaces, addresses, routes, NAT, published ports, and the marked part of the hosts files of all on the same
    networks (this container's is STORAGE/containers/ID/hosts, made here if it is not there).  All or nothing.

    Raises MinirunError.
    """
    raise NotImplementedError


def detach(place: Place, container_id: str) -> None:
    """Whatever the container has, is no more; fine if it has nothing.  The last one on a network takes the bridge and
    its rules along."""
    raise NotImplementedError


def attach_tap(
    place: Place, container_id: str, name: str, wanted: Wanted, ports: Sequence[Port] = ()
) -> tuple[str, Attached]:
    """A tap on the network's bridge for a machine; the value of the annotation dev.minirun.vm.net."""
    raise NotImplementedError

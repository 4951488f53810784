"""What is asked of the network room, and what comes of it."""

from __future__ import annotations

from minirun.network.ports import Port
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


CARRIERS = ("pasta", "slirp4netns")  # networks of an ordinary user's containers (``outside``)


class Place(Record):
    """``storage``: networks and hosts files; ``root``: the runtime's, leases are below ROOT/.networks.

    ``cniConf``, ``cniPath``: where CNI's configurations and plugins are; "" for the usual places (network/cni.py).
    """

    storage: str
    root: str
    cniConf: str = ""
    cniPath: str = ""


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

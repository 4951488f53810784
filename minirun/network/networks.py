"""STORAGE/networks/NAME.json: what a network is.  Its bridge and its rules are there only while somebody uses it."""

from __future__ import annotations

from minirun.record import Record

DEFAULT = "bridge"
RESERVED = ("none", "host", "default", "container")


class Network(Record):
    """Member names are the document's."""

    name: str
    id: str = ""  # 64 hex digits
    created: str = ""
    driver: str = "bridge"
    subnet: str = ""  # 10.89.0.0/24
    gateway: str = ""
    ipRange: str = ""  # what is given out without being asked for; "": all of subnet
    subnet6: str = ""
    gateway6: str = ""
    internal: bool = False
    mtu: int = 0  # 0: that of the host's default route
    device: str = ""  # the bridge's name; "": minirun0 and upwards
    automatic: bool = True  # the subnet was our choice: another may be taken while nobody is on it
    labels: dict[str, str] = {}
    options: dict[str, str] = {}


def create(storage: str, network: Network) -> Network:
    """Fills in what was not said, checks it, and writes it down.  Raises MinirunError."""
    raise NotImplementedError


def find(storage: str, word: str) -> Network:
    """By name, id or the beginning of an id; the default one is made at its first use."""
    raise NotImplementedError


def every(storage: str) -> list[Network]:
    """All of them, by name; the default one, too."""
    raise NotImplementedError


def remove(storage: str, root: str, word: str) -> Network:
    """Refused while containers are on it."""
    raise NotImplementedError

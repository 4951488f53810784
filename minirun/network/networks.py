"""STORAGE/networks/NAME.json: what a network is.  Its bridge and its rules are there only while somebody uses it."""

from __future__ import annotations

import fcntl
import posix

from minirun.errors import USAGE, MinirunError
from minirun.network.leases import Ledger, names_in, read, remove as unlink, replace
from minirun.record import Record
from minirun.spec.decode import encode
from minirun.spec.members import members

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT = "bridge"
RESERVED = ("none", "host", "default", "container", "private", "slirp4netns", "pasta")
NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
LONGEST = 128
MTU = ("mtu", "com.docker.network.driver.mtu")
DEVICE = ("device", "com.docker.network.bridge.name")


class Network(Record):
    """Member names are the document's."""

    name: str
    id: str = ""  # 64 hex digits
    created: str = ""
    driver: str = "bridge"
    subnet: str = ""  # 10.90.0.0/24
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

    def document(self) -> dict[str, Any]:
        return dict(zip(self.FIELDS, self.astuple(), strict=True))


def changed(network: Network, **members: Any) -> Network:
    return Network(**{**network.document(), **members})


def create(storage: str, network: Network) -> Network:
    """Fills in what was not said, checks it, and writes it down.  Raises MinirunError."""
    from minirun.network.checks import check, filled

    check(network)
    if path_exists(storage, network.name) or network.name == DEFAULT:
        raise wrong(network.name, "there is one of that name")
    from minirun.network.live import taken  # pyroute2: a verb that people wait for

    host = taken()
    fd = posix.open(folder_of(storage), posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)  # two at once must see each other's subnet
        return save(storage, filled(storage, network, host), fresh=True)
    finally:
        posix.close(fd)


def folder_of(storage: str) -> str:
    """Made if it is not there."""
    folder = f"{storage}/networks"
    for path in (storage, folder):
        try:
            posix.mkdir(path, 0o700)
        except FileExistsError:
            pass
        except FileNotFoundError:
            raise MinirunError("cannot keep networks", reason=f"no directory above {storage}") from None
    return folder


def save(storage: str, network: Network, *, fresh: bool = False) -> Network:
    """``fresh``: link(2) refuses where rename(2) would put it in another's place."""
    folder = folder_of(storage)
    data = encode(network.document()).encode() + b"\n"
    if not fresh:
        replace(folder, f"{network.name}.json", data)
        return network
    temporary = f".{posix.getpid()}.{network.name}"
    replace(folder, temporary, data)
    try:
        posix.link(f"{folder}/{temporary}", f"{folder}/{network.name}.json")
    except FileExistsError:
        raise wrong(network.name, "there is one of that name") from None
    finally:
        unlink(f"{folder}/{temporary}")
    return network


def find(storage: str, word: str) -> Network:
    """By name, id or the beginning of an id; the default one is made at its first use."""
    found = named(storage, DEFAULT if word == "default" else word)
    if found is not None:
        return found
    if word in (DEFAULT, "default"):
        from minirun.linux import rtnetlink
        from minirun.network import pool
        from minirun.network.checks import filled

        host = [(each, "") for each in pool.on_host(rtnetlink.Route())]
        return save(storage, filled(storage, Network(name=DEFAULT), host))
    near = [each for each in every(storage) if len(word) > 1 and each.id.startswith(word)]
    if len(near) == 1:
        return near[0]
    reason = "the beginning of several ids" if near else "there is none of that name"
    raise MinirunError(
        f"no network {word!r}", reason=reason, hint="minirun network ls lists them, minirun network create makes one"
    )


def named(storage: str, name: str) -> Network | None:
    if not valid_name(name):
        return None
    path = f"{storage}/networks/{name}.json"
    data = read(path)
    if not data:
        return None
    return Network(**members(data, path, Network, "remove it, and create the network again"))


def every(storage: str) -> list[Network]:
    """All that are written down, by name."""
    names = sorted(name[:-5] for name in names_in(f"{storage}/networks") if name.endswith(".json"))
    return [found for found in (named(storage, name) for name in names) if found]


def remove(storage: str, root: str, word: str) -> Network:
    """Refused while containers are on it."""
    network = find(storage, word)
    if network.name == DEFAULT:
        raise MinirunError(f"cannot remove network {network.name}", reason="it is the default one")
    with Ledger(root) as ledger:
        from minirun.network.repair import repair_locked

        repair_locked(ledger)
        users = [lease.name or lease.container[:12] for lease in ledger.leases(network.name)]
        if users:
            raise MinirunError(
                f"cannot remove network {network.name}", reason=f"in use by {', '.join(sorted(users))}",
                hint="stop these containers first, or minirun network disconnect",
            )  # fmt: skip
        from minirun.network.bridge import tear_down

        tear_down(ledger, network.name, None)  # one that lingers is not the next network's of this name
        unlink(f"{storage}/networks/{network.name}.json")
    return network


def sweep(storage: str) -> None:
    """What a create that was killed has left; its number in front is its maker's."""
    try:
        names = posix.listdir(f"{storage}/networks")
    except FileNotFoundError:
        return
    for name in names:
        maker = name.lstrip(".").partition(".")[0]
        if name.startswith(".") and not (maker.isdigit() and posix.access(f"/proc/{maker}", posix.F_OK)):
            unlink(f"{storage}/networks/{name}")


def is_foreign(storage: str, name: str) -> bool:
    """Not a network of ours: CNI may know it."""
    return name not in (DEFAULT, "default") and named(storage, name) is None


def valid_name(name: str) -> bool:
    return 0 < len(name) <= LONGEST and name[0].isalnum() and not set(name) - NAME


def path_exists(storage: str, name: str) -> bool:
    return bool(read(f"{storage}/networks/{name}.json"))


def wrong(name: str, reason: str, hint: str = "") -> MinirunError:
    return MinirunError(f"cannot create network {name!r}", reason=reason, hint=hint, exit_code=USAGE)

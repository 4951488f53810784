"""``network connect disconnect``: of a container that runs, and of its record for the next start."""

from __future__ import annotations

import posix

from minirun.cli.places import place_of, shelf_of
from minirun.container import life
from minirun.container.record import PAUSED, RUNNING, Container
from minirun.errors import MinirunError
from minirun.network import cni, networks
from minirun.network.wanted import CARRIERS, Place, Wanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.cli.main import Call


def connect(call: Call) -> int:
    values = call.values
    wanted = Wanted(
        name=call.words[0], ip=values.text("ip"), ip6=values.text("ip6"), mac=values.text("mac_address"),
        aliases=values.listed("alias"),
    )  # fmt: skip
    shelf, place = shelf_of(call), place_of(call)
    wanted.name = named(place.storage, wanted.name)
    if networks.is_foreign(place.storage, wanted.name) and cni.find(room(place), wanted.name) is None:
        networks.find(place.storage, wanted.name)  # which says what is wrong
    container = on_networks(shelf.find(call.words[1]))
    status = life.truth(shelf, place, container)
    with shelf.hold(container.id):
        if any(each["name"] == wanted.name for each in container.networks):
            raise MinirunError(f"cannot connect {container.name} to network {wanted.name}", reason="it is on it")
        if status.status in (RUNNING, PAUSED):
            from minirun.network.connect import connect as attach

            netns = posix.open(f"/proc/{status.pid}/ns/net", posix.O_RDONLY | posix.O_CLOEXEC)
            try:
                attach(room(place), container.id, container.name, netns, wanted, status.monitor)
            finally:
                posix.close(netns)
        document = dict(zip(wanted.FIELDS, wanted.astuple(), strict=True))
        container.networks = [*container.networks, document]
        shelf.save(container)
    return 0


def disconnect(call: Call) -> int:
    shelf, place = shelf_of(call), place_of(call)
    container = on_networks(shelf.find(call.words[1]))
    name = named(place.storage, call.words[0])
    status = life.truth(shelf, place, container)
    with shelf.hold(container.id):
        if not any(each["name"] == name for each in container.networks):
            if call.values.on("force"):
                return 0
            raise MinirunError(f"cannot disconnect {container.name} from network {name}", reason="it is not on it")
        if status.status in (RUNNING, PAUSED):
            from minirun.network.connect import disconnect as detach

            netns = posix.open(f"/proc/{status.pid}/ns/net", posix.O_RDONLY | posix.O_CLOEXEC)
            try:
                detach(room(place), container.id, container.name, name, netns)
            finally:
                posix.close(netns)
        container.networks = [each for each in container.networks if each["name"] != name]
        if not container.networks:
            container.network = "none"
        shelf.save(container)
    return 0


def named(storage: str, word: str) -> str:
    """The name of a network of ours, which may be said by its id; any other word is CNI's, or will be refused."""
    try:
        return networks.find(storage, word).name
    except MinirunError:
        return word


def on_networks(container: Container) -> Container:
    """Those with networks of their own, or with none yet."""
    if container.network not in ("networks", "none") or any(each["name"] in CARRIERS for each in container.networks):
        names = ", ".join(each["name"] for each in container.networks) or container.network
        raise MinirunError(
            f"cannot change the networks of {container.name}", reason=f"it was made with --network {names}"
        )
    container.network = "networks"
    return container


def room(place: life.Place) -> Place:
    return Place(storage=place.storage, root=place.root)

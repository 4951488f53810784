"""What a container needs around it while it runs, set up and taken away: its overlay, its network, its bundle.

``prepare`` is the monitor's at every start; ``clear`` its opposite, and all that ``repair`` needs as well: it takes
away whatever is there, whoever made it, and is fine where nothing is.
"""

from __future__ import annotations

import posix

from minirun import hot
from minirun.container import bundle
from minirun.container.record import RUNNING
from minirun.errors import MinirunError
from minirun.record import Record
from minirun.spec.decode import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.container.life import Place
    from minirun.container.record import Container
    from minirun.container.shelf import Shelf
    from minirun.runtime.create import Created


LINGER = 0.3


class Stage(Record):
    """What the monitor holds open while the container runs."""

    held: list[int] = []  # the network namespace, the sockets of published ports
    attached: dict[str, Any] = {}
    late: bundle.Site | None = None  # the network comes when there is a process: ``connect``

    def close(self) -> None:
        for fd in self.held:
            posix.close(fd)
        self.held = []


def prepare(shelf: Shelf, place: Place, container: Container) -> Stage:
    """Everything up to config.json.  On failure ``clear`` takes away what there is."""
    directory = shelf.directory(container.id)
    mount(shelf, container)
    stage = Stage(held=[], attached={})
    site = bundle.Site(
        storage=shelf.storage, directory=directory, rootfs=shelf.rootfs(container.id), root=place.root,
        joined=joined(shelf, container), warn=place.warn,
    )  # fmt: skip
    if any(entry["kind"] == "volume" and entry["subpath"] for entry in container.asked["mounts"]):
        from minirun.container import subpaths

        site.parts = subpaths.mount(container, shelf.storage)
    if container.network == "networks" and container.asked["userns"] and container.isolation != "vm":
        stage.late = site
    elif container.network == "networks":
        network(place, container, stage, site)
    config = bundle.build(container, site)
    write(f"{directory}/config.json", encode(config).encode("utf-8", "surrogateescape"))
    return stage


def mount(shelf: Shelf, container: Container) -> None:
    from minirun.container.place import maps_of, open_way, snapshot

    if maps_of(container):
        open_way(shelf, container)
    snapshot(shelf, container).mount(shelf.rootfs(container.id))


def joined(shelf: Shelf, container: Container) -> dict[str, str]:
    """pid, ipc, uts, network -> the namespace of the container whose was asked for."""
    return {kind: f"/proc/{pid_of(shelf, word)}/ns/{FILES[kind]}" for kind, word in bundle.joins(container).items()}


FILES = {"pid": "pid", "ipc": "ipc", "uts": "uts", "network": "net"}


def pid_of(shelf: Shelf, word: str) -> int:
    from minirun.container.truth import running

    other = shelf.find(word)
    status = shelf.status(other.id)
    if status.status != RUNNING or not running(status):
        raise MinirunError(f"cannot join container {word}", reason="it is not running")
    return status.pid


def network(place: Place, container: Container, stage: Stage, site: bundle.Site) -> None:
    """A namespace of its own on the networks asked for; a machine gets a tap instead."""
    hot.board("minirun.network.attach")
    from minirun.network import attach as net, netns
    from minirun.network.ports import Port

    where = net.Place(storage=place.storage, root=place.root)
    wanted = [net.Wanted(**each) for each in container.networks] or [net.Wanted()]
    ports = [Port(**each) for each in container.ports]
    if container.isolation == "vm":
        site.tap, attached = net.attach_tap(where, container.id, container.name, wanted, ports)
    else:
        fd = netns.new() if stage.late is None else stage.held[0]
        if stage.late is None:
            stage.held.append(fd)
            site.netns = f"/proc/{posix.getpid()}/fd/{fd}"
        if wanted[0].name in net.CARRIERS:
            from minirun.network import outside

            attached = outside.attach(place.root, container.id, wanted[0], fd, ports, place.env)
            site.hosts = outside.hosts(attached, container.short, container.name)
        else:
            attached = net.attach(where, container.id, container.name, fd, wanted, ports)
    stage.held += attached.sockets
    stage.attached = attached.document()
    site.resolv = attached.nameservers
    site.gateway = next((each.gateway or each.gateway6 for each in attached.interfaces), "")
    for note in attached.notes:
        place.warn(note)
    from minirun.container.prepare import resolver

    if site.gateway and "nameserver " not in resolver(container, site.resolv):
        place.warn("the host's name servers are on its own loopback, which is not the container's: --dns names another")


def connect(place: Place, container: Container, stage: Stage, created: Created) -> None:
    """With a user namespace, once its init waits: the network namespace is one that init was born in, and so belongs
    to the user namespace.  In one of ours its root could mount no sysfs, send no ping and listen on no port below 1024.

    On failure the container is destroyed, as ``start_here`` has it.
    """
    if stage.late is None:
        return
    from minirun.container.prepare import files
    from minirun.network import netns
    from minirun.runtime.start import destroy_failed

    try:
        stage.held.append(posix.open(netns.path_of(created.state.pid), posix.O_RDONLY | posix.O_CLOEXEC))
        network(place, container, stage, stage.late)
        files(container, stage.late)  # what the network knows now; they are mounted already
    except BaseException:
        destroy_failed(created.entry, place.warn)
        raise


def clear(shelf: Shelf, place: Place, container: Container) -> None:
    """The runtime's entry, the network, the mounts.  Each is tried, whatever became of the others."""
    problems = []
    for step in (clear_runtime, clear_network, unmount):
        try:
            step(shelf, place, container)
        except (MinirunError, OSError) as error:
            problems.append(str(error))
    if problems:
        raise MinirunError(f"cannot clear up after container {container.name}", reason="; ".join(problems))


def clear_runtime(shelf: Shelf, place: Place, container: Container) -> None:
    from minirun.runtime import lifecycle
    from minirun.runtime.store import Store

    if posix.access(f"{place.root}/{container.id}", posix.F_OK):
        lifecycle.delete(Store(place.root), container.id, True, place.warn)


def clear_network(shelf: Shelf, place: Place, container: Container) -> None:
    if container.network != "networks":
        return
    if posix.access(f"{place.root}/.outside", posix.F_OK):
        from minirun.network import outside

        outside.detach(place.root, container.id)
    from minirun.network import attach as net

    if on_bridges(container):
        net.detach(net.Place(storage=place.storage, root=place.root), container.id, sweep=False)


def on_bridges(container: Container) -> bool:
    from minirun.network.wanted import CARRIERS

    return container.network == "networks" and not any(each["name"] in CARRIERS for each in container.networks)


def sweep(place: Place, container: Container, linger: float = 0) -> None:
    """Bridges and rules that nobody uses any more: the kernel takes long over it, so when nobody waits for us.

    ``linger``: seconds in which the next container, one behind the other in a script, may find them still there.
    """
    if not on_bridges(container):
        return
    from minirun.network import repair

    if linger:
        repair.linger(place.root, linger)
    else:
        repair.sweep(place.root)


def unmount(shelf: Shelf, place: Place, container: Container) -> None:
    from minirun.container import subpaths
    from minirun.container.place import snapshot

    subpaths.unmount(shelf.directory(container.id))
    if container.asked.get("ipc", ("shareable",))[0] == "shareable":  # half made: who knows
        from minirun.container.filesystems import SHM
        from minirun.images.snapshot import detach

        detach(f"{shelf.directory(container.id)}/{SHM}")
    snapshot(shelf, container).unmount(shelf.rootfs(container.id))


def write(path: str, data: bytes) -> None:
    fd = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC, 0o600)
    try:
        while data:
            data = data[posix.write(fd, data) :]
    finally:
        posix.close(fd)

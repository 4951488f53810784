"""What a storage takes of the disk, and what of it somebody uses: for ``system df``."""

from __future__ import annotations

import posix

from minirun.container.record import EXITED, PAUSED, RESTARTING, RUNNING
from minirun.container.shelf import Shelf
from minirun.container.volumes import Volumes
from minirun.errors import MinirunError
from minirun.images.reference import familiar
from minirun.images.store import Images
from minirun.images.tree import usage as disk_usage
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.container.record import Container

ALIVE = (RUNNING, PAUSED, RESTARTING)


class Item(Record):
    """One image, layer, container or volume; ``users`` are containers (of a container: itself, if it runs)."""

    name: str
    size: int
    users: list[str]


class Part(Record):
    """All of a kind.  What nobody uses could go: ``reclaimable`` bytes of ``size``."""

    name: str
    items: list[Item]
    size: int
    reclaimable: int

    @property
    def active(self) -> int:
        return sum(bool(item.users) for item in self.items)


def part(name: str, items: list[Item]) -> Part:
    unused = sum(item.size for item in items if not item.users)
    return Part(name=name, items=items, size=sum(item.size for item in items), reclaimable=unused)


def look(storage: str) -> list[Part]:
    containers = list(Shelf(storage).all())
    return [images(storage, containers), layers(storage, containers), own(storage, containers), volumes(storage)]


def images(storage: str, containers: list[Container]) -> Part:
    """Blobs are shared by images: the whole is what is on the disk, not the sum."""
    store = Images(storage)
    items, needed = [], {one.manifest for one in containers if one.manifest}
    for image in store.all():
        users = [one.name for one in containers if one.imageId == image.id]
        name = ", ".join(familiar(name) for name in image.names) or image.id.partition(":")[2][:12]
        items.append(Item(name=name, size=image.size, users=users))
        if users:
            needed |= {image.target.digest, image.manifest_digest, image.id, *(layer.digest for layer in image.layers)}
    folders = [f"{storage}/ingest", *(f"{storage}/blobs/{name}" for name in entries(f"{storage}/blobs"))]
    size = sum(length(f"{folder}/{name}") for folder in folders for name in entries(folder))
    kept = sum(store.blobs.size(digest) for digest in needed if store.blobs.has(digest))
    return Part(name="Images", items=items, size=size, reclaimable=max(size - kept, 0))


def layers(storage: str, containers: list[Container]) -> Part:
    """Unpacked: each once, however many containers are on it."""
    place = f"{storage}/layers"
    users: dict[str, list[str]] = {}
    for container in containers:
        for chain in container.layers:
            users.setdefault(chain.partition(":")[2], []).append(container.name)
    names = sorted(name for name in entries(place) if not name.startswith("."))
    return part("Layers", [Item(name=name[:12], size=disk_usage(f"{place}/{name}"), users=users.get(name, []))
                           for name in names])  # fmt: skip


def own(storage: str, containers: list[Container]) -> Part:
    shelf = Shelf(storage)
    items = []
    for container in containers:
        folder = shelf.directory(container.id)
        size = disk_usage(f"{folder}/upper") + sum(
            length(f"{folder}/{name}") for name in entries(folder) if "log" in name
        )
        running = [container.name] if status_of(shelf, container) in ALIVE else []
        items.append(Item(name=container.name, size=size, users=running))
    return part("Containers", items)


def volumes(storage: str) -> Part:
    store = Volumes(storage)
    users = store.users()
    items = [Item(name=each.name, size=store.size(each.name), users=users.get(each.name, [])) for each in store.all()]
    return part("Volumes", items)


def states(storage: str) -> dict[str, int]:
    """How many containers are in which state."""
    found: dict[str, int] = {RUNNING: 0, PAUSED: 0, EXITED: 0}
    shelf = Shelf(storage)
    for container in shelf.all([]):
        state = status_of(shelf, container)
        found[state] = found.get(state, 0) + 1
    return found


def status_of(shelf: Shelf, container: Container) -> str:
    """As it is written down; "running" is believed only of a process that is there."""
    from minirun.container.truth import running

    try:
        status = shelf.status(container.id)
    except MinirunError:
        return EXITED
    return EXITED if status.status in (RUNNING, PAUSED) and not running(status) else status.status


def entries(path: str) -> list[str]:
    try:
        return posix.listdir(path)
    except OSError:
        return []


def length(path: str) -> int:
    try:
        return posix.lstat(path).st_size
    except OSError:
        return 0

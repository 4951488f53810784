"""What ``system prune`` does, in order, and its report.  It is the verbs that join the rooms."""

from __future__ import annotations

from minirun.cli.image_change import untag_unused
from minirun.container import life
from minirun.container.image_use import collect, unfinished
from minirun.container.listing import networks as networks_of
from minirun.container.record import CREATED, EXITED
from minirun.container.usage import entries
from minirun.container.volumes import Volumes
from minirun.errors import MinirunError
from minirun.images.store import Images
from minirun.images.tree import usage as disk_usage
from minirun.network import networks, repair
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.container.life import Place
    from minirun.container.shelf import Shelf

WHOLE = ("blobs", "ingest", "layers", "containers", "volumes", "tmp")


class Report(Record):
    """``parts``: heading -> lines; ``failed``: what could not be removed."""

    parts: dict[str, list[str]]
    failed: list[MinirunError]
    size: int = 0


def run(shelf: Shelf, place: Place, *, every: bool, volumes: bool) -> Report:
    """``every``: images with a name, too."""
    before = taken(shelf.storage)
    report = Report(parts={}, failed=[])
    report.parts["Repaired"] = [
        *life.repair(shelf, place),
        *leftovers(report, place.root),
        *carriers(shelf, place.root),
    ]
    report.parts["Deleted Containers"] = containers(report, shelf, place)
    report.parts["Deleted Networks"] = empty_networks(report, shelf, place)
    images = Images(shelf.storage)
    try:
        if volumes:
            report.parts["Deleted Volumes"] = anonymous(shelf.storage)
        with images.exclusive():
            report.parts["Deleted Images"] = untag_unused(images, every)
            report.parts["Repaired"] += unfinished(shelf.storage)
            removed = collect(images, partials=True)
            report.parts["Deleted Images"] += [f"layers: {removed.layers}"] if removed.layers else []
    except MinirunError as error:  # a pull is under way, or a container that cannot be read may need anything
        if str(error) not in [str(other) for other in report.failed]:
            report.failed.append(error)
    report.size = max(before - taken(shelf.storage), 0)
    return report


def taken(storage: str) -> int:
    return sum(disk_usage(f"{storage}/{name}") for name in WHOLE)


def leftovers(report: Report, root: str) -> list[str]:
    """Of networks; a host without the kernel's part has none."""
    try:
        return (repair.repair(root) if entries(f"{root}/.networks") else []) + repair.orphans()
    except (MinirunError, OSError) as error:
        report.failed.append(as_ours("cannot repair the networks", error))
        return []


def carriers(shelf: Shelf, root: str) -> list[str]:
    """pasta and slirp4netns of containers that are not there any more."""
    if not entries(f"{root}/.outside"):
        return []
    from minirun.network import outside

    known = {container_id[: outside.DIGITS] for container_id in shelf.every_id()}
    left = [rest for rest in outside.leftovers(root) if rest not in known]
    for rest in left:
        outside.detach(root, rest)
    return [f"network of {rest[:12]}: its container is gone, ended" for rest in left]


def containers(report: Report, shelf: Shelf, place: Place) -> list[str]:
    lines = []
    for container in list(shelf.all(report.failed)):
        try:
            if shelf.status(container.id).status not in (CREATED, EXITED):
                continue
            life.remove(shelf, place, container)
            lines.append(f"{container.id[:12]}  {container.name}")
        except MinirunError as error:
            report.failed.append(error)
    return lines


def empty_networks(report: Report, shelf: Shelf, place: Place) -> list[str]:
    """Those that people made, and that no container names."""
    damaged: list[MinirunError] = []
    named = {name for container in shelf.all(damaged) for name in networks_of(container)}
    lines: list[str] = []
    if damaged:  # who knows which it names
        return lines
    try:
        networks.sweep(shelf.storage)
        found = networks.every(shelf.storage)
    except MinirunError as error:
        report.failed.append(error)
        return lines
    for network in found:
        if network.name in named or network.name == networks.DEFAULT or network.id in named:
            continue
        try:
            lines.append(networks.remove(shelf.storage, place.root, network.name).name)
        except MinirunError as error:
            report.failed.append(error)
    return lines


def anonymous(storage: str) -> list[str]:
    volumes = Volumes(storage)
    volumes.sweep()
    users = volumes.users()
    found = [volume.name for volume in volumes.all() if volume.anonymous and volume.name not in users]
    for name in found:
        volumes.discard(name)
    return found


def as_ours(message: str, error: Exception) -> MinirunError:
    return error if isinstance(error, MinirunError) else MinirunError(message, reason=str(error))

"""Is what ``status.json`` says still so?  And what to do where it is not.

A monitor writes down how its container ended; one that was killed, or whose host went down, did not.  A process is the
one that was meant if pid, start time and boot are the same.  ``mend`` is for whoever holds the container's lock and has
seen that its monitor is gone: what is left of the container is ended (its output went to pipes that nobody reads),
everything around it taken away, and its end written down.
"""

from __future__ import annotations

import posix

from minirun.container.files import missing
from minirun.container.record import CREATED, EXITED, PAUSED, RESTARTING, RUNNING, Status, now
from minirun.errors import MinirunError
from minirun.facts import read
from minirun.runtime.status import start_time
from minirun.spec.members import DAMAGED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.container.life import Place
    from minirun.container.record import Container
    from minirun.container.shelf import Shelf

LOST = 137  # of a container whose end nobody saw: it was killed, in one way or another


def boot_id() -> str:
    return read("/proc/sys/kernel/random/boot_id").strip()


def monitored(status: Status) -> bool:
    """Is its monitor there?"""
    return same(status, status.monitor, status.monitorStart)


def running(status: Status) -> bool:
    """Is its program there?"""
    return same(status, status.pid, status.startTime)


def same(status: Status, pid: int, start: int) -> bool:
    return pid > 0 and start_time(pid) == start and status.bootId == boot_id()


def settled(status: Status) -> bool:
    """Nothing goes on: there is nobody who would change it."""
    return status.status == EXITED or (status.status == CREATED and not status.monitor)


def truth(shelf: Shelf, place: Place, container: Container) -> Status:
    """Its status, now; what a killed monitor left is mended first.  Raises MinirunError (ENOENT): it is gone."""
    status = shelf.status(container.id)
    if not settled(status) and not monitored(status):
        try:
            held = shelf.hold(container.id)
        except MinirunError:  # removed meanwhile
            return shelf.status(container.id)
        with held:
            status = mended(shelf, place, container)
    if status.status == RUNNING and frozen(place, container):
        from minirun.container.freezer import thaw_left

        if not thaw_left(shelf, place, container):
            status.status = PAUSED
    return status


def mended(shelf: Shelf, place: Place, container: Container) -> Status:
    """The status under the lock; mended if it has to be."""
    status = shelf.status(container.id)
    if settled(status) or monitored(status):
        return status
    return mend(shelf, place, container, status)


def mend(shelf: Shelf, place: Place, container: Container, status: Status) -> Status:
    from minirun.container import stage

    rebooted = status.bootId != boot_id()
    stage.clear(shelf, place, container)
    stage.sweep(place, container)
    status.error = "the host went down" if rebooted else "its monitor was killed"
    status.status, status.exitCode, status.finishedAt = EXITED, LOST, now()
    status.pid = status.startTime = status.monitor = status.monitorStart = 0
    status.attached = {}
    if container.remove:
        from minirun.container.place import discard

        discard(shelf, container, volumes=True)
        raise missing(container.name)  # as --rm would have had it
    try:
        shelf.save_status(container.id, status)
    except MinirunError:  # a full disk: it is so all the same, and the next who asks finds out again
        pass
    return status


def frozen(place: Place, container: Container) -> bool:
    from minirun.runtime import status
    from minirun.runtime.store import Store

    try:
        entry = Store(place.root).open(container.id)
        try:
            return status.status(entry, entry.load()) == status.PAUSED
        finally:
            entry.close()
    except MinirunError:
        return False


def repair(shelf: Shelf, place: Place) -> list[str]:
    """Every container's truth, and what was left half made or half removed."""
    done = []
    for container_id in shelf.every_id():
        try:
            word = repair_one(shelf, place, container_id)
        except (MinirunError, OSError) as error:
            if getattr(error, "errno_name", "") == DAMAGED:  # told by whoever goes through them all
                continue
            word = f"container {container_id[:12]}: {error}"
        if word:
            done.append(word)
    done += stray_names(shelf)
    return done


def sweep_all(shelf: Shelf, place: Place) -> None:
    """What a killed create or rm has left, quickly: where nothing is left nothing is done."""
    for container_id in shelf.every_id():
        if not shelf.exists(container_id):
            try:
                sweep(shelf, place, container_id)
            except (MinirunError, OSError) as error:
                place.warn(f"container {container_id[:12]} is half made, and cannot be removed: {error}")


def free_name(shelf: Shelf, place: Place, name: str) -> None:
    """Whoever has the name may be a --rm container whose monitor was killed, or half made: then it is free now."""
    owner = shelf.owner(name)
    if not owner:
        return
    try:
        repair_one(shelf, place, owner)
        shelf.discard(name, owner)
    except (MinirunError, OSError):  # whoever takes the name will say what is wrong
        return


def repair_one(shelf: Shelf, place: Place, container_id: str) -> str:
    if not shelf.exists(container_id):
        return sweep(shelf, place, container_id)
    container = shelf.load(container_id)
    status = shelf.status(container_id)
    if settled(status) or monitored(status):
        return ""
    try:
        truth(shelf, place, container)
    except MinirunError as error:
        if error.errno_name != "ENOENT":
            raise
        return f"container {container.name}: its monitor was gone, it is removed"
    return f"container {container.name}: its monitor was gone, it is marked as ended"


def sweep(shelf: Shelf, place: Place, container_id: str) -> str:
    """A directory without a record, and nobody at work on it."""
    try:
        held = shelf.hold(container_id, wait=False)
    except (BlockingIOError, MinirunError):
        return ""
    with held:
        if shelf.exists(container_id):
            return ""
        from minirun.container import stage
        from minirun.container.record import Container

        ghost = Container(id=container_id, name="", created="", layers=["?"])
        stage.clear(shelf, place, ghost)
        shelf.forget(container_id, "")
    return f"container {container_id[:12]}: left half made, removed"


def remove_damaged(shelf: Shelf, place: Place, container_id: str) -> None:
    """One whose record nobody can read: whatever may be there of it is ended, and taken away."""
    from minirun.container import stage
    from minirun.container.record import Container

    with shelf.hold(container_id):
        ghost = Container(id=container_id, name="", created="", layers=["?"], ephemeral=True)
        stage.clear(shelf, place, ghost)
        shelf.forget(container_id, "")
    stray_names(shelf)


def stray_names(shelf: Shelf) -> list[str]:
    """Names whose container is gone."""
    try:
        names = posix.listdir(f"{shelf.storage}/names")
    except OSError:
        return []
    return [
        f"name {name}: its container is gone, removed"
        for name in names
        if (owner := shelf.owner(name)) and shelf.discard(name, owner)
    ]


__all__ = ["CREATED", "RESTARTING", "monitored", "repair", "running", "truth"]

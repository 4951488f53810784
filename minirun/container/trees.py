"""A container's files, whether it runs or not: for ``container cp``, ``export``, ``diff`` and ``commit``.

One that runs is entered through /proc/PID/root: its volumes and tmpfs are there, too.  One that does not has its
overlay mounted for as long as we look, under its lock; who is killed meanwhile leaves what ``repair`` unmounts.
"""

from __future__ import annotations

import posix

from minirun.container.place import maps_of, snapshot
from minirun.container.truth import mended, running
from minirun.errors import MinirunError
from minirun.linux.openat2 import O_PATH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.container.life import Place
    from minirun.container.record import Container
    from minirun.container.shelf import Shelf
    from minirun.images.copy import Side

HOLD = O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC


class Tree:
    """``with Tree(shelf, place, container) as tree``: ``tree.root`` is open."""

    def __init__(self, shelf: Shelf, place: Place, container: Container, write: bool = False) -> None:
        self.shelf = shelf
        self.place = place
        self.container = container
        self.write = write
        self.root = -1
        self.mounted = False
        self.held = shelf.hold(container.id)

    def __enter__(self) -> Tree:
        try:
            self.open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *why: object) -> None:
        self.close()

    def open(self) -> None:
        status = mended(self.shelf, self.place, self.container)
        if running(status) and self.container.isolation != "vm":
            self.root = posix.open(f"/proc/{status.pid}/root", HOLD)
            if not running(status):
                raise MinirunError(f"container {self.container.name} has just ended")
            self.held.close()  # stop and kill need it
            return
        rootfs = self.shelf.rootfs(self.container.id)
        if not running(status):
            if self.write and self.container.ephemeral:
                raise MinirunError(
                    f"cannot copy into container {self.container.name}", exit_code=1,
                    reason="its changes are kept in memory, and it does not run (--ephemeral)",
                    hint="start it first, or mount a volume there",
                )  # fmt: skip
            self.mounted = True  # also what somebody killed has left: it is unmounted in the end
            snapshot(self.shelf, self.container).mount(rootfs)
        self.root = posix.open(rootfs, HOLD)

    def close(self) -> None:
        if self.root >= 0:
            posix.close(self.root)
            self.root = -1
        if self.mounted:
            snapshot(self.shelf, self.container).unmount(self.shelf.rootfs(self.container.id))
            self.mounted = False
        self.held.close()

    def side(self) -> Side:
        """As one end of a copy."""
        from minirun.images.copy import Side

        return Side(self.root, f"container {self.container.name}", confined=True, ids=rows(maps_of(self.container)))


def rows(maps: tuple[str, str] | None) -> list[tuple[int, int, int]]:
    """(inside, outside, count) of a user namespace's map; users' and groups' are alike."""
    if not maps:
        return []
    found = []
    for line in maps[0].splitlines():
        inside, outside, count = (int(word) for word in line.split())
        found.append((inside, outside, count))
    return found


def targets(shelf: Shelf, container: Container) -> list[str]:
    """Where something was mounted over the container's files when it was started last."""
    from minirun.container.files import read
    from minirun.spec.decode import decode

    path = f"{shelf.directory(container.id)}/config.json"
    if not posix.access(path, posix.F_OK):
        return []
    found = decode(read(path, container.id), path)
    mounts = found.get("mounts") or [] if isinstance(found, dict) else []
    return [mount["destination"] for mount in mounts if isinstance(mount.get("destination"), str)] + list(OWN)


OWN = ("/dev/console",)

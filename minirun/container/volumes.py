"""Volumes: STORAGE/volumes/<name>, directories that outlive containers.

    volumes/<name>/_data         what containers see
    volumes/<name>/volume.json   labels, when it was made, whether it goes with a container; written last

A volume without volume.json was killed in the making: ``ensure`` and ``create`` finish it.  It is in use while a
container's record names it.  Whoever removes one renames it first, so that half a volume is never found.
"""

from __future__ import annotations

import fcntl
import posix

from minirun.container.files import open_directory, replace, unusable
from minirun.container.mounts import check_name
from minirun.container.record import now
from minirun.errors import MinirunError
from minirun.images.tree import remove_tree, usage
from minirun.record import Record
from minirun.spec.decode import encode
from minirun.spec.members import members

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Volume(Record):
    name: str
    created: str = ""
    labels: dict[str, str] = {}
    options: dict[str, str] = {}
    anonymous: bool = False


class Alone:
    """Nobody else makes or removes volumes meanwhile."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __enter__(self) -> None:
        fcntl.flock(self.fd, fcntl.LOCK_EX)

    def __exit__(self, *why: object) -> None:
        posix.close(self.fd)


class Volumes:
    def __init__(self, storage: str) -> None:
        self.storage = storage
        self.place = f"{storage}/volumes"

    def directory(self, name: str) -> str:
        return f"{self.place}/{name}/_data"

    def create(self, name: str = "", labels: dict[str, str] | None = None, anonymous: bool = False) -> Volume:
        """The volume of that name, made if it is not there; without a name, one with 64 hex digits."""
        with self.alone():
            return self.provide(name, labels, anonymous)

    def alone(self) -> Alone:
        """Held from when a volume is looked up until a record names it, and by who removes one that none names."""
        try:
            for path in (self.storage, self.place):
                make_directory(path, 0o711 if path == self.place else 0o700)
            return Alone(open_directory(self.place))
        except OSError as error:
            raise unusable(self.place, error) from error

    def provide(self, name: str, labels: dict[str, str] | None, anonymous: bool) -> Volume:
        """As ``create``; ``with alone()``."""
        volume = Volume(
            name=check_name(name) if name else posix.urandom(32).hex(), created=now(), labels=labels or {},
            anonymous=anonymous,
        )  # fmt: skip
        return self.load(volume.name) if self.exists(volume.name) else self.write(volume)

    def write(self, volume: Volume) -> Volume:
        try:
            make_directory(f"{self.place}/{volume.name}", 0o700)
            make_directory(self.directory(volume.name), 0o755)
        except OSError as error:
            raise unusable(self.place, error) from error
        replace(
            f"{self.place}/{volume.name}/volume.json",
            encode(dict(zip(volume.FIELDS, volume.astuple(), strict=True))).encode(),
        )
        return volume

    def ensure(self, name: str) -> None:
        """It is mounted in a moment.  One that was removed behind a container's back is an error, not an empty one."""
        if not self.exists(name):
            raise absent(name)

    def exists(self, name: str) -> bool:
        return posix.access(f"{self.place}/{name}/volume.json", posix.F_OK)

    def load(self, name: str) -> Volume:
        path = f"{self.place}/{name}/volume.json"
        try:
            fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        except FileNotFoundError as error:
            raise absent(name) from error
        except OSError as error:
            raise unusable(path, error) from error
        try:
            data = posix.read(fd, 1 << 20)
        finally:
            posix.close(fd)
        hint = f"remove it, and minirun volume create {name}: what the volume holds is beside it, in _data"
        return Volume(**members(data, path, Volume, hint))

    def find(self, word: str) -> Volume:
        """By name, or the beginning of an anonymous one's."""
        if "/" in word or word in ("", ".", ".."):
            raise absent(word)
        if self.exists(word):
            return self.load(word)
        fitting = [volume for volume in self.all() if volume.anonymous and volume.name.startswith(word)]
        if len(fitting) != 1:
            raise absent(word)
        return fitting[0]

    def all(self) -> Iterator[Volume]:
        """By name; one that goes away meanwhile is left out."""
        try:
            names = sorted(posix.listdir(self.place))
        except FileNotFoundError:
            return
        for name in names:
            if not name.startswith(".") and self.exists(name):
                try:
                    yield self.load(name)
                except MinirunError:
                    continue

    def users(self) -> dict[str, list[str]]:
        """Volume -> names of the containers that have it."""
        from minirun.container.shelf import Shelf

        found: dict[str, list[str]] = {}
        for container in Shelf(self.storage).all():
            for name in container.volumes:
                found.setdefault(name, []).append(container.name)
        return found

    def remove(self, name: str) -> None:
        """Refused while a container has it."""
        with self.alone():
            users = self.users().get(name, [])
            if users:
                raise MinirunError(
                    f"the volume {name} is in use", reason=f"by container {', '.join(users)}",
                    hint="minirun container rm that first", exit_code=1,
                )  # fmt: skip
            gone = self.set_aside(name)
        remove_tree(gone)

    def remove_unused(self, names: list[str]) -> None:
        """Those of them that no container has: --volumes-from may have brought another one to it."""
        with self.alone():
            users = self.users()
            gone = [self.set_aside(name) for name in names if name not in users and self.exists(name)]
        for path in gone:
            remove_tree(path)

    def discard(self, name: str) -> None:
        """As ``remove``, of one that nobody has."""
        remove_tree(self.set_aside(name))

    def set_aside(self, name: str) -> str:
        """No volume any more: what is to be removed."""
        gone = f"{self.place}/.{posix.urandom(8).hex()}"
        try:
            posix.rename(f"{self.place}/{name}", gone)
        except FileNotFoundError as error:
            raise absent(name) from error
        except OSError as error:
            raise unusable(self.place, error) from error
        return gone

    def sweep(self) -> None:
        """What a removal that was killed has left."""
        try:
            names = posix.listdir(self.place)
        except FileNotFoundError:
            return
        for name in names:
            if name.startswith("."):
                remove_tree(f"{self.place}/{name}")

    def size(self, name: str) -> int:
        """Bytes on the disk."""
        return usage(self.directory(name))


def make_directory(path: str, mode: int) -> None:
    try:
        posix.mkdir(path, mode)
        posix.chmod(path, mode)
    except FileExistsError:
        return
    except FileNotFoundError:
        make_directory(path.rpartition("/")[0], 0o755)
        make_directory(path, mode)


def absent(name: str) -> MinirunError:
    return MinirunError(f"no such volume: {name[:200]}", hint="minirun volume ls lists them", exit_code=1)

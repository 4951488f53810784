"""The shelf: every container's directory below STORAGE/containers, by id, by name, by the beginning of an id.

    containers/<id>/record.json   written last by create: a directory without it is one in the making, or a leftover
    containers/<id>/status.json   written to a temporary name and renamed
    names/<name>                  a symlink whose target is the id: symlink(2) is what makes a name unique

An flock(2) on the directory is held by whoever changes the container, as in the runtime's store.  Order of making:
directory and lock, name, content, record.json.  Of removing: record.json first, then content, the name, the
directory; so whoever is killed in between leaves what ``sweep`` recognises.
"""

from __future__ import annotations

import fcntl
import posix
from errno import EWOULDBLOCK

from minirun.container.files import missing, open_directory, read, replace, same, unusable
from minirun.container.record import REMOVE, Container, Status, container_from, status_from
from minirun.errors import USAGE, MinirunError
from minirun.spec.members import damaged as damaged_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

HEX = frozenset("0123456789abcdef")
NAME_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
NAME_REST = NAME_FIRST | frozenset("_.-")
LONGEST = 128


class Held:
    """A container's directory, locked until ``close``; also a context manager."""

    def __init__(self, directory: str, fd: int) -> None:
        self.directory = directory
        self.fd = fd

    def close(self) -> None:
        if self.fd >= 0:
            posix.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Making(Held):
    """A container in the making: id, name and directory are taken.  ``complete`` or ``abandon`` ends it."""

    def __init__(self, shelf: Shelf, container_id: str, directory: str, fd: int) -> None:
        super().__init__(directory, fd)
        self.shelf = shelf
        self.id = container_id
        self.name = ""

    def complete(self, container: Container) -> None:
        """From here on it exists."""
        self.shelf.save_status(container.id, Status())
        self.shelf.save(container)
        self.close()

    def abandon(self) -> None:
        """As if nothing had been attempted.  What was mounted or placed elsewhere is the caller's to undo before."""
        self.shelf.forget(self.id, self.name)
        self.close()


class Shelf:
    """``storage`` is the absolute path that --storage names."""

    def __init__(self, storage: str) -> None:
        self.storage = storage

    def directory(self, container_id: str) -> str:
        return f"{self.storage}/containers/{container_id}"

    def rootfs(self, container_id: str) -> str:
        """Where the container's overlay is mounted."""
        return f"{self.storage}/containers/{container_id}/rootfs"

    # making

    def new(self, name: str = "") -> Making:
        """Take an id and a name (a random one if none is given).  Raises MinirunError: the name is taken, or bad."""
        if name:
            check_name(name)
        making = self.make_directory()
        try:
            if name:
                self.take(name, making.id)
            else:
                name = self.take_any(making.id)
        except BaseException:
            making.abandon()
            raise
        making.name = name
        return making

    def make_directory(self) -> Making:
        while True:
            container_id = posix.urandom(32).hex()
            if container_id[:12].isdigit():  # as docker: a short id that looks like a number is no host's name
                continue
            directory = self.directory(container_id)
            try:
                posix.mkdir(directory, 0o700)
            except FileNotFoundError:
                self.prepare()
                continue
            except OSError as error:
                raise unusable(directory, error) from error
            fd = open_directory(directory)
            fcntl.flock(fd, fcntl.LOCK_EX)
            if same(directory, fd):  # else a sweep was quicker than the lock
                return Making(self, container_id, directory, fd)
            posix.close(fd)

    def prepare(self) -> None:
        """The directories above, for their owner only.  Who finds ``containers`` does not come here: it is the last."""
        for path in (self.storage, f"{self.storage}/names", f"{self.storage}/containers"):
            parts = path.split("/")
            for count in range(2, len(parts) + 1):
                try:
                    posix.mkdir("/".join(parts[:count]), 0o700 if count >= len(self.storage.split("/")) else 0o755)
                except FileExistsError:
                    continue
                except OSError as error:
                    raise unusable(path, error) from error

    def take(self, name: str, container_id: str) -> None:
        try:
            posix.symlink(container_id, f"{self.storage}/names/{name}")
            return
        except FileExistsError:
            pass
        owner = self.owner(name)
        if owner and not self.exists(owner) and self.discard(name, owner):
            return self.take(name, container_id)
        raise MinirunError(
            f"the name {name} is taken", reason=f"by container {owner[:12]}",
            hint="minirun container rm (or rename) that one, or choose another name",
        )  # fmt: skip

    def take_any(self, container_id: str) -> str:
        from minirun.container.names import candidates

        for name in candidates():
            try:
                self.take(name, container_id)
            except MinirunError:
                continue
            return name
        raise MinirunError("found no free name")

    def discard(self, name: str, owner: str) -> bool:
        """A name whose container is gone altogether (killed while it was removed)."""
        if posix.access(self.directory(owner), posix.F_OK):
            return False
        try:
            posix.unlink(f"{self.storage}/names/{name}")
        except FileNotFoundError:
            pass
        return True

    def owner(self, name: str) -> str:
        """The id that a name stands for; "" if there is no such name."""
        try:
            return posix.readlink(f"{self.storage}/names/{name}")
        except OSError:
            return ""

    # finding

    def exists(self, container_id: str) -> bool:
        return posix.access(f"{self.directory(container_id)}/record.json", posix.F_OK)

    def ids(self) -> list[str]:
        """Of all that are complete."""
        return [container_id for container_id in self.every_id() if self.exists(container_id)]

    def every_id(self) -> list[str]:
        """Those in the making, and leftovers, too."""
        try:
            names = posix.listdir(f"{self.storage}/containers")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise unusable(self.storage, error) from error
        return sorted(name for name in names if len(name) == 64 and HEX.issuperset(name))

    def find(self, word: str) -> Container:
        """By name, id, or a beginning of an id that fits one container only.  Raises MinirunError."""
        return self.load(self.id_of(word))

    def id_of(self, word: str) -> str:
        if len(word) == 64 and HEX.issuperset(word) and self.exists(word):
            return word
        if word and NAME_REST.issuperset(word):
            owner = self.owner(word)
            if owner and self.exists(owner):
                return owner
        fitting = [found for found in self.ids() if found.startswith(word)] if word and HEX.issuperset(word) else []
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise MinirunError(f"{word} is the beginning of several containers' ids", reason=f"{len(fitting)} of them")
        raise missing(word)

    def all(self, damaged: list[MinirunError] | None = None) -> Iterator[Container]:
        """Newest first.  One that cannot be read is an error (what is about to be taken away may be its), or listed."""
        found = []
        for container_id in self.ids():
            try:
                found.append(self.load(container_id))
            except MinirunError as error:
                if error.errno_name != "ENOENT":  # it went away meanwhile
                    if damaged is None:
                        raise
                    damaged.append(error)
        return iter(sorted(found, key=lambda container: container.created, reverse=True))

    def load(self, container_id: str) -> Container:
        path = f"{self.directory(container_id)}/record.json"
        return container_from(read(path, container_id), path)

    def status(self, container_id: str) -> Status:
        """As it was written down last; ``life.truth`` looks whether it still holds."""
        path = f"{self.directory(container_id)}/status.json"
        try:
            return status_from(read(path, container_id), path)
        except MinirunError as error:
            if error.errno_name == "ENOENT" and self.exists(container_id):  # a removal takes the record away first
                raise damaged_file(path, "it is not there", REMOVE) from error
            raise

    # changing

    def hold(self, container_id: str, *, wait: bool = True) -> Held:
        """The container's lock.  ``wait=False``: BlockingIOError if somebody else has it."""
        directory = self.directory(container_id)
        try:
            fd = open_directory(directory)
        except OSError as error:
            raise missing(container_id) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            posix.close(fd)
            if error.errno == EWOULDBLOCK:
                raise BlockingIOError(error.errno, error.strerror, directory) from error
            raise
        if not same(directory, fd):
            posix.close(fd)
            raise missing(container_id)
        return Held(directory, fd)

    def save(self, container: Container) -> None:
        replace(f"{self.directory(container.id)}/record.json", container.to_json())

    def save_status(self, container_id: str, status: Status) -> None:
        replace(f"{self.directory(container_id)}/status.json", status.to_json())

    def rename(self, container: Container, name: str) -> None:
        """To be called with the lock held."""
        check_name(name)
        old = container.name
        self.take(name, container.id)
        container.name = name
        self.save(container)
        if self.owner(old) == container.id:
            posix.unlink(f"{self.storage}/names/{old}")

    def forget(self, container_id: str, name: str) -> None:
        """Everything of it on the shelf; its mounts must be gone.  To be called with the lock held."""
        directory = self.directory(container_id)
        from minirun.images.tree import remove_tree

        try:
            posix.unlink(f"{directory}/record.json")
        except FileNotFoundError:
            pass
        remove_tree(directory, keep_top=True)
        if name and self.owner(name) == container_id:
            posix.unlink(f"{self.storage}/names/{name}")
        posix.rmdir(directory)


def check_name(name: str) -> str:
    """podman's rule; docker wants two letters at least."""
    if not name or name[0] not in NAME_FIRST or not NAME_REST.issuperset(name) or len(name) > LONGEST:
        raise MinirunError(
            f"invalid name {name[:64]!r}", reason="a letter or digit, then letters, digits, _ . and - are wanted",
            exit_code=USAGE,
        )  # fmt: skip
    return name

"""An ordinary user's verbs run as root of a user namespace (docs/rootless.md): this is how one is entered.

Nothing is executed again and nothing stays behind: a child is born in a new user and mount namespace, newuidmap(1)
writes its maps (himself as root, his ranges of /etc/subuid behind), this process joins the child, and the child ends.

All verbs must meet in one namespace as long as anything lives in it: only there are the mounts of running containers
seen, and only from there can their processes be entered.  So whoever is inside says so with a file of his pid and
start time in ROOT/.holders, and who comes next joins him.  A container whose monitor was killed holds the user
namespace too; its mounts are its own then, and a new mount namespace beside it will do.  A lock makes two that come
at once share.  Entries of processes that are gone are taken away by whoever meets them.
"""

from __future__ import annotations

import fcntl
import posix

from minirun.container.holders import alive as still, hold, holders
from minirun.errors import MinirunError
from minirun.linux.namespaces import NEWNS, NEWUSER, Born, enter as join, owner_of, parent_of, unshare
from minirun.runtime.status import alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from minirun.runtime.store import Store

OWN = "/proc/self/ns/user"
FLAGS = posix.O_RDONLY | posix.O_CLOEXEC


def enter(store: Store, cwd: str, warn: Callable[[str], None]) -> None:
    """From here on this process, which has one thread, is root of its user's namespace.

    Raises MinirunError.  ``warn`` is told what is less than could be.  ``holders.leave`` is for the end.
    """
    folder = prepare(store)
    lock = posix.open(folder, FLAGS | posix.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (meet(folder) or beside(store)):
            make(warn)
        hold(store.root)
    finally:
        posix.close(lock)
    for directory in (cwd, "/"):  # setns(2) has put us into the root directory
        try:
            posix.chdir(directory)
        except OSError:
            continue
        break


def prepare(store: Store) -> str:
    if not store.guard():
        store.prepare()
        store.guard()
    folder = f"{store.root}/.holders"
    try:
        posix.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    return folder


# holders


def meet(folder: str) -> bool:
    """Join the first of the holders that is alive."""
    for pid in holders(folder):
        with Opened(pid, "user", "mnt") as fds:
            # the files first, the start time after: what is open is the holder's and nobody's who came after him
            if len(fds) == 2 and still(pid, f"{folder}/{pid}") and ours(fds[0]):
                join(fds[0], NEWUSER)
                join(fds[1], NEWNS)
                become_root()
                return True
    return False


def beside(store: Store) -> bool:
    """Join the user namespace of a container without a monitor, with mounts of our own."""
    for pid in orphans(store):
        with Opened(pid, "user") as fds:
            fd = around(fds[0]) if fds else -1
            if fd < 0:
                continue
            try:
                join(fd, NEWUSER)
            finally:
                if fd not in fds:
                    posix.close(fd)
            unshare(NEWNS)
            become_root()
            return True
    return False


def orphans(store: Store) -> Iterator[int]:
    """The first processes of containers that live."""
    for container_id in store.ids():
        try:
            entry = store.open(container_id)
            try:
                state = entry.load()
            finally:
                entry.close()
        except MinirunError:
            continue  # gone meanwhile
        if alive(state):
            yield state.pid


def follow(store: Store, container_id: str) -> None:
    """For the runtime's own exec, kill and delete of a container that lives in such a namespace: go where it is.

    One whose configuration has a user namespace was made from out here; the runtime enters that by itself.
    """
    try:
        entry = store.open(container_id)
    except MinirunError:
        return  # the verb will say so
    try:
        state = entry.load()
        kinds = {each.get("type") for each in entry.config().get("linux", {}).get("namespaces", ())}
    except (MinirunError, OSError):
        return
    finally:
        entry.close()
    if "user" not in kinds and alive(state):
        with Opened(state.pid, "user") as fds:
            fd = around(fds[0]) if fds and not same(fds[0]) else -1
            if fd >= 0:
                join(fd, NEWUSER)
                become_root()


def same(fd: int) -> bool:
    """Is it the namespace that we are in?"""
    found, own = posix.fstat(fd), posix.stat(OWN)
    return (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)


class Opened:
    """As a context manager: the namespaces of a process, open; an empty list if there is no such process for us."""

    def __init__(self, pid: int, *names: str) -> None:
        self.paths = [f"/proc/{pid}/ns/{name}" for name in names]
        self.fds: list[int] = []

    def __enter__(self) -> list[int]:
        try:
            for path in self.paths:
                self.fds.append(posix.open(path, FLAGS))
        except OSError:
            self.__exit__()
        return self.fds

    def __exit__(self, *_: object) -> None:
        while self.fds:
            posix.close(self.fds.pop())


def ours(fd: int) -> bool:
    """Was this user namespace made by us, directly in the one we are in?"""
    try:
        parent = parent_of(fd)
    except OSError:  # EPERM: not below ours
        return False
    try:
        return same(parent) and owner_of(fd) == posix.geteuid()
    finally:
        posix.close(parent)


def around(fd: int) -> int:
    """The namespace at ``fd`` or one around it that is ours in this sense (a container may have one within); or -1."""
    at = fd
    while not ours(at):
        try:
            outer = parent_of(at)
        except OSError:
            outer = -1
        if at != fd:
            posix.close(at)
        if outer < 0:
            return -1
        at = outer
    return at


# a new one


def make(warn: Callable[[str], None]) -> None:
    from minirun.container import own_ids

    try:
        with Born(NEWUSER | NEWNS) as pid:
            own_ids.write(pid, warn)
            with Opened(pid, "user", "mnt") as fds:
                join(fds[0], NEWUSER)
                join(fds[1], NEWNS)
    except OSError as error:
        raise MinirunError(
            "cannot make a user namespace", reason=error.strerror or str(error), step=f"{error.filename}(2)",
            hint="minirun doctor says what stands in the way; docs/rootless.md what else there is",
        ) from error  # fmt: skip
    become_root()


def become_root() -> None:
    """Root inside, whoever that is outside; the groups stay: a volume or a device may be the group's."""
    posix.setresgid(0, 0, 0)
    posix.setresuid(0, 0, 0)

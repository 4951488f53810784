"""A container frozen for as long as somebody reads it (``commit``), and thawed also when that one is killed.

Who freezes holds an flock(2) on a file in the container's directory, which the kernel lets go when he is gone: a
frozen container whose file nobody holds was left so, and the next verb that looks thaws it (``thaw_left``).
``container pause`` takes the file away: what a person has frozen stays frozen.
"""

from __future__ import annotations

import fcntl
import posix

from minirun.errors import MinirunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.container.life import Place
    from minirun.container.record import Container
    from minirun.container.shelf import Shelf

NAME = "frozen-by"
FLAGS = posix.O_RDWR | posix.O_CLOEXEC | posix.O_NOFOLLOW


class Frozen:
    """``with Frozen(...)``: it does not run, or that it does is said.  Of two who want that one waits for the other."""

    def __init__(self, shelf: Shelf, place: Place, container: Container) -> None:
        self.path = path_of(shelf, container)
        self.place = place
        self.container = container
        self.fd = -1
        self.ours = False  # did we freeze it?

    def __enter__(self) -> Frozen:
        from minirun.container.life import pause
        from minirun.container.truth import frozen

        self.fd = take(self.path)
        try:
            if not frozen(self.place, self.container):
                pause(self.place, self.container, True)
                self.ours = True
        except MinirunError as error:
            self.place.warn(f"the container runs on while it is read: {error}")
        except BaseException:
            self.release()
            raise
        return self

    def __exit__(self, *why: object) -> None:
        from minirun.container.life import pause
        from minirun.container.truth import frozen

        try:
            if self.ours and is_still(self.path, self.fd) and frozen(self.place, self.container):
                pause(self.place, self.container, False)
        finally:
            self.release()

    def release(self) -> None:
        """The file goes first: whoever finds it held by nobody thaws."""
        if is_still(self.path, self.fd):
            posix.unlink(self.path)
        posix.close(self.fd)
        self.fd = -1


def path_of(shelf: Shelf, container: Container) -> str:
    return f"{shelf.directory(container.id)}/{NAME}"


def take(path: str) -> int:
    """The file, locked; one that was taken away while we waited for it is none."""
    while True:
        fd = posix.open(path, FLAGS | posix.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
        except BaseException:
            posix.close(fd)
            raise
        if is_still(path, fd):
            return fd
        posix.close(fd)


def is_still(path: str, fd: int) -> bool:
    try:
        found, ours = posix.lstat(path), posix.fstat(fd)
    except FileNotFoundError:
        return False
    return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)


def thaw_left(shelf: Shelf, place: Place, container: Container) -> bool:
    """It is frozen: was it left so?  Then it is thawed."""
    try:
        fd = posix.open(path_of(shelf, container), FLAGS)
    except OSError:  # nobody but a person froze it
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not is_still(path_of(shelf, container), fd):
            return False
        from minirun.container.life import pause

        pause(place, container, False)
        posix.unlink(path_of(shelf, container))
    except BlockingIOError:  # whoever it is is at work
        return False
    finally:
        posix.close(fd)
    return True


def keep(shelf: Shelf, container: Container) -> None:
    """A person freezes it."""
    try:
        posix.unlink(path_of(shelf, container))
    except FileNotFoundError:
        return

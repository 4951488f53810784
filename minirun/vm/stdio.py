"""A descriptor of the host's as one end of a stream: ``Source`` is read for the guest, ``Sink`` written for it.

Whoever gave us the descriptor may go on using its open file description (a shell its terminal), so O_NONBLOCK must not
be set on it.  A pipe, a fifo or a terminal is opened anew through /proc/self/fd, and is ours alone then.  What cannot
be (a socket, another user's terminal) is touched only when poll(2) says so, and written in pieces that fit then.
Regular files and devices like /dev/null have nothing to wait for: epoll(7) refuses them.
"""

from __future__ import annotations

import posix

from minirun.vm.channel import NULL, PIPE, SAME, WINDOW
from minirun.vm.loop import IN, OUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.vm.loop import Loop

LARGEST = 16 << 20  # of a document that comes with an order
PIECE = 4096  # PIPE_BUF: what poll(2) promises (pipe(7))
NULL_DEVICE = posix.makedev(1, 3)


def is_null(fd: int) -> bool:
    """No descriptor, or /dev/null: the guest has one of its own."""
    try:
        return fd < 0 or posix.fstat(fd).st_rdev == NULL_DEVICE
    except OSError:  # EBADF: the caller has closed it
        return True


def same_file(first: int, second: int) -> bool:
    one, other = posix.fstat(first), posix.fstat(second)
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


def modes_of(stdio: tuple[int, int, int]) -> list[int]:
    """Two outputs that are one file here are one pipe there: what is written keeps its order."""
    modes = [NULL if is_null(fd) else PIPE for fd in stdio]
    if modes[1] == modes[2] == PIPE and same_file(stdio[1], stdio[2]):
        modes[2] = SAME
    return modes


def contents(fd: int) -> bytes:
    """A memfd from its beginning, whoever else may have read it."""
    data = b""
    while len(data) < LARGEST and (part := posix.pread(fd, 65536, len(data))):
        data += part
    return data


def own(fd: int, flags: int) -> int:
    """A descriptor of our own for ``fd``; non-blocking if that can be without anybody else's noticing."""
    mode = posix.fstat(fd).st_mode & 0o170000
    if mode in (0o010000, 0o020000):
        try:
            return posix.open(f"/proc/self/fd/{fd}", flags | posix.O_NONBLOCK | posix.O_CLOEXEC | posix.O_NOCTTY)
        except OSError:  # EACCES: a terminal of before su(1); ENXIO: a fifo without its other end
            pass
    return posix.dup(fd)


def own_all(stdio: tuple[int, int, int]) -> tuple[int, int, int]:
    """``own`` for a program's three, while /proc is within reach: in its cell the VMM can only duplicate them."""
    flags = (posix.O_RDONLY, posix.O_WRONLY, posix.O_WRONLY)
    first, second, third = [-1 if is_null(fd) else own(fd, flag) for fd, flag in zip(stdio, flags, strict=True)]
    return first, second, third


class End:
    """What both have: a descriptor in the loop now and then."""

    def __init__(self, loop: Loop, fd: int, events: int) -> None:
        self.loop = loop
        self.fd = fd
        self.events = events
        self.waits = False
        self.always = False  # ready, says epoll(7) with EPERM
        self.piece = WINDOW if not posix.get_blocking(fd) else PIECE

    def wait(self, wanted: bool) -> None:
        """Be called when the descriptor is ready, or not any more; a hang-up alone would keep the loop busy."""
        if wanted == self.waits or self.always or self.fd < 0:
            return
        if not wanted:
            self.loop.remove(self.fd)
        else:
            try:
                self.loop.add(self.fd, self.ready, self.events)
            except PermissionError:
                self.always = True
                self.piece = WINDOW
                return
        self.waits = wanted

    def ready(self, events: int) -> None:
        raise NotImplementedError

    def close(self) -> None:
        if self.fd >= 0:
            self.wait(False)
            posix.close(self.fd)
            self.fd = -1


class Source(End):
    """Reads as far as there is credit; ``data`` takes it, ``end`` is called once."""

    def __init__(self, loop: Loop, fd: int, data: Callable[[bytes], None], end: Callable[[], None]) -> None:
        super().__init__(loop, fd, IN)
        self.data, self.end = data, end
        self.credit = 0
        self.granted = False  # the first WINDOW

    @property
    def outstanding(self) -> int:
        """What has been sent, and no credit has come back for."""
        return WINDOW - self.credit if self.granted else 0

    def grant(self, count: int) -> None:
        self.granted = True
        self.credit += count
        self.wait(self.fd >= 0 and self.credit > 0)
        while self.always and self.fd >= 0 and self.credit > 0:
            self.ready(IN)

    def ready(self, events: int) -> None:
        try:
            data = posix.read(self.fd, min(self.credit, WINDOW if self.always else self.piece))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # EIO: the terminal has hung up
            data = b""
        if not data:
            self.close()
            self.end()
            return
        self.credit -= len(data)
        self.data(data)
        self.wait(self.credit > 0)


class Sink(End):
    """Writes what it is given; ``passed`` gives the credit back, ``gone`` is called once when nobody reads."""

    def __init__(self, loop: Loop, fd: int, passed: Callable[[int], None], gone: Callable[[], None]) -> None:
        super().__init__(loop, fd, OUT)
        self.passed, self.gone = passed, gone
        self.held = bytearray()
        self.ended = False
        self.drained: Callable[[], None] | None = None

    def write(self, data: bytes) -> bool:
        """False if this is more than was ever granted."""
        if len(self.held) + len(data) > WINDOW:
            return False
        if self.fd < 0:
            self.passed(len(data))
            return True
        self.held += data
        self.wait(True)
        if self.always or self.piece == WINDOW:
            self.ready(OUT)
        return True

    def finish(self) -> None:
        """Close when all is written."""
        self.ended = True
        self.rest()

    @property
    def empty(self) -> bool:
        return self.fd < 0 or not self.held

    def ready(self, events: int) -> None:
        try:
            count = posix.write(self.fd, memoryview(self.held)[: self.piece])
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # EPIPE, EIO, ENOSPC: nobody will ever have it
            count = len(self.held)
            self.held.clear()
            self.close()
            self.gone()
        else:
            del self.held[:count]
        self.passed(count)
        self.rest()

    def rest(self) -> None:
        if self.held:
            return
        self.wait(False)
        if self.ended:
            self.close()
        if self.drained is not None:
            self.drained()

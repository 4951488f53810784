"""Addresses of sockets: bind(2), connect(2), sendto(2).  One of unix(7) is a path, and leads where a path leads."""

from __future__ import annotations

import posix

from minirun.vm.sandbox.calls import int32, served
from minirun.vm.sandbox.calls.paths import O_DIRECTORY, O_PATH, open_text, open_text_host
from minirun.vm.sandbox.calls.plain import AT_FDCWD
from minirun.vm.sandbox.numbers import NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.vm.sandbox.thread import Thread

ENAMETOOLONG, EINVAL = 36, 22
AF_UNIX, MOST, MOST_PATH = 1, 128, 107


class Held:
    """A descriptor of ours, for as long as a call lasts."""

    def __init__(self, host: int) -> None:
        self.host = host

    def __del__(self) -> None:
        posix.close(self.host)


def name(thread: Thread, at: int, size: int) -> tuple[int, int]:
    """The host's address of a copy, and its size."""
    if not at or not 0 < size <= MOST:
        return (thread.memory.host(at) if at else 0), size
    data = thread.memory.read(at, size)
    folder, _, last = data[2:].partition(b"\0")[0].rpartition(b"/")
    if data[:2] != AF_UNIX.to_bytes(2, "little") or not folder:
        return thread.room(data), size
    look = open_text(AT_FDCWD, folder, O_PATH | O_DIRECTORY)
    if look >= 0:
        posix.close(look)
        return thread.room(data), size
    host = open_text_host(thread, AT_FDCWD, folder, O_PATH | O_DIRECTORY)
    if host < 0:
        raise OSError(-host, "socket")
    thread.kept.append(Held(host))
    text = b"/proc/self/fd/%d/%s" % (host, last)
    if len(text) > MOST_PATH:
        raise OSError(ENAMETOOLONG, "socket")
    return thread.room(data[:2] + text + b"\0"), len(text) + 3


@served
def bind(thread: Thread, fd: int, address: int, size: int) -> int:
    host = thread.process.files.host(int32(fd))
    return thread.call_host(NUMBER["bind"], host, *name(thread, address, int32(size)))


@served
def connect(thread: Thread, fd: int, address: int, size: int) -> int:
    host = thread.process.files.host(int32(fd))
    return thread.call_host(NUMBER["connect"], host, *name(thread, address, int32(size)))


@served
def sendto(thread: Thread, fd: int, data: int, count: int, flags: int, address: int, size: int) -> int:
    host = thread.process.files.host(int32(fd))
    at = thread.memory.host(data) if data else 0
    where = name(thread, address, int32(size)) if address else (0, 0)
    return thread.call_host(NUMBER["sendto"], host, at, count & (1 << 63) - 1, int32(flags), *where)

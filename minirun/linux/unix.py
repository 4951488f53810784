"""unix(7): SOCK_SEQPACKET records over AF_UNIX, with a descriptor now and then (SCM_RIGHTS)."""

from __future__ import annotations

from minirun.linux import ffi, lib, oserror


def encode(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def pair() -> tuple[int, int]:
    """Two connected ends."""
    ends = ffi.new("int[2]")
    if lib.minirun_pair(ends) < 0:
        raise oserror("socketpair")
    return ends[0], ends[1]


def send(fd: int, data: bytes, passed: int = -1) -> None:
    """One record, and the descriptor ``passed`` with it.  Raises BrokenPipeError when nobody is there any more."""
    if lib.minirun_send(fd, data, len(data), passed) < 0:
        raise oserror()


def receive(fd: int, size: int) -> tuple[bytes, int]:
    """One record ("" at end of file) and the descriptor that came with it, or -1."""
    buffer = ffi.new("char[]", size)
    passed = ffi.new("int *")
    while True:
        count = lib.minirun_receive(fd, buffer, size, passed)
        if count >= 0:
            return ffi.buffer(buffer, count)[:], passed[0]
        error = oserror()
        # a signal's Python handler has run by now, and may have raised; or the other end was closed with our last word
        # unread, which is said once, before what it has sent
        if not isinstance(error, (InterruptedError, ConnectionResetError)):
            raise error


def send_fds(fd: int, passed: list[int]) -> None:
    """At most 16 descriptors.  Raises BrokenPipeError when nobody is there any more."""
    if lib.minirun_send_fds(fd, passed, len(passed)) < 0:
        raise oserror()


def receive_fds(fd: int) -> list[int]:
    """What ``send_fds`` sent; none at end of file.  Raises OSError EMFILE if there was no room for all of them."""
    room = ffi.new("int[16]")
    while True:
        count = lib.minirun_receive_fds(fd, room)
        if count >= 0:
            return list(room[0:count])
        error = oserror()
        if not isinstance(error, (InterruptedError, ConnectionResetError)):
            raise error


def take_fd(pidfd: int, number: int) -> int:
    """pidfd_getfd(2): a copy of another process's descriptor.  It wants the rights of a debugger (ptrace(2))."""
    fd: int = lib.minirun_pidfd_getfd(pidfd, number)
    if fd < 0:
        raise oserror(f"descriptor {number}")
    return fd


def listen(path: str) -> int:
    """A listening socket at ``path``."""
    fd: int = lib.minirun_listen(encode(path))
    if fd < 0:
        raise oserror(path)
    return fd


def accept(fd: int) -> int:
    """The next connection, non-blocking as the call itself: BlockingIOError if nobody is there."""
    connection: int = lib.minirun_accept(fd)
    if connection < 0:
        raise oserror("accept4")
    return connection


def connect(path: str, *, stream: bool = False) -> int:
    """Connected to ``path``."""
    fd: int = lib.minirun_connect(encode(path), stream)
    if fd < 0:
        raise oserror(path)
    return fd

"""What a path names, changed: chmod(2), chown(2), truncate(2), utimensat(2), statfs(2), setxattr(2) and their sisters.

As in ``paths``: the way is gone by openat2(2), and what is at its end is changed by its descriptor.
"""

from __future__ import annotations

import posix
from _struct import pack, unpack

from minirun.linux.kvm import ffi, lib
from minirun.vm.sandbox.calls import int32, int64, served
from minirun.vm.sandbox.calls.files import O_CLOEXEC
from minirun.vm.sandbox.calls.paths import AT_EMPTY_PATH, HERE, Target, empty, own_link
from minirun.vm.sandbox.calls.plain import KINDS, directory, pointer
from minirun.vm.sandbox.numbers import NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.vm.sandbox.thread import Thread

EINVAL, EISDIR, EOPNOTSUPP, EACCES = 22, 21, 95, 13
AT_SYMLINK_NOFOLLOW = 0x100
S_IFMT, S_IFREG, S_IFDIR = 0o170000, 0o100000, 0o040000
call = lib.host_call


def again(thread: Thread, fd: int, flags: int) -> int:
    """What we only look at, opened: a file or a directory, whose opening does nothing else.  Raises OSError."""
    kind = posix.fstat(fd).st_mode & S_IFMT
    if kind not in (S_IFREG, S_IFDIR) or thread.process.is_proc(fd):
        raise OSError(EOPNOTSUPP, "attributes")
    how = ffi.from_buffer(pack("<QQQ", flags | O_CLOEXEC | posix.O_NONBLOCK, 0, 0))
    at = int(ffi.cast("uintptr_t", how))
    made: int = call(NUMBER["openat2"], thread.process.proc, own_link(thread, fd), at, 24, 0, 0)
    if made < 0:
        raise OSError(-made, posix.strerror(-made))
    return made


@served
def truncate(thread: Thread, pathname: int, length: int) -> int:
    with Target(thread, HERE, pathname) as fd:
        kind = posix.fstat(fd).st_mode & S_IFMT
        if kind != S_IFREG:
            return -EISDIR if kind == S_IFDIR else -EINVAL
        host = again(thread, fd, posix.O_WRONLY)
        try:
            return int(call(NUMBER["ftruncate"], host, int64(length), 0, 0, 0, 0))
        finally:
            posix.close(host)


@served
def statfs(thread: Thread, pathname: int, buffer: int) -> int:
    room = pointer(thread, buffer)
    with Target(thread, HERE, pathname) as fd:
        return int(call(NUMBER["fstatfs"], fd, room, 0, 0, 0, 0))


@served
def fchmodat(thread: Thread, dirfd: int, pathname: int, mode: int) -> int:
    with Target(thread, dirfd, pathname) as fd:
        return int(call(NUMBER["fchmodat"], thread.process.proc, own_link(thread, fd), int32(mode), 0, 0, 0))


@served
def chmod(thread: Thread, pathname: int, mode: int) -> int:
    return fchmodat(thread, HERE, pathname, mode)  # type: ignore[no-any-return]


@served
def fchownat(thread: Thread, dirfd: int, pathname: int, owner: int, group: int, flags: int) -> int:
    number, nothing = NUMBER["fchownat"], empty(thread)
    if flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW):
        return -EINVAL
    if flags & AT_EMPTY_PATH and pathname and thread.memory.read(pathname, 1) == b"\0":
        return int(call(number, directory(thread, dirfd), nothing, int32(owner), int32(group), AT_EMPTY_PATH, 0))
    with Target(thread, dirfd, pathname, follow=not flags & AT_SYMLINK_NOFOLLOW) as fd:
        return int(call(number, fd, nothing, int32(owner), int32(group), AT_EMPTY_PATH, 0))


@served
def chown(thread: Thread, pathname: int, owner: int, group: int) -> int:
    return fchownat(thread, HERE, pathname, owner, group, 0)  # type: ignore[no-any-return]


@served
def lchown(thread: Thread, pathname: int, owner: int, group: int) -> int:
    return fchownat(thread, HERE, pathname, owner, group, AT_SYMLINK_NOFOLLOW)  # type: ignore[no-any-return]


def touched(thread: Thread, dirfd: int, pathname: int, times: int, flags: int = 0) -> int:
    """``times`` is the host's address of two struct timespec, or null."""
    number = NUMBER["utimensat"]
    if flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        return -EINVAL
    if not pathname:  # futimens(3)
        return int(call(number, directory(thread, dirfd), 0, times, int32(flags), 0, 0))
    if flags & AT_EMPTY_PATH and thread.memory.read(pathname, 1) == b"\0":
        return int(call(number, directory(thread, dirfd), empty(thread), times, AT_EMPTY_PATH, 0, 0))
    with Target(thread, dirfd, pathname, follow=not flags & AT_SYMLINK_NOFOLLOW) as fd:
        return int(call(number, thread.process.proc, own_link(thread, fd), times, 0, 0, 0))


@served
def utimensat(thread: Thread, dirfd: int, pathname: int, times: int, flags: int) -> int:
    return touched(thread, dirfd, pathname, thread.room(thread.memory.read(times, 32)) if times else 0, int32(flags))


@served
def futimesat(thread: Thread, dirfd: int, pathname: int, times: int) -> int:
    at = 0
    if times:
        one, one_more, two, two_more = unpack("<4q", thread.memory.read(times, 32))
        if not 0 <= one_more < 1_000_000 or not 0 <= two_more < 1_000_000:
            return -EINVAL
        at = thread.room(pack("<4q", one, one_more * 1000, two, two_more * 1000))
    return touched(thread, dirfd, pathname, at)


@served
def utimes(thread: Thread, pathname: int, times: int) -> int:
    return futimesat(thread, HERE, pathname, times)  # type: ignore[no-any-return]


@served
def utime(thread: Thread, pathname: int, times: int) -> int:
    at = 0
    if times:
        one, two = unpack("<2q", thread.memory.read(times, 16))
        at = thread.room(pack("<4q", one, 0, two, 0))
    return touched(thread, HERE, pathname, at)


def extended(name: str, kinds: str) -> None:
    """``name`` of a path, and its sister that follows no link; ``kinds`` as in ``plain``, of what follows the path."""

    def made(follow: bool) -> object:
        def function(thread: Thread, pathname: int, a: int, b: int, c: int, d: int) -> int:
            given = (a, b, c, d)[: len(kinds)]
            values = [KINDS[kind](thread, value) for kind, value in zip(kinds, given, strict=True)]
            with Target(thread, HERE, pathname, follow=follow) as fd:
                host = again(thread, fd, posix.O_RDONLY)
                try:
                    return int(call(NUMBER[f"f{name}"], host, *values, *(0,) * (5 - len(values))))
                finally:
                    posix.close(host)

        function.__name__ = name if follow else f"l{name}"
        return function

    served(made(True))
    served(made(False))


for _name, _kinds in {"setxattr": "spnn", "getxattr": "spn", "listxattr": "pn", "removexattr": "s"}.items():
    extended(_name, _kinds)

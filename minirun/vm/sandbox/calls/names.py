"""What is done to a path: mkdir(2), unlink(2), rename(2), chmod(2), chown(2), utimensat(2), setxattr(2), chdir(2) ...

A name is made or taken away in its directory, which is opened first; what a path leads to is opened first, too, and
the host's call is for that descriptor.  So nothing between looking and doing can lead elsewhere (paths.py).
"""

from __future__ import annotations

import posix
from _struct import pack, unpack

from minirun.linux.kvm import lib
from minirun.vm.sandbox.calls import ARGUMENTS, TABLE, int32, int64, served
from minirun.vm.sandbox.calls.paths import address, looked_up, open_host, parent
from minirun.vm.sandbox.calls.plain import AT_FDCWD, directory, path
from minirun.vm.sandbox.numbers import NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.vm.sandbox.thread import Thread

EINVAL, ENAMETOOLONG = 22, 36
AT_SYMLINK_NOFOLLOW, AT_SYMLINK_FOLLOW, AT_EMPTY_PATH, AT_REMOVEDIR = 0x100, 0x400, 0x1000, 0x200
O_WRONLY, O_NONBLOCK = 1, 0o4000
HERE = AT_FDCWD & 0xFFFFFFFF
call = lib.host_call


class Named:
    """A directory and a name in it, for one call."""

    def __init__(self, thread: Thread, dirfd: int, name: int) -> None:
        self.at = directory(thread, dirfd)
        self.folder, self.text = parent(thread, self.at, path(thread, name))
        self.room, self.name = address(self.text)

    def __enter__(self) -> Named:
        return self

    def __exit__(self, *_: object) -> None:
        if self.folder != self.at:
            posix.close(self.folder)


def named(name: str, number: str, count: int, *, at: bool, fixed: tuple[int, ...] = ()) -> None:
    """A call about one name: the host's ``number`` in its directory; ``count`` numbers follow, or ``fixed``."""

    def function(thread: Thread, *values: int) -> int:
        dirfd, values = (values[0], values[1:]) if at else (HERE, values)
        with Named(thread, dirfd, values[0]) as where:
            rest = [*[int64(value) for value in values[1:]], *fixed, 0, 0, 0, 0][:4]
            return int(call(NUMBER[number], where.folder, where.name, *rest))

    TABLE[name] = function
    ARGUMENTS[name] = count + 1 + at


named("mkdir", "mkdirat", 1, at=False)
named("mkdirat", "mkdirat", 1, at=True)
named("rmdir", "unlinkat", 0, at=False, fixed=(AT_REMOVEDIR,))
named("unlink", "unlinkat", 0, at=False)
named("unlinkat", "unlinkat", 1, at=True)
named("mknod", "mknodat", 2, at=False)
named("mknodat", "mknodat", 2, at=True)
named("lchown", "fchownat", 2, at=False, fixed=(AT_SYMLINK_NOFOLLOW,))


@served
def renameat2(thread: Thread, olddir: int, old: int, newdir: int, new: int, flags: int) -> int:
    with Named(thread, olddir, old) as one, Named(thread, newdir, new) as two:
        return int(call(NUMBER["renameat2"], one.folder, one.name, two.folder, two.name, int64(flags), 0))


@served
def renameat(thread: Thread, olddir: int, old: int, newdir: int, new: int) -> int:
    return renameat2(thread, olddir, old, newdir, new, 0)  # type: ignore[no-any-return]


@served
def rename(thread: Thread, old: int, new: int) -> int:
    return renameat2(thread, HERE, old, HERE, new, 0)  # type: ignore[no-any-return]


@served
def linkat(thread: Thread, olddir: int, old: int, newdir: int, new: int, flags: int) -> int:
    """What is followed, or has no name, goes by our own procfs, as linkat(2) says."""
    if flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH):
        return -EINVAL
    with Named(thread, newdir, new) as two:
        if not flags:
            with Named(thread, olddir, old) as one:
                return int(call(NUMBER["linkat"], one.folder, one.name, two.folder, two.name, 0, 0))
        name, at = path(thread, old), directory(thread, olddir)
        empty = flags & AT_EMPTY_PATH and thread.memory.read(old, 1) == b"\0"
        host = (
            posix.dup(at) if empty and at >= 0 else looked_up(thread, at, name, follow=bool(flags & AT_SYMLINK_FOLLOW))
        )
        if host < 0:
            return host
        room, where = address(f"self/fd/{host}".encode())
        done = int(call(NUMBER["linkat"], thread.process.proc, where, two.folder, two.name, AT_SYMLINK_FOLLOW, 0))
        del room
        posix.close(host)
        return done


@served
def link(thread: Thread, old: int, new: int) -> int:
    return linkat(thread, HERE, old, HERE, new, 0)  # type: ignore[no-any-return]


@served
def symlinkat(thread: Thread, text: int, dirfd: int, name: int) -> int:
    with Named(thread, dirfd, name) as where:
        return int(call(NUMBER["symlinkat"], path(thread, text), where.folder, where.name, 0, 0, 0))


@served
def symlink(thread: Thread, text: int, name: int) -> int:
    return symlinkat(thread, text, HERE, name)  # type: ignore[no-any-return]


# -- what a path leads to --------------------------------------------------------------------------------------------


def found(thread: Thread, dirfd: int, name: int, flags: int, use: Callable[[int], int]) -> int:
    """``use`` of the host's descriptor of it; ``flags``: AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH."""
    at = directory(thread, dirfd)
    if flags & AT_EMPTY_PATH and (not name or thread.memory.read(name, 1) == b"\0"):
        return use(at)
    host = looked_up(thread, at, path(thread, name), follow=not flags & AT_SYMLINK_NOFOLLOW)
    if host < 0:
        return host
    try:
        return use(host)
    finally:
        posix.close(host)


EMPTY_ROOM, EMPTY = address(b"")


@served
def fchmodat(thread: Thread, dirfd: int, name: int, mode: int) -> int:
    def use(host: int) -> int:
        room, where = address(f"self/fd/{host}".encode())
        done = int(call(NUMBER["fchmodat"], thread.process.proc, where, int64(mode), 0, 0, 0))
        del room
        return done

    return found(thread, dirfd, name, 0, use)


@served
def chmod(thread: Thread, name: int, mode: int) -> int:
    return fchmodat(thread, HERE, name, mode)  # type: ignore[no-any-return]


@served
def fchownat(thread: Thread, dirfd: int, name: int, user: int, group: int, flags: int) -> int:
    if flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        return -EINVAL
    ids = int32(user), int32(group)
    return found(
        thread, dirfd, name, flags, lambda host: int(call(NUMBER["fchownat"], host, EMPTY, *ids, AT_EMPTY_PATH, 0))
    )


@served
def chown(thread: Thread, name: int, user: int, group: int) -> int:
    return fchownat(thread, HERE, name, user, group, 0)  # type: ignore[no-any-return]


def timed(thread: Thread, dirfd: int, name: int, times: int, flags: int) -> int:
    """``times``: the host's address of two struct timespec, or 0."""
    return found(
        thread, dirfd, name, flags, lambda host: int(call(NUMBER["utimensat"], host, EMPTY, times, AT_EMPTY_PATH, 0, 0))
    )


@served
def utimensat(thread: Thread, dirfd: int, name: int, times: int, flags: int) -> int:
    at = thread.room(thread.memory.read(times, 32)) if times else 0
    if not name:  # futimens(3)
        return int(call(NUMBER["utimensat"], thread.process.files.host(int32(dirfd)), 0, at, int32(flags), 0, 0))
    if flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        return -EINVAL
    return timed(thread, dirfd, name, at, int(flags))


@served
def futimesat(thread: Thread, dirfd: int, name: int, times: int) -> int:
    at = 0
    if times:
        a, b, c, d = unpack("<4q", thread.memory.read(times, 32))
        if not 0 <= b < 1_000_000 or not 0 <= d < 1_000_000:
            return -EINVAL
        at = thread.room(pack("<4q", a, b * 1000, c, d * 1000))
    return timed(thread, dirfd, name, at, 0)


@served
def utimes(thread: Thread, name: int, times: int) -> int:
    return futimesat(thread, HERE, name, times)  # type: ignore[no-any-return]


@served
def utime(thread: Thread, name: int, times: int) -> int:
    seconds = unpack("<2q", thread.memory.read(times, 16)) if times else ()
    return timed(thread, HERE, name, thread.room(pack("<4q", seconds[0], 0, seconds[1], 0)) if seconds else 0, 0)


@served
def truncate(thread: Thread, name: int, size: int) -> int:
    if int64(size) < 0:
        return -EINVAL
    host = open_host(thread, AT_FDCWD, path(thread, name), O_WRONLY | O_NONBLOCK)
    if host < 0:
        return host
    done = int(call(NUMBER["ftruncate"], host, int64(size), 0, 0, 0, 0))
    posix.close(host)
    return done


@served
def statfs(thread: Thread, name: int, room: int) -> int:
    at = thread.memory.host(room, 120)
    return found(thread, HERE, name, 0, lambda host: int(call(NUMBER["fstatfs"], host, at, 0, 0, 0, 0)))


@served
def chdir(thread: Thread, name: int) -> int:
    return found(thread, HERE, name, 0, lambda host: int(call(NUMBER["fchdir"], host, 0, 0, 0, 0, 0)))


def by_own_name(name: str, kinds: str, *, follow: bool = True) -> None:
    """A call that takes only a path: that of the descriptor in /proc/self/fd, behind which it is what was found."""

    def function(thread: Thread, *values: int) -> int:
        rest = [path(thread, v) if k == "s" else thread.memory.host(v) if k == "p" and v else int64(v)
                for k, v in zip(kinds, values[1:], strict=True)]  # fmt: skip
        rest += [0] * (5 - len(rest))
        if follow:
            return found(thread, HERE, values[0], 0, lambda host: own(name, f"/proc/self/fd/{host}".encode(), rest))
        with Named(thread, HERE, values[0]) as where:
            folder = b"" if where.folder == where.at else f"/proc/self/fd/{where.folder}/".encode()
            return own(name, folder + where.text, rest)

    TABLE[name] = function
    ARGUMENTS[name] = 1 + len(kinds)


def own(name: str, text: bytes, rest: list[int]) -> int:
    room, where = address(text)
    done = int(call(NUMBER[name], where, *rest))
    del room
    return done


for _letter, _follow in (("", True), ("l", False)):
    by_own_name(f"{_letter}setxattr", "spnn", follow=_follow)
    by_own_name(f"{_letter}getxattr", "spn", follow=_follow)
    by_own_name(f"{_letter}listxattr", "pn", follow=_follow)
    by_own_name(f"{_letter}removexattr", "s", follow=_follow)
by_own_name("chroot", "")


@served
def inotify_add_watch(thread: Thread, fd: int, name: int, mask: int) -> int:
    host = thread.process.files.host(int32(fd))
    flags = AT_SYMLINK_NOFOLLOW if mask & 0x02000000 else 0  # IN_DONT_FOLLOW

    def use(looked: int) -> int:
        room, where = address(f"/proc/self/fd/{looked}".encode())
        done = int(call(NUMBER["inotify_add_watch"], host, where, mask & 0xFDFFFFFF, 0, 0, 0))
        del room
        return done

    return found(thread, HERE, name, flags, use)

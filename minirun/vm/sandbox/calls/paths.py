"""Names in directories: mkdir(2), unlink(2), rename(2), link(2), symlink(2), mknod(2), chdir(2), chroot(2).

The host's calls of these names would follow a magic link of procfs on their way, to what is ours: /proc/self/fd/N is a
descriptor of the VMM's.  So the way is gone first, by openat2(2), which refuses them; the host's call gets the
directory at its end and the last name.
"""

from __future__ import annotations

import posix

from minirun.linux.kvm import ffi, lib
from minirun.vm.sandbox.calls import int32, int64, served
from minirun.vm.sandbox.calls.files import O_NOFOLLOW, O_PATH, open_host
from minirun.vm.sandbox.calls.plain import AT_FDCWD, directory, path
from minirun.vm.sandbox.numbers import NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.vm.sandbox.thread import Thread

EFAULT = 14
HERE = AT_FDCWD & 0xFFFFFFFF
O_DIRECTORY = 0o200000
AT_REMOVEDIR, AT_SYMLINK_FOLLOW, AT_EMPTY_PATH = 0x200, 0x400, 0x1000
call = lib.host_call


class Place:
    """The directory at the end of a path, and the last name: what the host's calls take.  Closed behind ``with``."""

    def __init__(self, thread: Thread, dirfd: int, pathname: int) -> None:
        at, copy = directory(thread, dirfd), path(thread, pathname)
        if not copy:
            raise OSError(EFAULT, "path")
        text = bytes(ffi.string(ffi.cast("char *", copy)))
        head, name = split(text)
        self.opened = -1
        self.at, self.name = at, copy
        if head:
            self.opened = open_host(thread, at, thread.room(head), O_PATH | O_DIRECTORY)
            if self.opened < 0:
                raise OSError(-self.opened, posix.strerror(-self.opened))
            self.at, self.name = self.opened, thread.room(name)

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        if self.opened >= 0:
            posix.close(self.opened)


def split(text: bytes) -> tuple[bytes, bytes]:
    """b"/a/b/" -> (b"/a/", b"b/"): slashes at the end have a meaning for the host's call."""
    cut = text.rstrip(b"/").rfind(b"/") + 1
    head, name = text[:cut], text[cut:]
    return (b"/", b".") if name and not name.strip(b"/") else (head, name)


class Target:
    """What a path names, for looking only; -errno is raised.  Closed behind ``with``."""

    def __init__(self, thread: Thread, dirfd: int, pathname: int, *, follow: bool = True) -> None:
        at, copy = directory(thread, dirfd), path(thread, pathname)
        self.fd = open_host(thread, at, copy, O_PATH | (0 if follow else O_NOFOLLOW)) if copy else -EFAULT
        if self.fd < 0:
            raise OSError(-self.fd, posix.strerror(-self.fd))

    def __enter__(self) -> int:
        return self.fd

    def __exit__(self, *_: object) -> None:
        posix.close(self.fd)


def empty(thread: Thread) -> int:
    """The host's address of an empty string."""
    return thread.room(b"")


def own_link(thread: Thread, fd: int) -> int:
    """The host's address of the name, below our procfs, that leads to a descriptor of ours."""
    return thread.room(f"self/fd/{fd}".encode())


@served
def mkdirat(thread: Thread, dirfd: int, pathname: int, mode: int) -> int:
    with Place(thread, dirfd, pathname) as place:
        return int(call(NUMBER["mkdirat"], place.at, place.name, int32(mode), 0, 0, 0))


@served
def mkdir(thread: Thread, pathname: int, mode: int) -> int:
    return mkdirat(thread, HERE, pathname, mode)  # type: ignore[no-any-return]


@served
def mknodat(thread: Thread, dirfd: int, pathname: int, mode: int, device: int) -> int:
    with Place(thread, dirfd, pathname) as place:
        return int(call(NUMBER["mknodat"], place.at, place.name, int32(mode), int64(device), 0, 0))


@served
def mknod(thread: Thread, pathname: int, mode: int, device: int) -> int:
    return mknodat(thread, HERE, pathname, mode, device)  # type: ignore[no-any-return]


@served
def unlinkat(thread: Thread, dirfd: int, pathname: int, flags: int) -> int:
    with Place(thread, dirfd, pathname) as place:
        return int(call(NUMBER["unlinkat"], place.at, place.name, int32(flags), 0, 0, 0))


@served
def unlink(thread: Thread, pathname: int) -> int:
    return unlinkat(thread, HERE, pathname, 0)  # type: ignore[no-any-return]


@served
def rmdir(thread: Thread, pathname: int) -> int:
    return unlinkat(thread, HERE, pathname, AT_REMOVEDIR)  # type: ignore[no-any-return]


@served
def symlinkat(thread: Thread, target: int, dirfd: int, pathname: int) -> int:
    text = path(thread, target)
    with Place(thread, dirfd, pathname) as place:
        return int(call(NUMBER["symlinkat"], text, place.at, place.name, 0, 0, 0))


@served
def symlink(thread: Thread, target: int, pathname: int) -> int:
    return symlinkat(thread, target, HERE, pathname)  # type: ignore[no-any-return]


@served
def renameat2(thread: Thread, olddir: int, old: int, newdir: int, new: int, flags: int) -> int:
    with Place(thread, olddir, old) as one, Place(thread, newdir, new) as other:
        return int(call(NUMBER["renameat2"], one.at, one.name, other.at, other.name, int32(flags), 0))


@served
def renameat(thread: Thread, olddir: int, old: int, newdir: int, new: int) -> int:
    return renameat2(thread, olddir, old, newdir, new, 0)  # type: ignore[no-any-return]


@served
def rename(thread: Thread, old: int, new: int) -> int:
    return renameat2(thread, HERE, old, HERE, new, 0)  # type: ignore[no-any-return]


@served
def linkat(thread: Thread, olddir: int, old: int, newdir: int, new: int, flags: int) -> int:
    number = NUMBER["linkat"]
    with Place(thread, newdir, new) as other:
        if flags & AT_SYMLINK_FOLLOW:
            with Target(thread, olddir, old) as fd:
                name = own_link(thread, fd)
                return int(call(number, thread.process.proc, name, other.at, other.name, AT_SYMLINK_FOLLOW, 0))
        with Place(thread, olddir, old) as one:
            return int(call(number, one.at, one.name, other.at, other.name, int32(flags), 0))


@served
def link(thread: Thread, old: int, new: int) -> int:
    return linkat(thread, HERE, old, HERE, new, 0)  # type: ignore[no-any-return]


@served
def chdir(thread: Thread, pathname: int) -> int:
    with Target(thread, HERE, pathname) as fd:
        return int(call(NUMBER["fchdir"], fd, 0, 0, 0, 0, 0))


@served
def chroot(thread: Thread, pathname: int) -> int:
    """By way of the working directory, which is all that the host's call can be given without a path."""
    with Target(thread, HERE, pathname) as fd:
        before = here(thread)
        try:
            done: int = call(NUMBER["fchdir"], fd, 0, 0, 0, 0, 0)
            if done == 0:
                done = call(NUMBER["chroot"], thread.room(b"."), 0, 0, 0, 0, 0)
                call(NUMBER["fchdir"], before, 0, 0, 0, 0, 0)
        finally:
            posix.close(before)
        return done


def here(thread: Thread) -> int:
    """The working directory, for looking only."""
    fd = open_host(thread, AT_FDCWD, thread.room(b"."), O_PATH | O_DIRECTORY)
    if fd < 0:
        raise OSError(-fd, posix.strerror(-fd))
    return fd

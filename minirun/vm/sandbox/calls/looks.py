"""What a path names, looked at: stat(2), statx(2), access(2), readlink(2).

By a descriptor that is for looking only, so that no magic link of procfs is followed on the way.
"""

from __future__ import annotations

import posix

from minirun.linux.kvm import ffi, lib
from minirun.vm.sandbox.calls import int32, proc, served
from minirun.vm.sandbox.calls.paths import looked_up
from minirun.vm.sandbox.calls.plain import AT_FDCWD, directory, path
from minirun.vm.sandbox.numbers import NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.vm.sandbox.thread import Thread

EINVAL, ENOENT = 22, 2
AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW = 0x1000, 0x100
call = lib.host_call


@served
def newfstatat(thread: Thread, dirfd: int, pathname: int, buffer: int, flags: int) -> int:
    name, at, room = path(thread, pathname), directory(thread, dirfd), thread.memory.host(buffer, 144)
    if name and flags & AT_EMPTY_PATH and ffi.cast("char *", name)[0] == b"\0":
        return int(call(NUMBER["newfstatat"], at, name, room, AT_EMPTY_PATH, 0, 0))
    host = looked_up(thread, at, name, follow=not flags & AT_SYMLINK_NOFOLLOW)
    if host < 0:
        return host
    done: int = call(NUMBER["fstat"], host, room, 0, 0, 0, 0)
    posix.close(host)
    return done


@served
def stat(thread: Thread, pathname: int, buffer: int) -> int:
    return newfstatat(thread, AT_FDCWD & 0xFFFFFFFF, pathname, buffer, 0)  # type: ignore[no-any-return]


@served
def lstat(thread: Thread, pathname: int, buffer: int) -> int:
    return newfstatat(thread, AT_FDCWD & 0xFFFFFFFF, pathname, buffer, AT_SYMLINK_NOFOLLOW)  # type: ignore[no-any-return]


@served
def statx(thread: Thread, dirfd: int, pathname: int, flags: int, mask: int, buffer: int) -> int:
    name, at, room = path(thread, pathname), directory(thread, dirfd), thread.memory.host(buffer, 256)
    if name and flags & AT_EMPTY_PATH and ffi.cast("char *", name)[0] == b"\0":
        return int(call(NUMBER["statx"], at, name, flags, mask, room, 0))
    host = looked_up(thread, at, name, follow=not flags & AT_SYMLINK_NOFOLLOW)
    if host < 0:
        return host
    empty = ffi.new("char[]", b"")
    done: int = call(NUMBER["statx"], host, int(ffi.cast("uintptr_t", empty)), AT_EMPTY_PATH, mask, room, 0)
    posix.close(host)
    return done


@served
def faccessat2(thread: Thread, dirfd: int, pathname: int, mode: int, flags: int) -> int:
    host = looked_up(thread, directory(thread, dirfd), path(thread, pathname), follow=not flags & AT_SYMLINK_NOFOLLOW)
    if host < 0:
        return host
    empty = ffi.new("char[]", b"")
    flags |= AT_EMPTY_PATH
    done: int = call(NUMBER["faccessat2"], host, int(ffi.cast("uintptr_t", empty)), mode, flags, 0, 0)
    posix.close(host)
    return done


@served
def faccessat(thread: Thread, dirfd: int, pathname: int, mode: int) -> int:
    return faccessat2(thread, dirfd, pathname, mode, 0)  # type: ignore[no-any-return]


@served
def access(thread: Thread, pathname: int, mode: int) -> int:
    return faccessat2(thread, AT_FDCWD & 0xFFFFFFFF, pathname, mode, 0)  # type: ignore[no-any-return]


@served
def readlinkat(thread: Thread, dirfd: int, pathname: int, buffer: int, size: int) -> int:
    name, at = path(thread, pathname), directory(thread, dirfd)
    if int32(size) <= 0:
        return -EINVAL
    thread.link = b""
    host = looked_up(thread, at, name, follow=False)
    if host < 0:
        return host
    try:
        text = thread.link or (proc.link(thread, thread.process.where(host)) if thread.process.is_proc(host) else None)
        if text is not None:
            if not text:
                return -ENOENT
            thread.memory.write(buffer, text[: int32(size)])
            return min(len(text), int32(size))
        empty = ffi.new("char[]", b"")
        room = thread.memory.host(buffer)
        done: int = call(NUMBER["readlinkat"], host, int(ffi.cast("uintptr_t", empty)), room, size, 0, 0)
        return -EINVAL if done == -ENOENT else done
    finally:
        posix.close(host)


@served
def readlink(thread: Thread, pathname: int, buffer: int, size: int) -> int:
    return readlinkat(thread, AT_FDCWD & 0xFFFFFFFF, pathname, buffer, size)  # type: ignore[no-any-return]

"""Descriptors and what is opened: open(2), openat2(2), close(2), dup(2), fcntl(2), pipe(2), ioctl(2), readv(2) ..."""

from __future__ import annotations

import posix
from _struct import pack, unpack

from minirun.linux.kvm import ffi, lib
from minirun.vm.sandbox.calls import int32, int64, served
from minirun.vm.sandbox.calls.paths import open_host
from minirun.vm.sandbox.calls.plain import AT_FDCWD, IOCTLS, directory, path
from minirun.vm.sandbox.numbers import NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.vm.sandbox.thread import Thread

EBADF, EINVAL, ENOTTY, EFAULT = 9, 22, 25, 14
O_CLOEXEC, O_CREAT, O_TMPFILE = 0o2000000, 0o100, 0o20200000
call = lib.host_call


@served
def openat(thread: Thread, dirfd: int, pathname: int, flags: int, mode: int) -> int:
    flags &= 0xFFFFFFFF
    mode = mode & 0o7777 if flags & O_CREAT or flags & O_TMPFILE == O_TMPFILE else 0
    return opened(thread, directory(thread, dirfd), path(thread, pathname), flags, mode)


@served
def open_(thread: Thread, pathname: int, flags: int, mode: int) -> int:
    return openat(thread, AT_FDCWD & 0xFFFFFFFF, pathname, flags, mode)  # type: ignore[no-any-return]


@served
def creat(thread: Thread, pathname: int, mode: int) -> int:
    return open_(thread, pathname, 0o1101, mode)  # type: ignore[no-any-return]


@served
def openat2(thread: Thread, dirfd: int, pathname: int, how: int, size: int) -> int:
    if size < 24:
        return -EINVAL
    flags, mode, resolve = unpack("<QQQ", thread.memory.read(how, 24))
    return opened(thread, directory(thread, dirfd), path(thread, pathname), flags, mode, resolve)


def opened(thread: Thread, at: int, name: int, flags: int, mode: int, resolve: int = 0) -> int:
    """A new descriptor of the program's, or -errno."""
    if not name:
        return -EFAULT
    host = open_host(thread, at, name, flags, mode, resolve)
    return thread.process.files.add(host, closing=bool(flags & O_CLOEXEC))


@served
def close(thread: Thread, fd: int) -> int:
    return thread.process.files.close(int32(fd))


@served
def close_range(thread: Thread, first: int, last: int, flags: int) -> int:
    files = thread.process.files
    first, last = first & 0xFFFFFFFF, last & 0xFFFFFFFF
    for number in [number for number in list(files.table) if first <= number <= last]:
        if flags & 4:  # CLOSE_RANGE_CLOEXEC
            files.closing.add(number)
        else:
            files.close(number)
    return -EINVAL if first > last else 0


@served
def dup(thread: Thread, fd: int) -> int:
    return thread.process.files.duplicate(int32(fd), 0)


@served
def dup2(thread: Thread, fd: int, target: int) -> int:
    files = thread.process.files
    if int32(fd) == int32(target):
        files.host(int32(fd))
        return int32(fd)
    return files.replace(int32(fd), target & 0xFFFFFFFF) if target & 0xFFFFFFFF < files.most else -EBADF


@served
def dup3(thread: Thread, fd: int, target: int, flags: int) -> int:
    files = thread.process.files
    if int32(fd) == int32(target) or flags & ~O_CLOEXEC:
        return -EINVAL
    if target & 0xFFFFFFFF >= files.most:
        return -EBADF
    return files.replace(int32(fd), target & 0xFFFFFFFF, closing=bool(flags))


@served
def fcntl(thread: Thread, fd: int, command: int, argument: int) -> int:
    files = thread.process.files
    number, host = int32(fd), files.host(int32(fd))
    if command in (0, 1030):  # F_DUPFD, F_DUPFD_CLOEXEC
        lowest = int32(argument)
        return files.duplicate(number, lowest, closing=command == 1030) if 0 <= lowest < files.most else -EINVAL
    if command == 1:  # F_GETFD
        return int(number in files.closing)
    if command == 2:  # F_SETFD
        (files.closing.add if argument & 1 else files.closing.discard)(number)
        return 0
    if command in (5, 6, 7, 36, 37, 38):  # record locks: a structure
        argument = thread.memory.host(argument, 32)
    elif command not in (3, 4, 1031, 1032, 1033, 1034):  # flags, pipe sizes, seals
        return -EINVAL
    return thread.call_host(NUMBER["fcntl"], host, command, int64(argument))


@served
def pipe2(thread: Thread, ends: int, flags: int) -> int:
    reader, writer = posix.pipe2(flags & (O_CLOEXEC | 0o4000 | 0o40000) | O_CLOEXEC)
    files, closing = thread.process.files, bool(flags & O_CLOEXEC)
    numbers = files.add(reader, closing=closing), files.add(writer, closing=closing)
    if min(numbers) < 0:
        files.close(max(numbers))
        return min(numbers)
    thread.memory.write(ends, pack("<ii", *numbers))
    return 0


@served
def pipe(thread: Thread, ends: int) -> int:
    return pipe2(thread, ends, 0)  # type: ignore[no-any-return]


@served
def ioctl(thread: Thread, fd: int, request: int, argument: int) -> int:
    """Terminals, FIONREAD and FIONBIO; a device of the host's has many more, and none of them is for a program here."""
    host, request = thread.process.files.host(int32(fd)), request & 0xFFFFFFFF
    if request in (0x5450, 0x5451):  # FIONCLEX, FIOCLEX
        closing = thread.process.files.closing
        (closing.add if request == 0x5451 else closing.discard)(int32(fd))
        return 0
    if request not in IOCTLS:
        return -ENOTTY
    value = thread.memory.host(argument, 64) if IOCTLS[request] else int64(argument)
    done: int = call(NUMBER["ioctl"], host, request, value, 0, 0, 0)
    return done


def vectors(thread: Thread, at: int, count: int) -> int:
    """A copy of struct iovec[] with our addresses; it lives until the thread's next call."""
    if not 0 <= count <= 1024:
        raise OSError(EINVAL, "iovcnt")
    words = unpack(f"<{2 * count}Q", thread.memory.read(at, 16 * count))
    room = ffi.new("uint64_t[]", 2 * count + 1)
    for index in range(count):
        size = words[2 * index + 1]
        room[2 * index] = thread.memory.host(words[2 * index], size) if size else 0
        room[2 * index + 1] = size
    thread.kept.append(room)
    return int(ffi.cast("uintptr_t", room))


def vectored(name: str) -> None:
    def function(thread: Thread, fd: int, at: int, count: int, low: int, high: int, flags: int) -> int:
        host = thread.process.files.host(int32(fd))
        iov = vectors(thread, at, int32(count))
        return thread.call_host(NUMBER[name], host, iov, int32(count), int64(low), int64(high), int32(flags))

    function.__name__ = name
    served(function)


for _name in ("readv", "writev", "preadv", "pwritev", "preadv2", "pwritev2"):
    vectored(_name)


@served
def memfd_create(thread: Thread, name: int, flags: int) -> int:
    host = call(NUMBER["memfd_create"], path(thread, name), flags | 1, 0, 0, 0, 0)
    return thread.process.files.add(host, closing=bool(flags & 1))

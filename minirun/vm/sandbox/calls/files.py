"""Descriptors and what is opened: open(2), openat2(2), close(2), dup(2), fcntl(2), pipe(2), ioctl(2), readv(2) ..."""

from __future__ import annotations

import posix
from _struct import pack, unpack

from minirun.linux.kvm import ffi, lib
from minirun.vm.sandbox.calls import int32, int64, served
from minirun.vm.sandbox.calls.plain import AT_FDCWD, directory, path
from minirun.vm.sandbox.numbers import NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.vm.sandbox.thread import Thread

EBADF, EACCES, EINVAL, ENOTTY, EFAULT, ENOENT = 9, 13, 22, 25, 14, 2
O_CLOEXEC, O_PATH, O_NOFOLLOW, O_CREAT, O_TMPFILE, O_ACCMODE = 0o2000000, 0o10000000, 0o400000, 0o100, 0o20200000, 3
NO_MAGICLINKS = 2
ELOOP, MOST_LINKS = 40, 40
PROC_SUPER_MAGIC = 0x9FA0
# What there is to read in procfs: facts about the machine, and of a process what says nothing of our own memory.
OF_PROCESSES = {"stat", "status", "comm", "cgroup", "mountinfo", "mounts", "loginuid", "limits", "oom_score_adj"}
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


def open_host(thread: Thread, at: int, name: int, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """The host's descriptor.  No magic link of procfs is followed: they would lead to what is ours."""
    host = open_plainly(at, name, flags, mode, resolve)
    if host in (-ELOOP, -ENOENT) and not flags & O_NOFOLLOW:
        return magic(thread, at, bytes(ffi.string(ffi.cast("char *", name))), flags)
    if host >= 0 and not flags & O_PATH and thread.process.is_proc(host):
        return of_proc(thread, host, flags)
    return host


def open_plainly(at: int, name: int, flags: int, mode: int = 0, resolve: int = 0) -> int:
    how = ffi.from_buffer(pack("<QQQ", (flags & 0o37777777) | O_CLOEXEC, mode, resolve | NO_MAGICLINKS))
    host: int = call(NUMBER["openat2"], at, name, int(ffi.cast("uintptr_t", how)), 24, 0, 0)
    return host


def magic(thread: Thread, at: int, name: bytes, flags: int) -> int:
    """The end of a path is such a link, or leads to one: /dev/stdin, /proc/self/exe.  They mean the program's own."""
    for _ in range(MOST_LINKS):
        room = ffi.new("char[]", name)
        look = open_plainly(at, int(ffi.cast("uintptr_t", room)), O_PATH | O_NOFOLLOW)
        if look < 0:
            return of_number(thread, at, name, flags, look)
        try:
            if thread.process.is_proc(look) and (where := thread.process.where(look)).rpartition("/")[2] != "self":
                return own_magic(thread, where, flags)
            text = posix.readlink("", dir_fd=look).encode("utf-8", "surrogateescape")
        except OSError:
            return -ELOOP
        finally:
            posix.close(look)
        name = text if text.startswith(b"/") else name[: name.rfind(b"/") + 1] + text
    return -ELOOP


def of_number(thread: Thread, at: int, name: bytes, flags: int, error: int) -> int:
    """/proc/self/fd/N of a number that the program has, and we have not."""
    folder, _, number = name.rpartition(b"/")
    if not number.isdigit() or not folder.endswith(b"/fd"):
        return error
    look = open_plainly(at, thread.room(folder + b"\0"), O_PATH)
    if look < 0:
        return look
    where = thread.process.where(look) if thread.process.is_proc(look) else ""
    posix.close(look)
    return own_magic(thread, f"{where}/{number.decode()}", flags) if where else error


def own_magic(thread: Thread, where: str, flags: int) -> int:
    """What /proc/PID/fd/N, exe and cwd lead to, for the program itself; nobody else's."""
    words = where.split("/")
    if not words[2:3] or words[2] != str(posix.getpid()):
        return -EACCES
    if words[-2] == "fd" and words[-1].isdigit():
        host = thread.process.files.host(int(words[-1]))
        text = f"self/fd/{host}".encode()
        how = ffi.from_buffer(pack("<QQQ", (flags & 0o37777777) | O_CLOEXEC, 0, 0))
        return int(
            call(
                NUMBER["openat2"],
                thread.process.proc,
                thread.room(text + b"\0"),
                int(ffi.cast("uintptr_t", how)),
                24,
                0,
                0,
            )
        )
    if words[-1] == "exe":
        return open_plainly(AT_FDCWD, thread.room(thread.process.exe + b"\0"), flags)
    return open_plainly(AT_FDCWD, thread.room(b".\0"), flags) if words[-1] == "cwd" else -EACCES


def of_proc(thread: Thread, host: int, flags: int) -> int:
    """Something below /proc: ours to refuse, or to answer in the kernel's place."""
    words = thread.process.where(host).split("/")  # as seen by the kernel: /proc/12/task/12/stat
    at = next((index for index, word in enumerate(words) if word.isdigit()), -1)
    if at < 0:
        return host  # the machine's: meminfo, stat, sys …: the mounts of config.json say what may be written there
    rest = words[at + 1 :]
    if rest[:1] == ["task"]:
        rest = rest[2:]
    if not rest or rest == [""] or (rest[0] in OF_PROCESSES and flags & O_ACCMODE == 0) or rest[0] == "net":
        return host
    posix.close(host)
    own = int(words[at]) == posix.getpid()
    text = thread.process.own_file(rest[0]) if own and len(rest) == 1 else None
    if text is None or flags & O_ACCMODE:
        return -EACCES
    made = posix.memfd_create(rest[0], 1)
    posix.write(made, text)
    posix.lseek(made, 0, 0)
    return made


@served
def close(thread: Thread, fd: int) -> int:
    return thread.process.files.close(int32(fd))


@served
def close_range(thread: Thread, first: int, last: int, flags: int) -> int:
    files = thread.process.files
    first, last = first & 0xFFFFFFFF, last & 0xFFFFFFFF
    for number in [number for number in files.table if first <= number <= last]:
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
        return files.duplicate(number, int(argument & 0xFFFFFFFF), closing=command == 1030)
    if command == 1:  # F_GETFD
        return int(number in files.closing)
    if command == 2:  # F_SETFD
        (files.closing.add if argument & 1 else files.closing.discard)(number)
        return 0
    if command in (5, 6, 7, 36, 37, 38):  # record locks: a structure
        argument = thread.memory.host(argument, 32)
    elif command not in (3, 4, 1031, 1032, 1033, 1034):  # flags, pipe sizes, seals
        return -EINVAL
    done: int = call(NUMBER["fcntl"], host, command, int64(argument), 0, 0, 0)
    return done


@served
def pipe2(thread: Thread, ends: int, flags: int) -> int:
    reader, writer = posix.pipe2(flags & (O_CLOEXEC | 0o4000 | 0o40000) | O_CLOEXEC)
    files, closing = thread.process.files, bool(flags & O_CLOEXEC)
    numbers = files.add(reader, closing=closing), files.add(writer, closing=closing)
    thread.memory.write(ends, pack("<ii", *numbers))
    return 0


@served
def pipe(thread: Thread, ends: int) -> int:
    return pipe2(thread, ends, 0)  # type: ignore[no-any-return]


IOCTLS = {  # request -> does it take a pointer?
    0x5401: True, 0x5402: True, 0x5403: True, 0x5404: True, 0x5405: True, 0x5409: False, 0x540A: False,
    0x540B: False, 0x540E: False, 0x540F: True, 0x5410: True, 0x5411: True, 0x5413: True, 0x5414: True,
    0x5421: True, 0x541B: True, 0x5422: False, 0x5429: True, 0x80045430: True, 0x40045431: True, 0x540D: True,
}  # fmt: skip


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
        done: int = call(NUMBER[name], host, iov, int32(count), int64(low), int64(high), int32(flags))
        return done

    function.__name__ = name
    served(function)


for _name in ("readv", "writev", "preadv", "pwritev", "preadv2", "pwritev2"):
    vectored(_name)


@served
def memfd_create(thread: Thread, name: int, flags: int) -> int:
    host = call(NUMBER["memfd_create"], path(thread, name), flags | 1, 0, 0, 0, 0)
    return thread.process.files.add(host, closing=bool(flags & 1))

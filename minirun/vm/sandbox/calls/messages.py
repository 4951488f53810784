"""sendmsg(2), recvmsg(2) and their sisters for many: data, an address, and descriptors that are passed (unix(7))."""

from __future__ import annotations

from _struct import pack, pack_into, unpack, unpack_from

from minirun.linux.kvm import ffi
from minirun.vm.sandbox.calls import addresses, int32, served
from minirun.vm.sandbox.calls.files import vectors
from minirun.vm.sandbox.numbers import NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.vm.sandbox.thread import Thread

EINVAL, ENOBUFS, EMFILE = 22, 105, 24
SOL_SOCKET, SCM_RIGHTS, SCM_PIDFD = 1, 1, 4
MSG_CTRUNC, MSG_DONTWAIT, MSG_WAITFORONE, MSG_CMSG_CLOEXEC = 8, 0x40, 0x10000, 0x40000000
HEADER, MANY = 56, 64  # struct msghdr, struct mmsghdr
MOST_CONTROL, MOST_MESSAGES = 1 << 17, 1024


def header(thread: Thread, given: bytes, control: Any, size: int, *, sent: bool = False) -> int:
    """Of a copy of struct msghdr another with our addresses; ``control`` and its ``size`` in place of its own.

    The program's is read once: another thread may change it, and what was measured must be what the host gets.
    """
    memory = thread.memory
    name, name_size, iov, count, _, _, flags = unpack("<QIxxxxQQQQI", given[:52])
    where = int(ffi.cast("uintptr_t", control)) if size else 0
    name_at = memory.host(name, max(int32(name_size), 0)) if name else 0
    if sent and name:
        name_at, name_size = addresses.name(thread, name, int32(name_size))
    return thread.room(
        pack("<QIxxxxQQQQIxxxx", name_at, name_size & 0xFFFFFFFF,
             vectors(thread, iov, int32(count)), count, where, size, flags)
    )  # fmt: skip


def given_control(given: bytes) -> tuple[int, int]:
    """Where it is in the program's memory, and its size."""
    where, size = unpack("<QQ", given[32:48])
    if size > MOST_CONTROL:
        raise OSError(ENOBUFS, "msg_controllen")
    return (where, size) if where else (0, 0)


def parts(control: Any, size: int) -> list[tuple[int, int, int, int]]:
    """(where its data is, its size, level, kind) of each (cmsg(3))."""
    found, at = [], 0
    while at + 16 <= size:
        length, level, kind = unpack_from("<Qii", control, at)
        if length < 16 or at + length > size:
            break
        found.append((at + 16, length - 16, level, kind))
        at += (length + 7) & -8
    return found


@served
def sendmsg(thread: Thread, fd: int, at: int, flags: int) -> int:
    files = thread.process.files
    host = files.host(int32(fd))
    given = thread.memory.read(at, HEADER)
    where, size = given_control(given)
    control = ffi.new("char[]", max(size, 1))
    if size:
        view = ffi.buffer(control, size)
        view[:] = thread.memory.read(where, size)
        for start, length, level, kind in parts(view, size):
            if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
                count = length // 4
                numbers = unpack_from(f"<{count}i", view, start)
                pack_into(f"<{count}i", view, start, *[files.host(number) for number in numbers])
    return thread.call_host(NUMBER["sendmsg"], host, header(thread, given, control, size, sent=True), int32(flags))


@served
def recvmsg(thread: Thread, fd: int, at: int, flags: int) -> int:
    host, flags = thread.process.files.host(int32(fd)), int32(flags)
    given = thread.memory.read(at, HEADER)
    where, size = given_control(given)
    control = ffi.new("char[]", max(size, 1))
    copy = header(thread, given, control, size)
    done = thread.call_host(NUMBER["recvmsg"], host, copy, flags | MSG_CMSG_CLOEXEC)
    if done < 0:
        return done
    memory = thread.memory
    _, name_size, _, _, _, used, result = unpack("<QIxxxxQQQQI", bytes(ffi.buffer(ffi.cast("char *", copy), 52)))
    view = ffi.buffer(control, max(size, 1))
    for start, length, level, kind in parts(view, min(used, size)):
        if level == SOL_SOCKET and kind in (SCM_RIGHTS, SCM_PIDFD):
            result |= received(thread, view, start, length, closing=bool(flags & MSG_CMSG_CLOEXEC) or kind == SCM_PIDFD)
    memory.write(at + 8, pack("<I", name_size))
    if used and where:
        memory.write(where, bytes(view[: min(used, size)]))
    memory.write(at + 40, pack("<QI", used, result & ~MSG_CMSG_CLOEXEC | flags & MSG_CMSG_CLOEXEC))
    return done


def received(thread: Thread, view: Any, start: int, length: int, *, closing: bool) -> int:
    """The host's descriptors become the program's; MSG_CTRUNC if there is no room for them."""
    files, short = thread.process.files, 0
    for at in range(start, start + length // 4 * 4, 4):
        (host,) = unpack_from("<i", view, at)
        number = files.add(host, closing=closing)
        if number < 0:
            short = MSG_CTRUNC
        pack_into("<i", view, at, max(number, -1))
    return short


@served
def sendmmsg(thread: Thread, fd: int, at: int, count: int, flags: int) -> int:
    return many(thread, sendmsg, fd, at, count, flags)


@served
def recvmmsg(thread: Thread, fd: int, at: int, count: int, flags: int, timeout: int) -> int:
    """The timeout is looked at by nobody between messages: recvmmsg(2) says of itself that it does not work well."""
    return many(thread, recvmsg, fd, at, count, flags & ~MSG_WAITFORONE, bool(flags & MSG_WAITFORONE))


def many(thread: Thread, one: Any, fd: int, at: int, count: int, flags: int, then_no_more: bool = False) -> int:
    count = min(count & 0xFFFFFFFF, MOST_MESSAGES)
    for index in range(count):
        try:
            done = one(thread, fd, at + index * MANY, flags | (MSG_DONTWAIT if then_no_more and index else 0))
        except OSError as error:
            done = -(error.errno or EINVAL)
        if done < 0:
            return index or int(done)
        thread.memory.write(at + index * MANY + HEADER, pack("<I", done))
    return count

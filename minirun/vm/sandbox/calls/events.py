"""poll(2), select(2), epoll(7), eventfd(2), timerfd_create(2), inotify(7)."""

from __future__ import annotations

from _struct import pack, pack_into, unpack, unpack_from

from minirun.linux.kvm import ffi, lib
from minirun.vm.sandbox.calls import int32, int64, served
from minirun.vm.sandbox.memory import Fault
from minirun.vm.sandbox.numbers import NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.vm.sandbox.thread import Thread

EINVAL, EBADF, EINTR = 22, 9, 4
POLLNVAL = 0x20
CLOEXEC = 0o2000000
AGAIN = -lib.GUEST_AGAIN
call = lib.host_call


def polled(thread: Thread, at: int, count: int, timeout: int, mask: int) -> int:
    """ppoll(2) on the host's descriptors; ``timeout`` and ``mask`` are the host's pointers."""
    files = thread.process.files
    if not 0 <= count <= files.most:
        return -EINVAL
    rows = thread.memory.read(at, 8 * count) if count else b""
    room = ffi.new("char[]", max(8 * count, 8))
    view = ffi.buffer(room)
    missing = []
    for index in range(count):
        fd, events, _ = unpack_from("<ihh", rows, 8 * index)
        host = files.table.get(fd, -1) if fd >= 0 else -1
        if fd >= 0 and host < 0:
            missing.append(index)
        pack_into("<ihh", view, 8 * index, host, events, 0)
    wait = thread.room(bytes(16)) if missing else timeout
    done = int(
        thread.call_host(NUMBER["ppoll"], int(ffi.cast("uintptr_t", room)), count, wait, mask, 8 if mask else 0, 0)
    )
    if done < 0:
        return done
    answer = bytearray(rows)
    for index in range(count):
        (found,) = unpack_from("<h", view, 8 * index + 6)
        pack_into("<h", answer, 8 * index + 6, POLLNVAL if index in missing else found)
    if count:
        thread.memory.write(at, bytes(answer))
    return done + len(missing)


@served
def poll(thread: Thread, at: int, count: int, timeout: int) -> int:
    milliseconds = int32(timeout)
    span = 0 if milliseconds < 0 else thread.room(pack("<qq", milliseconds // 1000, milliseconds % 1000 * 1_000_000))
    return polled(thread, at, int(count), span, 0)


@served
def ppoll(thread: Thread, at: int, count: int, timeout: int, mask: int, size: int) -> int:
    span = thread.room(thread.memory.read(timeout, 16)) if timeout else 0
    blocked = thread.room(thread.memory.read(mask, 8)) if mask else 0
    done = polled(thread, at, int(count), span, blocked)
    if span and done != AGAIN:
        left(thread, timeout, span)
    return done


def left(thread: Thread, timeout: int, span: int, divide: int = 1) -> None:
    """What is left of the time: the kernel writes it back, where it can."""
    seconds, rest = unpack("<qq", bytes(ffi.buffer(ffi.cast("char *", span), 16)))
    try:
        thread.memory.write(timeout, pack("<qq", seconds, rest // divide))
    except Fault:
        pass


def selected(thread: Thread, count: int, sets: tuple[int, int, int], span: int, mask: int) -> int:
    """By ppoll: the sets' bits are the program's numbers."""
    memory, files = thread.memory, thread.process.files
    if not 0 <= count <= 1024:
        return -EINVAL
    size = (count + 63) // 64 * 8
    given = [int.from_bytes(memory.read(at, size), "little") if at and size else 0 for at in sets]
    wanted = [number for number in range(count) if any(bits >> number & 1 for bits in given)]
    if any(number not in files.table for number in wanted):
        return -EBADF
    room = ffi.new("char[]", max(8 * len(wanted), 8))
    view = ffi.buffer(room)
    for index, number in enumerate(wanted):
        events = (
            (1 if given[0] >> number & 1 else 0)
            | (4 if given[1] >> number & 1 else 0)
            | (2 if given[2] >> number & 1 else 0)
        )
        pack_into("<ihh", view, 8 * index, files.table.get(number, -1), events, 0)
    done = int(
        thread.call_host(
            NUMBER["ppoll"], int(ffi.cast("uintptr_t", room)), len(wanted), span, mask, 8 if mask else 0, 0
        )
    )
    if done < 0:
        return done
    found = [0, 0, 0]
    for index, number in enumerate(wanted):
        (events,) = unpack_from("<h", view, 8 * index + 6)
        for which, bits in enumerate((0x19, 0x0C, 0x02)):  # IN HUP ERR; OUT ERR; PRI
            if events & bits and given[which] >> number & 1:
                found[which] |= 1 << number
    for at, bits in zip(sets, found, strict=True):
        if at and size:
            memory.write(at, bits.to_bytes(size, "little"))
    return sum(bits.bit_count() for bits in found)


@served
def select(thread: Thread, count: int, read: int, write: int, other: int, timeout: int) -> int:
    span = 0
    if timeout:
        seconds, micro = unpack("<qq", thread.memory.read(timeout, 16))
        span = thread.room(pack("<qq", seconds, micro * 1000))
    done = selected(thread, int32(count), (read, write, other), span, 0)
    if span and done != AGAIN:
        left(thread, timeout, span, 1000)
    return done


@served
def pselect6(thread: Thread, count: int, read: int, write: int, other: int, timeout: int, masks: int) -> int:
    span = thread.room(thread.memory.read(timeout, 16)) if timeout else 0
    mask = 0
    if masks:
        at, _ = unpack("<QQ", thread.memory.read(masks, 16))
        mask = thread.room(thread.memory.read(at, 8)) if at else 0
    done = selected(thread, int32(count), (read, write, other), span, mask)
    if span and done != AGAIN:
        left(thread, timeout, span)
    return done


@served
def epoll_create1(thread: Thread, flags: int) -> int:
    return thread.process.files.add(
        call(NUMBER["epoll_create1"], CLOEXEC, 0, 0, 0, 0, 0), closing=bool(flags & CLOEXEC)
    )


@served
def epoll_create(thread: Thread, size: int) -> int:
    return epoll_create1(thread, 0) if int32(size) > 0 else -EINVAL


@served
def epoll_ctl(thread: Thread, epoll: int, operation: int, fd: int, event: int) -> int:
    files = thread.process.files
    at = thread.memory.host(event, 12) if event else 0
    return int(call(NUMBER["epoll_ctl"], files.host(int32(epoll)), int32(operation), files.host(int32(fd)), at, 0, 0))


@served
def epoll_wait(thread: Thread, epoll: int, events: int, most: int, timeout: int) -> int:
    return epoll_pwait(thread, epoll, events, most, timeout, 0, 8)  # type: ignore[no-any-return]


@served
def epoll_pwait(thread: Thread, epoll: int, events: int, most: int, timeout: int, mask: int, size: int) -> int:
    count = int32(most)
    if not 0 < count <= 65536:
        return -EINVAL
    at = thread.memory.host(events, 12 * count)
    blocked = thread.room(thread.memory.read(mask, 8)) if mask else 0
    host = thread.process.files.host(int32(epoll))
    return int(thread.call_host(NUMBER["epoll_pwait"], host, at, count, int32(timeout), blocked, 8))


@served
def epoll_pwait2(thread: Thread, epoll: int, events: int, most: int, timeout: int, mask: int, size: int) -> int:
    if not timeout:
        return epoll_pwait(thread, epoll, events, most, 0xFFFFFFFF, mask, size)  # type: ignore[no-any-return]
    seconds, rest = unpack("<qq", thread.memory.read(timeout, 16))
    if seconds < 0 or not 0 <= rest < 1_000_000_000:
        return -EINVAL
    span = min(seconds * 1000 + (rest + 999_999) // 1_000_000, 0x7FFFFFFF)
    return epoll_pwait(thread, epoll, events, most, span, mask, size)  # type: ignore[no-any-return]


@served
def eventfd2(thread: Thread, value: int, flags: int) -> int:
    host = call(NUMBER["eventfd2"], value & 0xFFFFFFFF, int32(flags) | CLOEXEC, 0, 0, 0, 0)
    return thread.process.files.add(host, closing=bool(flags & CLOEXEC))


@served
def eventfd(thread: Thread, value: int) -> int:
    return eventfd2(thread, value, 0)  # type: ignore[no-any-return]


@served
def timerfd_create(thread: Thread, clock: int, flags: int) -> int:
    host = call(NUMBER["timerfd_create"], int32(clock), int32(flags) | CLOEXEC, 0, 0, 0, 0)
    return thread.process.files.add(host, closing=bool(flags & CLOEXEC))


@served
def inotify_init1(thread: Thread, flags: int) -> int:
    host = call(NUMBER["inotify_init1"], int32(flags) | CLOEXEC, 0, 0, 0, 0, 0)
    return thread.process.files.add(host, closing=bool(flags & CLOEXEC))


@served
def inotify_init(thread: Thread) -> int:
    return inotify_init1(thread, 0)  # type: ignore[no-any-return]


@served
def inotify_rm_watch(thread: Thread, fd: int, watch: int) -> int:
    return int(call(NUMBER["inotify_rm_watch"], thread.process.files.host(int32(fd)), int64(watch), 0, 0, 0, 0))

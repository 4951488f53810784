"""timer_create(2), signalfd(2), pidfd_open(2), waitid(2): time, signals and processes as descriptors and numbers."""

from __future__ import annotations

from _struct import unpack

from minirun.linux.kvm import lib
from minirun.vm.sandbox.calls import int32, int64, served
from minirun.vm.sandbox.numbers import NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.vm.sandbox.thread import Thread

EINVAL, EPERM, EBADF = 22, 1, 9
CLOEXEC, NONBLOCK = 0o2000000, 0o4000
P_PIDFD = 3
call = lib.host_call


@served
def timer_create(thread: Thread, clock: int, event: int, timer: int) -> int:
    memory = thread.memory
    at = thread.room(memory.read(event, 64)) if event else 0
    done = int(call(NUMBER["timer_create"], int32(clock), at, memory.host(timer, 4), 0, 0, 0))
    if done == 0:
        thread.process.timers.add(unpack("<i", memory.read(timer, 4))[0])
    return done


@served
def timer_delete(thread: Thread, timer: int) -> int:
    thread.process.timers.discard(int32(timer))
    return int(call(NUMBER["timer_delete"], int32(timer), 0, 0, 0, 0, 0))


@served
def signalfd4(thread: Thread, fd: int, mask: int, size: int, flags: int) -> int:
    if size != 8 or flags & 0xFFFFFFFF & ~(CLOEXEC | NONBLOCK):
        return -EINVAL
    files = thread.process.files
    at = thread.room(thread.memory.read(mask, 8))
    if int32(fd) != -1:
        done = int(call(NUMBER["signalfd4"], files.host(int32(fd)), at, 8, 0, 0, 0))
        return int32(fd) if done >= 0 else done
    host = call(NUMBER["signalfd4"], -1, at, 8, int32(flags) | CLOEXEC, 0, 0)
    return files.add(host, closing=bool(flags & CLOEXEC))


@served
def signalfd(thread: Thread, fd: int, mask: int, size: int) -> int:
    return signalfd4(thread, fd, mask, size, 0)  # type: ignore[no-any-return]


@served
def pidfd_open(thread: Thread, pid: int, flags: int) -> int:
    """Always close-on-exec, as Linux has it."""
    return thread.process.files.add(call(NUMBER["pidfd_open"], int32(pid), int32(flags), 0, 0, 0, 0), closing=True)


@served
def pidfd_send_signal(thread: Thread, fd: int, number: int, info: int, flags: int) -> int:
    at = thread.room(thread.memory.read(info, 128)) if info else 0
    host = thread.process.files.host(int32(fd))
    return int(call(NUMBER["pidfd_send_signal"], host, int32(number), at, int32(flags), 0, 0))


@served
def waitid(thread: Thread, kind: int, pid: int, info: int, options: int, usage: int) -> int:
    memory = thread.memory
    which = thread.process.files.host(int32(pid)) if kind & 0xFFFFFFFF == P_PIDFD else int64(pid)
    at = memory.host(info, 128) if info else 0
    room = memory.host(usage, 144) if usage else 0
    return thread.call_host(NUMBER["waitid"], int32(kind), which, at, int32(options), room)

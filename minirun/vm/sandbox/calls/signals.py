"""rt_sigaction(2), rt_sigprocmask(2), sigaltstack(2), rt_sigreturn(2), rt_sigsuspend(2) ..."""

from __future__ import annotations

from _struct import pack, unpack

from minirun.linux.kvm import lib
from minirun.vm.sandbox import signals
from minirun.vm.sandbox.calls import int32, served
from minirun.vm.sandbox.numbers import NUMBER
from minirun.vm.sandbox.thread import Elsewhere, Thread

EINVAL, ENOMEM, EPERM = 22, 12, 1
SIGKILL, SIGSTOP = 9, 19
call = lib.host_call


@served
def rt_sigaction(thread: Thread, number: int, new: int, old: int, size: int) -> int:
    number = int32(number)
    if size != 8 or not 1 <= number <= 64 or (new and number in (SIGKILL, SIGSTOP)):
        return -EINVAL
    actions = thread.process.actions
    before = actions.get(number)
    if new:
        handler, flags, restorer, mask = unpack("<QQQQ", thread.memory.read(new, 32))
        actions.set(number, (handler, flags, restorer, mask))
    if old:
        thread.memory.write(old, pack("<QQQQ", *before))
    return 0


@served
def rt_sigprocmask(thread: Thread, how: int, new: int, old: int, size: int) -> int:
    if size != 8:
        return -EINVAL
    before = thread.mask
    if new:
        (given,) = unpack("<Q", thread.memory.read(new, 8))
        kinds = {0: before | given, 1: before & ~given, 2: given}
        if int32(how) not in kinds:
            return -EINVAL
        thread.set_mask(kinds[int32(how)])
    if old:
        thread.memory.write(old, pack("<Q", before))
    return 0


@served
def rt_sigreturn(thread: Thread) -> int:
    signals.come_back(thread)
    raise Elsewhere


@served
def sigaltstack(thread: Thread, new: int, old: int) -> int:
    before = thread.alternate
    stack = thread.processor.regs.rsp
    on_it = not before[1] & 2 and before[0] <= stack < before[0] + before[2]
    if old:
        thread.memory.write(old, pack("<QiiQ", before[0], before[1] | on_it, 0, before[2]))
    if new:
        address, flags, _, size = unpack("<QiiQ", thread.memory.read(new, 24))
        if on_it:
            return -EPERM
        if flags & ~(2 | 1 << 31):
            return -EINVAL
        if not flags & 2 and size < 2048:
            return -ENOMEM
        thread.alternate = (0, 2, 0) if flags & 2 else (address, 0, size)
    return 0


@served
def rt_sigsuspend(thread: Thread, mask: int, size: int) -> int:
    """The handler's frame has the old mask, which comes back with it."""
    if size != 8:
        return -EINVAL
    (given,) = unpack("<Q", thread.memory.read(mask, 8))
    before, thread.mask = thread.mask, thread.mask
    room = thread.room(pack("<Q", given & ~(1 << SIGKILL - 1 | 1 << SIGSTOP - 1)))
    done = thread.call_host(NUMBER["rt_sigsuspend"], room, 8, 0, 0, 0, 0)
    thread.set_mask(before)
    return int(done)


@served
def pause(thread: Thread) -> int:
    return int(thread.call_host(NUMBER["pause"], 0, 0, 0, 0, 0, 0))


@served
def rt_sigpending(thread: Thread, room: int, size: int) -> int:
    return int(call(NUMBER["rt_sigpending"], thread.memory.host(room, 8), size, 0, 0, 0, 0)) if size <= 8 else -EINVAL


@served
def rt_sigtimedwait(thread: Thread, these: int, info: int, timeout: int, size: int) -> int:
    memory = thread.memory
    at = [memory.host(these, 8), memory.host(info, 128) if info else 0, memory.host(timeout, 16) if timeout else 0]
    return int(thread.call_host(NUMBER["rt_sigtimedwait"], *at, size, 0, 0)) if size == 8 else -EINVAL

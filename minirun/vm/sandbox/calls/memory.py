"""brk(2), mmap(2), mprotect(2), munmap(2), mremap(2), madvise(2) ...: minirun.vm.sandbox.memory does them."""

from __future__ import annotations

import posix

from minirun.linux.kvm import lib
from minirun.vm.sandbox import layout
from minirun.vm.sandbox.calls import ARGUMENTS, TABLE, int32, int64, served
from minirun.vm.sandbox.layout import PAGE
from minirun.vm.sandbox.memory import EXEC, MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, READ, WRITE, pages
from minirun.vm.sandbox.numbers import NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.vm.sandbox.thread import Thread

EPERM, ENOMEM, EINVAL, EEXIST = 1, 12, 22, 17
ST_NOEXEC = 8
MAP_FIXED_NOREPLACE, MAP_KEPT = 0x100000, 0x0F | MAP_ANONYMOUS | 0x8000  # types, MAP_POPULATE
MREMAP_MAYMOVE, MREMAP_FIXED = 1, 2
PASSED_ON = {0, 1, 2, 3, 4, 8, 20, 21, 22, 23}
ADVICE = PASSED_ON | {10, 11, 12, 13, 14, 15, 16, 17, 19, 25}  # no effect here; not MADV_WIPEONFORK: it would have one
call = lib.host_call


def alone(function: Any) -> Any:
    """One thread at a time: between what is looked for and what is done nobody else may map something."""

    def one(thread: Thread, *arguments: int) -> int:
        with thread.memory.lock:
            return int(function(thread, *arguments))

    one.__name__ = function.__name__
    ARGUMENTS[function.__name__] = function.__code__.co_argcount - 1
    TABLE[function.__name__] = one
    return one


@alone
def brk(thread: Thread, end: int) -> int:
    memory = thread.memory
    if not memory.brk_start <= end < layout.LIMIT:
        return memory.brk_end
    old, new = pages(memory.brk_end), pages(end)
    if new > old and (memory.taken(old, new) or memory.map(old, new - old, READ | WRITE, MAP_PRIVATE | MAP_ANONYMOUS)):
        return memory.brk_end
    if new < old:
        memory.unmap(new, old - new)
    memory.brk_end = end
    return end


@alone
def mmap(thread: Thread, address: int, size: int, protection: int, flags: int, fd: int, offset: int) -> int:
    memory = thread.memory
    if not 0 < size < layout.SIZE:
        return -EINVAL if size == 0 else -ENOMEM
    anonymous = flags & MAP_ANONYMOUS
    host = -1 if anonymous else thread.process.files.host(int32(fd))
    if host >= 0 and protection & EXEC and posix.fstatvfs(host).f_flag & ST_NOEXEC:
        return -EPERM
    if flags & (MAP_FIXED | MAP_FIXED_NOREPLACE):
        if address % PAGE:
            return -EINVAL
        if flags & MAP_FIXED_NOREPLACE and memory.taken(address, address + pages(size)):
            return -EEXIST
        where = address
    else:
        hint = pages(address)
        free = hint >= layout.LOWEST and hint + size < layout.LIMIT and not memory.taken(hint, hint + pages(size))
        where = hint if free else memory.find(size)
    if not where:
        return -ENOMEM
    done = memory.map(where, size, protection & 7, flags & MAP_KEPT, host, 0 if anonymous else int64(offset))
    return done or where


@alone
def munmap(thread: Thread, address: int, size: int) -> int:
    return thread.memory.unmap(address, size)


@alone
def mprotect(thread: Thread, address: int, size: int, protection: int) -> int:
    return thread.memory.protect(address, size, protection)


@alone
def mremap(thread: Thread, address: int, size: int, wanted: int, flags: int, target: int) -> int:
    memory = thread.memory
    size, wanted = pages(size), pages(wanted)
    area = memory.area(address)
    if address % PAGE or not wanted or area is None or address + size > area[1]:
        return -EINVAL if address % PAGE or not wanted else -14
    if not flags & MREMAP_FIXED:
        if wanted <= size:
            return address if wanted == size or not memory.unmap(address + wanted, size - wanted) else -EINVAL
        grows = address + size == area[1] and not memory.taken(address + size, address + wanted)
        target = address if grows and address + wanted <= layout.LIMIT else memory.find(wanted)
        if target != address and not flags & MREMAP_MAYMOVE:
            return -ENOMEM
    if not target or target % PAGE or target < layout.LOWEST or target + wanted > layout.LIMIT:
        return -ENOMEM
    return memory.move(address, size, wanted, target, area[2])


@served
def madvise(thread: Thread, address: int, size: int, advice: int) -> int:
    advice = int32(advice)
    if address % PAGE or advice not in ADVICE:
        return -EINVAL
    if not size:
        return 0
    if not thread.memory.covered(address, address + pages(size)):
        return -ENOMEM
    host = thread.memory.host(address, size)
    done: int = call(NUMBER["madvise"], host, size, int32(advice), 0, 0, 0) if advice in PASSED_ON else 0
    return done


@served
def msync(thread: Thread, address: int, size: int, flags: int) -> int:
    if size and not address % PAGE and not thread.memory.covered(address, address + pages(size)):
        return -ENOMEM
    return int(call(NUMBER["msync"], thread.memory.host(address, size), size, flags, 0, 0, 0))


@served
def mincore(thread: Thread, address: int, size: int, vector: int) -> int:
    memory = thread.memory
    room = memory.host(vector, (size + PAGE - 1) // PAGE)
    return int(call(NUMBER["mincore"], memory.host(address, size), size, room, 0, 0, 0))


@served
def mlock(thread: Thread, address: int, size: int) -> int:
    return 0


@served
def munlock(thread: Thread, address: int, size: int) -> int:
    return 0

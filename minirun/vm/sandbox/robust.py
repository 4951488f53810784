"""set_robust_list(2): the locks that a thread holds at its end (Documentation/locking/robust-futexes.rst)."""

from __future__ import annotations

from _struct import pack, unpack

from minirun.linux.kvm import lib
from minirun.vm.sandbox.memory import Fault, Memory
from minirun.vm.sandbox.numbers import NUMBER

OWNER, DIED, WAITERS = 0x3FFFFFFF, 0x40000000, 0x80000000
FUTEX_WAKE = 1
MOST = 2048


def let_go(memory: Memory, head: int, tid: int) -> None:
    """Each lock in the list, and the one that was being taken."""
    try:
        entry, offset, pending = unpack("<QqQ", memory.read(head, 24))
        for _ in range(MOST):
            if entry & ~1 == head:
                break
            (after,) = unpack("<Q", memory.read(entry & ~1, 8))
            if entry & ~1 != pending & ~1:
                mark(memory, (entry & ~1) + offset, tid)
            entry = after
        if pending & ~1:
            mark(memory, (pending & ~1) + offset, tid)
    except Fault:
        pass


def mark(memory: Memory, word: int, tid: int) -> None:
    (value,) = unpack("<I", memory.read(word, 4))
    if value & OWNER != tid:
        return
    memory.write(word, pack("<I", value & WAITERS | DIED))
    if value & WAITERS:
        lib.host_call(NUMBER["futex"], memory.host(word, 4), FUTEX_WAKE, 1, 0, 0, 0)

"""vfork(2): parent and child have one memory, and the parent stands still until the child has ended or executed.

Here the child has a copy, as after fork(2).  What it writes there is noticed, page by page, because its page tables let
it read only; and when it is gone the parent is told what has changed, and writes the same.  That is how
posix_spawn(3) hears of an execve(2) that failed.
"""

from __future__ import annotations

import posix
from _struct import calcsize, pack, unpack_from

from minirun.vm.sandbox.layout import PAGE
from minirun.vm.sandbox.memory import WRITE, Fault, Memory

WORD, HEAD = 8, "<QI"


class Guard:
    """``pages``: those that were written, as they were before."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.pages: dict[int, bytes] = {}
        for start, end, protection in memory.areas:
            if protection & WRITE:
                memory.enter(start, end - start, protection & ~WRITE)
        memory.guard = self

    def note(self, address: int) -> bool:
        """Somebody is about to write here; False if the program may not, or has already."""
        page = address & -PAGE
        memory = self.memory
        area = memory.area(address)
        if area is None or not area[2] & WRITE or page in self.pages:
            return False
        memory.guard = None
        self.pages[page] = memory.read(page, PAGE)
        memory.guard = self
        memory.enter(page, PAGE, area[2])
        return True

    def tell(self, end: int) -> None:
        """What has changed, to the parent: address, size, bytes."""
        self.memory.guard = None
        for page, before in self.pages.items():
            try:
                now = self.memory.read(page, PAGE)
            except Fault:
                continue
            for start, stop in differences(before, now):
                send(end, pack(HEAD, page + start, stop - start) + now[start:stop])


def differences(before: bytes, now: bytes) -> list[tuple[int, int]]:
    """By words: what nobody has written may have been written by another thread of the parent's."""
    found: list[tuple[int, int]] = []
    for at in range(0, len(now), WORD):
        if now[at : at + WORD] == before[at : at + WORD]:
            continue
        if found and found[-1][1] == at:
            found[-1] = (found[-1][0], at + WORD)
        else:
            found.append((at, at + WORD))
    return found


def send(end: int, data: bytes) -> None:
    while data:
        data = data[posix.write(end, data) :]


def hear(end: int, memory: Memory) -> None:
    """The parent's side: until the child is gone."""
    data = b""
    while part := posix.read(end, 65536):
        data += part
    at, head = 0, calcsize(HEAD)
    while at + head <= len(data):
        address, size = unpack_from(HEAD, data, at)
        if at + head + size > len(data):
            break
        try:
            memory.write(address, data[at + head : at + head + size])
        except Fault:
            pass
        at += head + size

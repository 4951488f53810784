"""Machines for single questions: a few bytes of code, devices that note what they are asked."""

from __future__ import annotations

import posix
from collections.abc import Iterator
from contextlib import contextmanager

from minirun.vm.exits import Exit
from minirun.vm.ladder import begin, watch
from minirun.vm.loop import Loop
from minirun.vm.machine import Machine
from minirun.vm.memory import Memory

HLT = b"\xf4"
MMIO = 0xD0000000


class Notes:
    """A device that answers ``value`` and remembers (what, offset, size, value)."""

    def __init__(self, value: int = 0) -> None:
        self.value = value
        self.seen: list[tuple[str, int, int, int]] = []

    def read(self, offset: int, size: int) -> int:
        self.seen.append(("read", offset, size, 0))
        return self.value

    def write(self, offset: int, size: int, value: int) -> None:
        self.seen.append(("write", offset, size, value))


@contextmanager
def machine(code: bytes, vcpus: int = 1, irqchip: bool = False) -> Iterator[Machine]:
    """Before its first instruction, in real mode; ``ds`` begins at MMIO, so that 16-bit code reaches devices."""
    loop, memory = Loop(), Memory(1 << 20)
    made = Machine(memory, vcpus, loop, irqchip=irqchip)
    begin(made, code)
    sregs = made.vcpus[0].get_sregs()
    sregs.ds.base = MMIO
    made.vcpus[0].set_sregs(sregs)
    made.on_end(lambda _reason: loop.stop())
    try:
        yield made
    finally:
        made.close()
        memory.close()
        loop.close()


def run(made: Machine, seconds: float = 10.0) -> Exit:
    """Until it ends; how."""
    lock = watch(made, seconds)
    made.start()
    made.loop.run()
    lock.release()
    assert made.end is not None
    return made.end


def descriptors() -> int:
    return len(posix.listdir("/proc/self/fd"))


def threads() -> int:
    return len(posix.listdir("/proc/self/task"))

"""The ladder: guests of a few lines of assembly, each one step beyond the one before, that check themselves.

They need no kernel and no file system, and run on every /dev/kvm, the emulated kind included: the first thing to try
on a new machine, the first to look at in a course, and where to begin when Linux does not boot.  Their sources are
native/ladder/NAME.S (the build lays a copy beside the flat bytes).

The contract of a rung: its bytes lie at 0x1000, where processor 0 starts in real mode; port 0xe9 prints a character;
a word on port 0xf4 ends the machine, and 42 says that it worked.  The very first rung only halts, with 42 in eax.
"""

from __future__ import annotations

import posix
from _thread import allocate_lock, start_new_thread
from time import perf_counter

from minirun.record import Record
from minirun.vm import exits
from minirun.vm.loop import Loop
from minirun.vm.machine import Machine
from minirun.vm.memory import Memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FOLDER = __file__.rpartition("/vm/")[0] + "/ladder"
ENTRY = 0x1000
MEMORY = 4 << 20
PRINT, VERDICT, DOORBELL = 0xE9, 0xF4, 0x70
DOORBELL_LINE = 5
GOOD = 42


class Rung(Record):
    """``name`` is its source's, too."""

    name: str
    teaches: str
    output: str = ""
    vcpus: int = 1
    irqchip: bool = False


RUNGS = (
    Rung(name="hlt", teaches="real mode; an exit gives the processor back, registers and all"),
    Rung(name="out", teaches="a port: the guest's only way to say something, for now", output="A"),
    Rung(name="protected", teaches="protected mode: the descriptor table, 32-bit code, memory above 1 MiB"),
    Rung(name="paging", teaches="paging: four levels of tables, one page at two addresses"),
    Rung(name="long", teaches="long mode: 64-bit registers through memory"),
    Rung(name="user", teaches="user mode: down to level 3, and back by a fault"),
    Rung(name="interrupts", teaches="interrupts: timer, controller, handler; hlt waits in KVM", irqchip=True),
    Rung(name="doorbell", teaches="ioeventfd and irqfd: device and driver without an exit", irqchip=True),
    Rung(name="smp", teaches="two processors: INIT, SIPI, memory that both see", vcpus=2, irqchip=True),
)


class Result(Record):
    """What one climb showed.  ``value`` is the verdict's word, None if there was none."""

    rung: Rung
    value: int | None
    output: str
    end: exits.Exit
    exits: dict[str, int]
    registers: dict[str, int]
    build_us: int
    run_us: int

    def ok(self) -> bool:
        return self.value == GOOD and self.output == self.rung.output

    def why(self) -> str:
        """In words, if it is not ok."""
        if self.ok():
            return ""
        if not isinstance(self.end, exits.Stopped | exits.Hlt) or self.value is None:
            return self.end.describe()
        if self.value != GOOD:
            return f"it says {self.value}, not {GOOD}"
        return f"it printed {self.output!r}, not {self.rung.output!r}"


class Front:
    """The two ports, as one device."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.output = ""
        self.value: int | None = None
        machine.ports.add(PRINT, 1, Printer(self))
        machine.ports.add(VERDICT, 4, self)

    def read(self, offset: int, size: int) -> int:
        return 0

    def write(self, offset: int, size: int, value: int) -> None:
        self.value = value
        self.machine.stop(f"the guest says {value}")


class Printer:
    def __init__(self, front: Front) -> None:
        self.front = front

    def read(self, offset: int, size: int) -> int:
        return PRINT  # Bochs: "the port is there"

    def write(self, offset: int, size: int, value: int) -> None:
        self.front.output += chr(value & 0xFF)


class Doorbell:
    """A device of two eventfds: whoever rings gets an interrupt.  Neither is an exit to us."""

    def __init__(self, machine: Machine) -> None:
        self.loop = machine.loop
        flags = posix.EFD_CLOEXEC | posix.EFD_NONBLOCK
        self.rung, self.line = posix.eventfd(0, flags), posix.eventfd(0, flags)
        machine.vm.ioeventfd(self.rung, DOORBELL, 1, pio=True)
        machine.vm.irqfd(self.line, DOORBELL_LINE)
        self.loop.add(self.rung, self.answer)

    def answer(self, _events: int) -> None:
        posix.eventfd_read(self.rung)
        posix.eventfd_write(self.line, 1)

    def close(self) -> None:
        self.loop.remove(self.rung)
        posix.close(self.rung)
        posix.close(self.line)


def find(name: str) -> Rung | None:
    return next((rung for rung in RUNGS if rung.name == name), None)


def read(name: str) -> bytes:
    """A file of the ladder's: NAME.bin, NAME.S, steps.inc."""
    fd = posix.open(f"{FOLDER}/{name}", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return posix.read(fd, 1 << 20)
    finally:
        posix.close(fd)


def begin(machine: Machine, code: bytes) -> None:
    """Code into memory, processor 0 before its first byte; every processor with all that KVM can show of CPUID."""
    machine.memory.write(ENTRY, code)
    cpuid = machine.kvm.get_supported_cpuid()
    for vcpu in machine.vcpus:
        vcpu.set_cpuid2(cpuid)
    first = machine.vcpus[0]
    sregs, regs = first.get_sregs(), first.get_regs()
    sregs.cs.base = sregs.cs.selector = 0  # after a reset it is 0xf000, with the firmware in mind
    regs.rip, regs.rflags = ENTRY, 2
    first.set_sregs(sregs)
    first.set_regs(regs)


def watch(machine: Machine, seconds: float) -> Any:
    """End the machine unless the lock that is returned is given in time."""
    lock = allocate_lock()
    lock.acquire()

    def wait() -> None:
        if not lock.acquire(timeout=seconds):
            machine.stop(f"nothing after {seconds:g} seconds")

    start_new_thread(wait, ())
    return lock


class Climb:
    """One rung on its way: built at once, to be started, looked at when its machine has ended, closed."""

    def __init__(self, rung: Rung, loop: Loop, code: bytes | None = None) -> None:
        began = perf_counter()
        self.rung = rung
        self.memory = Memory(MEMORY)
        self.machine = Machine(self.memory, rung.vcpus, loop, irqchip=rung.irqchip)
        self.front = Front(self.machine)
        self.doorbell = Doorbell(self.machine) if rung.name == "doorbell" else None
        begin(self.machine, read(f"{rung.name}.bin") if code is None else code)
        self.machine.on_end(self.note)
        self.started = self.ended = perf_counter()
        self.build_us = int((self.started - began) * 1e6)

    def start(self) -> None:
        self.started = perf_counter()
        self.machine.start()

    def note(self, _reason: exits.Exit) -> None:
        self.ended = perf_counter()

    def result(self) -> Result:
        end = self.machine.end
        assert end is not None, "it has not ended yet"
        registers = exits.state(self.machine.vcpus[0])
        return Result(
            rung=self.rung, value=registers["rax"] if isinstance(end, exits.Hlt) else self.front.value,
            output=self.front.output, end=end, exits=self.machine.exits(), registers=registers,
            build_us=self.build_us, run_us=int((self.ended - self.started) * 1e6),
        )  # fmt: skip

    def close(self) -> None:
        if self.doorbell:
            self.doorbell.close()
        self.machine.close()
        self.memory.close()


def climb(rung: Rung, seconds: float = 10.0, code: bytes | None = None) -> Result:
    """Run one.  Raises OSError where KVM cannot be had.  ``code``: something else instead of the rung's own bytes."""
    loop = Loop()
    it = Climb(rung, loop, code)
    it.machine.on_end(lambda _reason: loop.stop())
    lock = watch(it.machine, seconds)
    try:
        it.start()
        loop.run()
        return it.result()
    finally:
        lock.release()
        it.close()
        loop.close()

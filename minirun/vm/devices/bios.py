"""A BIOS's interrupts, served by the VMM: for payloads that start in real mode and ask one (boot/realmode.py).

A vector's stub has pushed its number and written to our port; the vCPU waits for us, its registers are ours to read and
write.  On its stack: the number, then what the processor pushed: IP, CS, FLAGS.  Carry set in those is an error.
"""

from __future__ import annotations

from _struct import pack, unpack_from

from minirun.vm import layout
from minirun.vm.memory import BadAddress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from minirun.linux.kvm_vcpu import Vcpu
    from minirun.vm.machine import Machine

CARRY, ZERO = 1 << 0, 1 << 6
SMAP = 0x534D4150  # "SMAP"
UNSUPPORTED = 0x86  # in AH
KIB_MOST = 0x3C00  # E801: between 1 and 16 MiB


class Bios:
    """Put on its port; ``say`` gets each character that the payload prints."""

    def __init__(self, machine: Machine, say: Callable[[int], None]) -> None:
        self.machine = machine
        self.say = say
        self.ticks = 0
        machine.ports.add(layout.BIOS, 1, self)

    def read(self, offset: int, size: int) -> int:
        return 0xFF

    def write(self, offset: int, size: int, value: int) -> None:
        """The interrupt on top of the stack of the machine's only vCPU, in whose thread we are."""
        try:
            self.interrupt(self.machine.vcpus[0])
        except BadAddress as problem:
            self.machine.stop(f"the payload called its BIOS with a bad pointer: {problem}")

    def interrupt(self, vcpu: Vcpu) -> None:
        regs, sregs = vcpu.get_regs(), vcpu.get_sregs()
        stack = int(sregs.ss.base) + (int(regs.rsp) & 0xFFFF)
        number, _, _, flags = unpack_from("<HHHH", self.machine.memory.view(stack, 8))
        serve = SERVICES.get(number & 0xFF, unsupported)
        failed = serve(self, regs, sregs)
        flags = flags | CARRY if failed else flags & ~CARRY
        if number & 0xFF == 0x16:
            flags |= ZERO  # no key waits
        self.machine.memory.write(stack + 6, pack("<H", flags))
        vcpu.set_regs(regs)


def low(register: int, value: int) -> int:
    """The lower 16 bits changed."""
    return register & ~0xFFFF | value & 0xFFFF


def unsupported(bios: Bios, regs: Any, sregs: Any) -> bool:
    regs.rax = regs.rax & ~0xFF00 | UNSUPPORTED << 8
    return True


def video(bios: Bios, regs: Any, sregs: Any) -> bool:
    """0x10.  AH 0x0e prints AL; 3 asks for the cursor, 0x0f for the mode: 80 columns of text."""
    function = regs.rax >> 8 & 0xFF
    if function == 0x0E:
        bios.say(regs.rax & 0xFF)
    elif function == 0x03:
        regs.rcx, regs.rdx = low(regs.rcx, 0), low(regs.rdx, 0)
    elif function == 0x0F:
        regs.rax, regs.rbx = low(regs.rax, 80 << 8 | 3), regs.rbx & ~0xFF00
    return False


def equipment(bios: Bios, regs: Any, sregs: Any) -> bool:
    regs.rax = low(regs.rax, 0)
    return False


def base_memory(bios: Bios, regs: Any, sregs: Any) -> bool:
    regs.rax = low(regs.rax, layout.LOW_END >> 10)
    return False


def system(bios: Bios, regs: Any, sregs: Any) -> bool:
    """0x15: the sizes of memory, and A20, which is always open."""
    function = regs.rax & 0xFFFF
    above = (min(bios.machine.memory.size, layout.GAP) - layout.MIB) >> 10
    if function == 0xE820 and regs.rdx & 0xFFFFFFFF == SMAP:
        return memory_map(bios, regs, sregs)
    if function == 0xE801:
        first, rest = min(above, KIB_MOST), max(0, above - 0x3C00) >> 6
        regs.rax, regs.rcx = low(regs.rax, first), low(regs.rcx, first)
        regs.rbx, regs.rdx = low(regs.rbx, rest), low(regs.rdx, rest)
        return False
    if function >> 8 == 0x88:
        regs.rax = low(regs.rax, min(above, 0xFC00))
        return False
    if function >> 8 == 0x24:
        regs.rax = low(regs.rax, 1 if function == 0x2402 else 0)
        return False
    return unsupported(bios, regs, sregs)


def memory_map(bios: Bios, regs: Any, sregs: Any) -> bool:
    """E820: entry EBX of the map to ES:DI; EBX becomes the next one's number, 0 behind the last."""
    table = layout.e820(bios.machine.memory.size)
    number = int(regs.rbx) & 0xFFFFFFFF
    if number >= len(table):
        return unsupported(bios, regs, sregs)
    bios.machine.memory.write(int(sregs.es.base) + (int(regs.rdi) & 0xFFFF), pack("<QQI", *table[number]))
    regs.rax, regs.rcx = SMAP, 20
    regs.rbx = number + 1 if number + 1 < len(table) else 0
    return False


def keyboard(bios: Bios, regs: Any, sregs: Any) -> bool:
    regs.rax = low(regs.rax, 0)
    return False


def clock(bios: Bios, regs: Any, sregs: Any) -> bool:
    """0x1a: AH 0 is the ticks since midnight, here of the questions asked; no real-time clock, no PCI."""
    if regs.rax >> 8 & 0xFF:
        return unsupported(bios, regs, sregs)
    bios.ticks += 1
    regs.rcx, regs.rdx = low(regs.rcx, bios.ticks >> 16), low(regs.rdx, bios.ticks)
    regs.rax &= ~0xFF
    return False


def boot_failed(bios: Bios, regs: Any, sregs: Any) -> bool:
    bios.machine.stop("the payload gave up")
    return True


def nothing(bios: Bios, regs: Any, sregs: Any) -> bool:
    return False


SERVICES: dict[int, Callable[[Bios, Any, Any], bool]] = {
    0x08: nothing, 0x10: video, 0x11: equipment, 0x12: base_memory, 0x15: system, 0x16: keyboard, 0x18: boot_failed,
    0x19: boot_failed, 0x1A: clock, 0x1C: nothing,
}  # fmt: skip

"""Why a vCPU came back from the guest: a sum type, one record for each reason (Documentation/virt/kvm/api.rst, 5).

The first four are every-day work, answered by whoever owns the address.  The others end the machine; each says in
words what happened, and where it can with the registers and the bytes of the instruction at fault.
"""

from __future__ import annotations

from minirun.linux.kvm import lib
from minirun.linux.kvm_vcpu import KICKED
from minirun.record import Record
from minirun.vm.memory import BadAddress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.linux.kvm_vcpu import Vcpu
    from minirun.vm.memory import Memory

REGISTERS = (
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
    "rip", "rflags",
)  # fmt: skip
CONTROL = ("cr0", "cr2", "cr3", "cr4", "efer")
SUBERRORS = {  # KVM_INTERNAL_ERROR_*
    1: "an instruction that KVM cannot emulate",
    2: "exceptions at the same time that cannot be",
    3: "an exit while an event was being delivered",
    4: "an exit of the hardware that KVM does not know",
}
SYSTEM_EVENTS = {1: "shutdown", 2: "reset", 3: "crash", 4: "wake-up", 5: "suspend", 6: "SEV termination"}
INSTRUCTION_MOST = 15
INSTRUCTION_BYTES = 1  # KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES: ndata >= 3 words, flags in the first


class Exit(Record):
    """Base of all."""

    def describe(self) -> str:
        return self.__class__.__name__


class IoIn(Exit):
    """A read of a port; the answer goes into ``vcpu.native.value``."""

    port: int
    size: int


class IoOut(Exit):
    """A write to a port."""

    port: int
    size: int
    value: int


class MmioRead(Exit):
    """A read where there is no memory."""

    address: int
    size: int


class MmioWrite(Exit):
    """A write where there is no memory."""

    address: int
    size: int
    value: int


class Kicked(Exit):
    """Called back by ourselves."""


class Hlt(Exit):
    """``hlt`` in a machine without an interrupt controller of KVM's: nothing can wake it."""

    def describe(self) -> str:
        return "the guest halted"


class Fault(Exit):
    """An exit that tells where the vCPU stood."""

    registers: dict[str, int]
    instruction: bytes

    def rows(self) -> list[str]:
        """The registers, four a line, and the instruction, for people."""
        words = [f"{name:<6} {value:016x}" for name, value in self.registers.items()]
        rows = ["  ".join(words[at : at + 4]) for at in range(0, len(words), 4)]
        return [*rows, f"code   {self.instruction.hex(' ') or 'not to be read'}"]


class Shutdown(Fault):
    """KVM_EXIT_SHUTDOWN: a triple fault, or SVM's shutdown.  Linux's ``reboot=t`` ends this way, too."""

    def describe(self) -> str:
        return "the guest shut down by a triple fault (a fault that no handler took)"


class FailEntry(Fault):
    """The processor refused the guest's state."""

    reason: int

    def describe(self) -> str:
        return f"the processor refused to enter the guest: hardware reason {self.reason:#x}"


class InternalError(Fault):
    """KVM itself cannot go on."""

    suberror: int
    data: tuple[int, ...]

    def describe(self) -> str:
        what = SUBERRORS.get(self.suberror, f"internal error {self.suberror}")
        code = f": {self.instruction.hex(' ')}" if self.instruction else ""
        return f"{what} at rip {self.registers['rip']:#x}{code}"


class SystemEvent(Exit):
    """The guest asked a paravirtual interface for shutdown, reset, crash …"""

    event: int

    def describe(self) -> str:
        return f"system event: {SYSTEM_EVENTS.get(self.event, str(self.event))}"


class Unknown(Fault):
    """A reason that minirun has no use for."""

    reason: int
    detail: int

    def describe(self) -> str:
        return f"exit {self.reason} of KVM, which minirun does not know (detail {self.detail:#x})"


class Stopped(Exit):
    """A device or the VMM ended the machine: reset, shutdown, panic, killed …"""

    why: str

    def describe(self) -> str:
        return self.why


class Broken(Exit):
    """A defect of ours, or an ioctl that failed: the exception."""

    error: BaseException

    def describe(self) -> str:
        return f"{self.error.__class__.__name__}: {self.error}"


def next_exit(vcpu: Vcpu, memory: Memory) -> Exit:
    """Run the vCPU until there is one."""
    reason = vcpu.run()
    native = vcpu.native
    if reason == IO:
        if native.is_write:
            return IoOut(port=native.address, size=native.size, value=native.value)
        return IoIn(port=native.address, size=native.size)
    if reason == MMIO:
        if native.is_write:
            return MmioWrite(address=native.address, size=native.size, value=native.value)
        return MmioRead(address=native.address, size=native.size)
    return KICK if reason == KICKED else rare(reason, vcpu, memory)


def rare(reason: int, vcpu: Vcpu, memory: Memory) -> Exit:
    """The exits that end a machine."""
    native = vcpu.native
    if reason == lib.KVM_EXIT_HLT:
        return Hlt()
    if reason == lib.KVM_EXIT_SYSTEM_EVENT:
        return SystemEvent(event=native.suberror)
    registers = state(vcpu)
    if reason == lib.KVM_EXIT_INTERNAL_ERROR:
        data = tuple(native.data[0 : native.data_count])
        code = told(data) if native.suberror == 1 else b""
        return InternalError(
            registers=registers, instruction=code or instruction(vcpu, memory), suberror=native.suberror, data=data
        )
    code = instruction(vcpu, memory)
    if reason == lib.KVM_EXIT_SHUTDOWN:
        return Shutdown(registers=registers, instruction=code)
    if reason == lib.KVM_EXIT_FAIL_ENTRY:
        return FailEntry(registers=registers, instruction=code, reason=native.data[0])
    return Unknown(registers=registers, instruction=code, reason=reason, detail=native.data[0])


def told(data: tuple[int, ...]) -> bytes:
    """The instruction in KVM_EXIT_INTERNAL_ERROR's own data: flags, then one byte of length and up to 15 of code."""
    if len(data) < 3 or not data[0] & INSTRUCTION_BYTES:
        return b""
    raw = data[1].to_bytes(8, "little") + data[2].to_bytes(8, "little")
    return raw[1 : 1 + min(raw[0], INSTRUCTION_MOST)]


def state(vcpu: Vcpu) -> dict[str, int]:
    """General and control registers by name."""
    regs, sregs = vcpu.get_regs(), vcpu.get_sregs()
    found = {name: int(getattr(regs, name)) for name in REGISTERS}
    found["cs"] = int(sregs.cs.selector)
    found.update({name: int(getattr(sregs, name)) for name in CONTROL})
    return found


def instruction(vcpu: Vcpu, memory: Memory) -> bytes:
    """The bytes at rip, through the guest's page tables; empty where there is no memory."""
    address = vcpu.translate(int(vcpu.get_sregs().cs.base) + int(vcpu.get_regs().rip))
    if address is None:
        return b""
    for length in (INSTRUCTION_MOST, min(INSTRUCTION_MOST, 4096 - address % 4096)):
        try:
            return memory.read(address, length)
        except BadAddress:
            continue
    return b""


IO: int = lib.KVM_EXIT_IO
MMIO: int = lib.KVM_EXIT_MMIO
KICK = Kicked()

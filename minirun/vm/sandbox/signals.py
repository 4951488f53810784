"""Signals for the program (signal(7); arch/x86/kernel/signal_64.c for the frame).

A process here is a process of the host's, so a signal finds it by itself.  What the program leaves at its default, or
ignores, is left so on the host, and the host's kernel does the rest: an end by a signal is one.  What the program wants
to handle is caught by a few lines of C, which write it down and call the processor back; before the program goes on,
its handler is set up as Linux would set it up: a frame on its stack, with all its registers in it.
"""

from __future__ import annotations

from _struct import pack, unpack

from minirun.linux.kvm import ffi, lib
from minirun.vm.sandbox.layout import LIMIT
from minirun.vm.sandbox.memory import Fault
from minirun.vm.sandbox.numbers import NUMBER
from minirun.vm.sandbox.processor import XSAVE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.vm.sandbox.thread import Thread

SIGNALS = 64
SIG_DFL, SIG_IGN = 0, 1
SIGKILL, SIGSEGV, SIGSTOP, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS = (
    9,
    11,
    19,
    7,
    4,
    8,
    5,
    6,
    31,
)
SA_SIGINFO, SA_ONSTACK, SA_RESTART, SA_NODEFER, SA_RESETHAND, SA_RESTORER = (
    4, 0x08000000, 0x10000000, 0x40000000, 0x80000000, 0x04000000,
)  # fmt: skip
# Order of struct sigcontext_64's registers.
ORDER = ("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rbp", "rbx", "rdx", "rax", "rcx", "rsp",
         "rip", "rflags")  # fmt: skip
UCONTEXT = 40 + 256 + 8  # flags, link, stack; sigcontext; mask
INFO = 128
# Vector -> signal, si_code (arch/x86/kernel/traps.c)
OF_FAULTS = {0: (SIGFPE, 1), 1: (SIGTRAP, 2), 3: (SIGTRAP, 0x80), 6: (SIGILL, 2), 16: (SIGFPE, 0), 17: (SIGBUS, 1),
             19: (SIGFPE, 0)}  # fmt: skip


class Actions:
    """sigaction(2): signal -> (handler, flags, restorer, mask)."""

    def __init__(self) -> None:
        self.table: dict[int, tuple[int, int, int, int]] = {}

    def get(self, number: int) -> tuple[int, int, int, int]:
        return self.table.get(number, (SIG_DFL, 0, 0, 0))

    def set(self, number: int, action: tuple[int, int, int, int]) -> int:
        """On the host: default and ignored as they are, what is handled comes to us."""
        self.table[number] = action
        kind = action[0] if action[0] in (SIG_DFL, SIG_IGN) else 2
        done: int = lib.guest_action(number, kind, action[1] & (1 | 2))  # SA_NOCLDSTOP, SA_NOCLDWAIT
        return done

    def execve(self) -> None:
        """What was handled is at its default again."""
        for number, action in list(self.table.items()):
            if action[0] > SIG_IGN:
                self.set(number, (SIG_DFL, 0, 0, 0))


def fault(thread: Thread) -> None:
    """A fault of the program's: the signal that Linux sends."""
    guest = thread.processor.native
    if guest.vector == 14 and thread.memory.guard is not None and thread.memory.guard.note(guest.address):
        return
    number, code = OF_FAULTS.get(guest.vector, (SIGSEGV, 0x80))
    address = thread.processor.regs.rip
    if guest.vector == 14:
        number, address = SIGSEGV, guest.address
        code = 2 if thread.memory.area(address) else 1  # SEGV_ACCERR, SEGV_MAPERR
    if guest.vector == lib.VECTOR_BUS:
        number, code, address = SIGBUS, 2, guest.address or behind_a_file(thread)
    if guest.vector == 13:
        address = 0
    handler = thread.process.actions.get(number)[0]
    if handler <= SIG_IGN or thread.mask >> number - 1 & 1:
        die(thread, number)
    deliver(thread, number, pack("<iiiiQ", number, 0, code, 0, address))


def behind_a_file(thread: Thread) -> int:
    """The page that is mapped and not there, where KVM does not say: one that a register points to, or near to."""
    memory, regs = thread.memory, thread.processor.regs
    for step in (0, 4096, -4096):
        for name in ORDER:
            page: int = (getattr(regs, name) & -4096) + step
            if memory.area(page) is None:
                continue
            try:
                memory.read(page, 1)
            except Fault:
                return page
    return 0


def die(thread: Thread, number: int) -> None:
    """As the signal's default has it, on the host: our end is the program's."""
    thread.process.last_words(thread, number)
    for each in list(thread.process.threads):
        each.end()
    thread.process.release()
    lib.guest_action(number, SIG_DFL, 0)
    nothing = ffi.new("uint64_t *", 0)
    lib.host_call(NUMBER["rt_sigprocmask"], 2, int(ffi.cast("uintptr_t", nothing)), 0, 8, 0, 0)
    lib.host_call(NUMBER["kill"], NUMBER_OF_US(), number, 0, 0, 0, 0)
    lib.host_call(NUMBER["exit_group"], 128 + number, 0, 0, 0, 0, 0)


def NUMBER_OF_US() -> int:  # noqa: N802
    from posix import getpid

    return getpid()


def deliver(thread: Thread, number: int, info: bytes) -> None:
    """The handler is what the program does next."""
    handler, flags, restorer, mask = thread.process.actions.get(number)
    processor = thread.processor
    regs = processor.regs
    state = processor.xsave()
    at = regs.rsp - 128
    stack, stack_flags, stack_size = thread.alternate
    if flags & SA_ONSTACK and not stack_flags & 2 and not stack <= regs.rsp < stack + stack_size:
        at = stack + stack_size
    at = (at - len(state)) & -64
    fp = at
    at = (at - INFO - UCONTEXT - 8) & -16
    at -= 8
    if not 0 < at <= fp < LIMIT:
        die(thread, SIGSEGV)
    context = pack("<QQQiiQ", 6, 0, stack, stack_flags, 0, stack_size)
    context += pack("<18Q", *[getattr(regs, name) for name in ORDER])
    context += pack("<HHHHQQQQQ", layout_cs(), 0, 0, layout_ss(), 0, 0, thread.mask, 0, fp) + bytes(64)
    context += pack("<Q", thread.mask)
    try:
        thread.memory.write(fp, state)
        thread.memory.write(at, pack("<Q", restorer) + context + info.ljust(INFO, b"\0"))
    except Fault:
        die(thread, SIGSEGV)
    blocked = thread.mask | mask
    if not flags & SA_NODEFER:
        blocked |= 1 << number - 1
    thread.set_mask(blocked)
    if flags & SA_RESETHAND:
        thread.process.actions.set(number, (SIG_DFL, 0, 0, 0))
    regs.rdi, regs.rsi, regs.rdx, regs.rax = number, at + 8 + UCONTEXT, at + 8, 0
    regs.rip, regs.rsp, regs.rflags = handler, at, regs.rflags & ~0x400 & ~0x100
    processor.touch()


def layout_cs() -> int:
    return 0x33


def layout_ss() -> int:
    return 0x2B


def come_back(thread: Thread) -> None:
    """rt_sigreturn(2): RSP stands behind the return address, at the ucontext."""
    """What the program has put there is the program's: where it is not what a processor takes, it is a fault."""
    regs = thread.processor.regs
    try:
        data = thread.memory.read(regs.rsp, UCONTEXT)
        (fp,) = unpack("<Q", data[40 + 184 : 40 + 192])
        if fp:
            thread.processor.set_xsave(thread.memory.read(fp, XSAVE_SIZE))
    except (Fault, OSError):
        die(thread, SIGSEGV)
    values = unpack("<18Q", data[40 : 40 + 144])
    for name, value in zip(ORDER, values, strict=True):
        setattr(regs, name, value)
    regs.rflags = regs.rflags & 0x40DD5 | 0x202
    (mask,) = unpack("<Q", data[UCONTEXT - 8 : UCONTEXT])
    thread.set_mask(mask)
    thread.processor.touch()


def pending(thread: Thread) -> tuple[int, bytes] | None:
    """The next signal that was caught for this thread."""
    room: Any = ffi.new("char[]", INFO)
    number: int = lib.guest_signal(thread.processor.native, room)
    return (number, bytes(ffi.buffer(room, INFO))) if number > 0 else None

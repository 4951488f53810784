"""A thread of the program's: a vCPU, and the loop that serves its system calls."""

from __future__ import annotations

import _struct
from _struct import pack

from minirun.linux.kvm import ffi, lib
from minirun.vm.sandbox import robust, signals
from minirun.vm.sandbox.calls import ARGUMENTS, TABLE, find
from minirun.vm.sandbox.memory import Fault
from minirun.vm.sandbox.numbers import NAMES, NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from minirun.vm.sandbox.process import Process
    from minirun.vm.sandbox.processor import Processor

CALL, FAULT, KICKED, LOST = lib.GUEST_CALL, lib.GUEST_FAULT, lib.GUEST_KICKED, lib.GUEST_LOST
RESULT, AS_IT_IS, AGAIN = lib.GUEST_RESULT, lib.GUEST_AS_IT_IS, -lib.GUEST_AGAIN
EFAULT, ENOSYS, EINTR, EINVAL, ENOMEM, EIO = 14, 38, 4, 22, 12, 5
MOST_LACKING = 512  # names and numbers that are counted
StructError: type[Exception] = vars(_struct)["error"]
SYSCALL_SIZE = 2  # bytes of the instruction
KICK = 64  # the signal by which a thread is told to look up; it is never blocked


class Elsewhere(Exception):
    """A call that does not return where it came from: execve(2), rt_sigreturn(2)."""


class Ended(Exception):
    """This thread is done; ``handed_over``: the process goes on in its first thread."""

    def __init__(self, code: int, *, handed_over: bool = False) -> None:
        super().__init__(code)
        self.handed_over = handed_over


class Reborn(Exception):
    """What goes on is another thread: in a child after fork(2)."""

    def __init__(self, thread: Thread) -> None:
        self.thread = thread


class Thread:
    def __init__(self, process: Process, processor: Processor) -> None:
        self.process = process
        self.memory = process.memory
        self.processor = processor
        self.kept: list[Any] = []  # copies that the host's call looks at
        self.mask = 0
        self.alternate = (0, 2, 0)  # sigaltstack(2): address, SS_DISABLE, size
        self.clear_tid = 0
        self.robust = 0  # set_robust_list(2)
        self.number = 0  # the call that is served
        self.tid = 0
        self.dead = False  # another thread has said so: execve(2)
        self.link = b""  # what a link of procfs's leads to that we have not: calls/paths.py

    def serve(self) -> None:
        """Until ``Ended``, or the process's end."""
        lib.guest_is(self.processor.native)
        self.tid = lib.host_call(NUMBER["gettid"], 0, 0, 0, 0, 0, 0)
        how, result = AS_IT_IS, 0
        while True:
            reason = self.processor.next(how, result)
            how, result = AS_IT_IS, 0
            if reason == CALL:
                how, result = self.call()
            elif reason == FAULT:
                signals.fault(self)
            elif reason != KICKED:
                self.lost(reason)
            if self.dead:
                raise Ended(0)
            if self.processor.native.pending or self.processor.native.run == ffi.NULL or reason == KICKED:
                how = self.signal(how, result)

    def call(self) -> tuple[int, int]:
        guest = self.processor.native
        number = guest.number
        name = NAMES.get(number, "")
        function = TABLE.get(name) or self.found(name)
        process = self.process
        if process.filter:
            try:
                refused = self.filtered(process.filter)
            except Elsewhere:
                return AS_IT_IS, 0
            if refused is not None:
                return RESULT, refused
        if function is None:
            if name or len(process.lacking) < MOST_LACKING:
                process.lacking[name or str(number)] = process.lacking.get(name or str(number), 0) + 1
            if process.trace is not None:
                self.show(name or f"syscall_{number}", ffi.unpack(guest.arguments, 6), -ENOSYS)
            return RESULT, -ENOSYS
        arguments = ffi.unpack(guest.arguments, ARGUMENTS[name]) if ARGUMENTS[name] else ()
        self.number = number
        if process.trace is not None:
            process.trace.before(self, name, arguments)
        try:
            result = function(self, *arguments)
        except Fault:
            result = -EFAULT
        except OSError as error:
            result = -(error.errno or EFAULT)
        except (OverflowError, StructError):  # a number that the host's call has no room for
            result = -EINVAL
        except MemoryError:
            result = -ENOMEM
        except Elsewhere:
            if process.trace is not None:
                self.show(name, arguments, None)
            return AS_IT_IS, 0
        except (Ended, Reborn):
            raise
        except Exception as error:  # a defect of ours must not be the program's end
            self.defect(name, error)
            result = -EIO
        finally:
            if self.kept:
                self.kept.clear()
            if process.files.shared:
                process.files.done()
        if process.trace is not None and result != AGAIN:
            self.show(name, arguments, result)
        return RESULT, result

    def found(self, name: str) -> Callable[..., int] | None:
        """The function of a call that is made for the first time; what goes wrong must not be the program's end."""
        try:
            return find(name)
        except Exception as error:
            self.defect(name, error)
            return lambda *_: -EIO

    def show(self, name: str, arguments: Sequence[int], result: int | None) -> None:
        """For --trace; what cannot be shown is no reason to end."""
        try:
            if self.process.trace is not None:
                self.process.trace.line(self, name, arguments, result)
        except Exception as error:
            self.defect(name, error)

    def defect(self, name: str, error: Exception) -> None:
        """Said once for each call, where the program's errors go."""
        process, what = self.process, f"defect in {name}"
        if what not in process.lacking and process.files.table.get(2) == 2:
            lines = f"minirun: {what}: {error.__class__.__name__}: {error}\n".encode("utf-8", "replace")
            lib.host_call(NUMBER["write"], 2, int(ffi.cast("uintptr_t", ffi.from_buffer(lines))), len(lines), 0, 0, 0)
        process.lacking[what] = process.lacking.get(what, 0) + 1

    def filtered(self, program: bytes) -> int | None:
        """What /linux/seccomp says of this call (seccomp(2)): None lets it be served."""
        verdict: int = lib.sandbox_filter(ffi.from_buffer(program), len(program) // 8, self.processor.native)
        action, data = verdict & 0xFFFF0000, verdict & 0xFFFF
        if action in (0x7FFF0000, 0x7FFC0000):  # ALLOW, LOG
            return None
        if action == 0x00050000:  # ERRNO
            return -min(data, 4095)
        if action == 0x00030000:  # TRAP
            info = pack(
                "<iiiiQiI",
                signals.SIGSYS,
                data,
                1,
                0,
                self.processor.regs.rip,
                self.processor.native.number,
                0xC000003E,
            )
            if self.process.actions.get(signals.SIGSYS)[0] > signals.SIG_IGN:
                self.processor.regs.rax = self.processor.native.number
                signals.deliver(self, signals.SIGSYS, info)
                raise Elsewhere
        elif action == 0x7FF00000:  # TRACE: nobody traces
            return -ENOSYS
        signals.die(self, signals.SIGSYS)
        return None

    def signal(self, how: int, result: int) -> int:
        """Deliver what was caught; a call that it interrupted is begun anew where the program asked for it."""
        regs = self.processor.regs
        if how == RESULT and result == AGAIN:  # it was not begun: the signal came before it
            self.rewind()
            how = AS_IT_IS
        while (found := signals.pending(self)) is not None:
            number, info = found
            if self.dead:
                raise Ended(0)
            handler, flags, _, _ = self.process.actions.get(number)
            if handler <= signals.SIG_IGN:
                self.set_mask(self.mask)
                continue
            if how == RESULT:
                if result == -EINTR and flags & signals.SA_RESTART and NAMES.get(self.number) not in NEVER_AGAIN:
                    self.rewind()
                else:
                    regs.rax = result & 0xFFFFFFFFFFFFFFFF
                how = AS_IT_IS
            signals.deliver(self, number, info)
        return how

    def rewind(self) -> None:
        """The program stands before its call."""
        regs = self.processor.regs
        regs.rip -= SYSCALL_SIZE
        regs.rax = self.number
        self.processor.touch()

    def call_host(self, number: int, *arguments: int) -> int:
        """A call of the host's that may wait; AGAIN if a signal is to be handled first."""
        done: int = lib.guest_call(self.processor.native, number, *arguments, *(0,) * (6 - len(arguments)))
        return done

    def room(self, data: bytes) -> int:
        """The host's address of a copy that lives until the next call."""
        copy = ffi.new("char[]", data)
        self.kept.append(copy)
        return int(ffi.cast("uintptr_t", copy))

    def set_mask(self, mask: int) -> None:
        """The host holds back what the program blocks, and what has been caught and waits for delivery."""
        self.mask = mask & ~(1 << signals.SIGKILL - 1 | 1 << signals.SIGSTOP - 1)
        held = (self.mask | self.processor.native.pending) & ~(1 << KICK - 1)
        room = ffi.new("uint64_t *", held)
        lib.host_call(NUMBER["rt_sigprocmask"], 2, int(ffi.cast("uintptr_t", room)), 0, 8, 0, 0)

    def lost(self, reason: int) -> None:
        """KVM cannot go on: a defect of ours, or a program that does what no processor can."""
        if reason == -EFAULT:  # behind the end of a file
            signals.die(self, signals.SIGBUS)
        self.process.last_words(self, 0, f"KVM gave up ({reason})")
        signals.die(self, signals.SIGKILL)

    def end(self) -> None:
        """Locks in its hands are marked; CLONE_CHILD_CLEARTID: whoever joins this thread waits for this word."""
        if self.robust:
            robust.let_go(self.memory, self.robust, self.tid)
            self.robust = 0
        if self.clear_tid:
            try:
                self.memory.write(self.clear_tid, pack("<I", 0))
                lib.host_call(NUMBER["futex"], self.memory.host(self.clear_tid, 4), 1, 1, 0, 0, 0)
            except Fault:
                pass


NEVER_AGAIN = {  # signal(7), "Interruption of system calls"
    "pause", "rt_sigsuspend", "rt_sigtimedwait", "nanosleep", "clock_nanosleep", "poll", "ppoll", "select", "pselect6",
    "epoll_wait", "epoll_pwait",
}  # fmt: skip

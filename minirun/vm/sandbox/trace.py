"""--trace: what the program asks, as strace(1) would say it, from outside."""

from __future__ import annotations

import posix

from minirun.vm.sandbox.memory import Fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minirun.vm.sandbox.thread import Thread

ERRNO = {value: name for name, value in vars(__import__("errno")).items() if isinstance(value, int)}
PATHS = {"open": 0, "openat": 1, "execve": 0, "stat": 0, "lstat": 0, "newfstatat": 1, "access": 0, "readlink": 0,
         "readlinkat": 1, "faccessat": 1, "faccessat2": 1, "chdir": 0, "mkdir": 0,
         "unlink": 0, "unlinkat": 1, "statx": 1}  # fmt: skip


class Trace:
    def __init__(self, fd: int) -> None:
        self.fd = fd

    def line(self, thread: Thread, name: str, arguments: Sequence[int], result: int | None) -> None:
        shown = [self.value(thread, name, index, value) for index, value in enumerate(arguments)]
        end = "?" if result is None else self.result(result)
        self.say(f"{posix.getpid()} {name}({', '.join(shown)}) = {end}\n")

    def value(self, thread: Thread, name: str, index: int, value: int) -> str:
        if PATHS.get(name) == index and value:
            try:
                return repr(thread.memory.string(value, 256).decode("utf-8", "replace"))
            except Fault:
                return hex(value)
        signed = value - (1 << 64) if value >> 63 else value
        small = signed - (1 << 32) if 0xFFFFF000 <= signed < 1 << 32 else signed
        return str(small) if -4096 < small < 65536 else hex(value)

    @staticmethod
    def result(result: int) -> str:
        if -4096 < result < 0:
            return f"-1 {ERRNO.get(-result, -result)} ({posix.strerror(-result)})"
        return str(result) if result < 1 << 20 else hex(result)

    def end(self, thread: Thread, number: int, text: str) -> None:
        if number:
            regs = thread.processor.regs
            self.say(f"{posix.getpid()} --- signal {number} at rip {regs.rip:#x}, rsp {regs.rsp:#x} ---\n")
        if text:
            self.say(f"{posix.getpid()} --- {text} ---\n")

    def say(self, text: str) -> None:
        posix.write(self.fd, text.encode("utf-8", "replace"))

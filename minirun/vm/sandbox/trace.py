"""--trace: what the program asks, as strace(1) would say it, from outside."""

from __future__ import annotations

import posix
from _struct import unpack

from minirun.vm.sandbox import trace_words as words
from minirun.vm.sandbox.memory import Fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from minirun.vm.sandbox.thread import Thread

ERRNO = {value: name for name, value in vars(__import__("errno")).items() if isinstance(value, int)}
SIGNALS = {value: name for name, value in vars(__import__("_signal")).items()
           if name.startswith("SIG") and not name.startswith("SIG_") and isinstance(value, int)}  # fmt: skip
ADDRESSES = {"mmap", "brk", "mremap"}  # whose results are
NO_RETURN = {"execve", "execveat", "exit", "exit_group"}  # shown before: afterwards there is nothing to look at
BYTES = 32  # of a buffer
S_IFMT = {0o140000: "S_IFSOCK", 0o120000: "S_IFLNK", 0o100000: "S_IFREG", 0o060000: "S_IFBLK", 0o040000: "S_IFDIR",
          0o020000: "S_IFCHR", 0o010000: "S_IFIFO"}  # fmt: skip


class Trace:
    """``fd``: where to; a copy that the program cannot close."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.shown = ""

    def before(self, thread: Thread, name: str, arguments: Sequence[int]) -> None:
        if name in NO_RETURN:
            self.shown = self.said(thread, name, arguments, 0)

    def line(self, thread: Thread, name: str, arguments: Sequence[int], result: int | None) -> None:
        text, self.shown = self.shown, ""
        end = "?" if result is None and name == "rt_sigreturn" else self.result(name, result or 0)
        self.say(f"{text or self.said(thread, name, arguments, result or 0)} = {end}")

    def said(self, thread: Thread, name: str, arguments: Sequence[int], result: int) -> str:
        shape = words.SHAPES.get(name, "")
        shown = []
        for index, value in enumerate(arguments):
            kind = shape[index] if index < len(shape) else "n"
            after = arguments[index + 1] if index + 1 < len(arguments) else 0
            try:
                shown.append(self.value(thread, kind, value, after, result))
            except Fault:
                shown.append(hex(value))
        if name in ("open", "openat") and not arguments[-2] & 0o20000100:
            shown.pop()  # a mode that is not looked at
        return f"{name}({', '.join(shown)})"

    def value(self, thread: Thread, kind: str, value: int, after: int, result: int) -> str:
        memory = thread.memory
        if kind in "svVwrPSTA" and not value:
            return "NULL"
        if kind == "s":
            return words.quoted(memory.string(value, 4096), 4096)
        if kind == "v":
            return vector(thread, value)
        if kind == "V":
            return f"/* {count(thread, value)} words */"
        if kind == "w":
            return words.quoted(memory.read(value, min(after, BYTES + 1)), BYTES)
        if kind in "rPST" and result < 0:
            return hex(value)
        if kind == "r":
            return words.quoted(memory.read(value, min(result, BYTES + 1)), BYTES) if result else '""'
        if kind == "A":
            return address(memory.read(value, min(after, 128)))
        structure = STRUCTURES.get(kind)
        if structure is not None:
            size, shown = structure
            return shown(memory.read(value, size))
        return plain(kind, value)

    @staticmethod
    def result(name: str, result: int) -> str:
        if -4096 < result < 0:
            return f"-1 {ERRNO.get(-result, -result)} ({posix.strerror(-result)})"
        return hex(result) if name in ADDRESSES else str(result)

    def end(self, thread: Thread, number: int, text: str) -> None:
        """The process's."""
        if self.shown:
            self.say(f"{self.shown} = ?")
            self.shown = ""
        if number:
            regs = thread.processor.regs
            self.say(f"--- {SIGNALS.get(number, number)} at rip {regs.rip:#x}, rsp {regs.rsp:#x} ---")
        if text:
            self.say(f"--- {text} ---")
        lacking = thread.process.lacking
        if lacking:
            rows = [f"{name} {count}" for name, count in sorted(lacking.items())]
            self.say(f"--- not served (ENOSYS): {', '.join(rows)} ---")

    def say(self, text: str) -> None:
        data = f"[{posix.getpid()}] {text}\n".encode("utf-8", "replace")
        try:
            posix.write(self.fd, data)
        except OSError:  # whoever listened has gone
            pass


def vector(thread: Thread, at: int) -> str:
    shown: list[str] = []
    while len(shown) < 32:
        (where,) = unpack("<Q", thread.memory.read(at, 8))
        if not where:
            return f"[{', '.join(shown)}]"
        shown.append(words.quoted(thread.memory.string(where, 4096), BYTES))
        at += 8
    return f"[{', '.join(shown)}, ...]"


def count(thread: Thread, at: int) -> int:
    found = 0
    while found < 10000 and unpack("<Q", thread.memory.read(at + 8 * found, 8))[0]:
        found += 1
    return found


def address(data: bytes) -> str:
    """struct sockaddr."""
    if len(data) < 2:
        return "{}"
    family = int.from_bytes(data[:2], "little")
    if family == 1:
        return f"{{AF_UNIX, {words.quoted(data[2:].partition(bytes(1))[0] or data[2:], 108)}}}"
    if family == 2 and len(data) >= 8:
        return f"{{AF_INET, {'.'.join(map(str, data[4:8]))}:{int.from_bytes(data[2:4], 'big')}}}"
    return f"{{family {family}, {words.quoted(data[2:], BYTES)}}}"


def stat(data: bytes) -> str:
    mode, size = int.from_bytes(data[24:28], "little"), int.from_bytes(data[48:56], "little")
    return f"{{{S_IFMT.get(mode & 0o170000, '0')}|{mode & 0o7777:04o}, st_size={size}, ...}}"


def timespec(data: bytes) -> str:
    seconds, rest = unpack("<qq", data)
    return f"{{{seconds}.{rest:09d}}}" if seconds >= 0 and 0 <= rest < 10**9 else f"{{{seconds}, {rest}}}"


STRUCTURES: dict[str, tuple[int, Callable[[bytes], str]]] = {
    "S": (144, stat), "T": (16, timespec), "P": (8, lambda data: "[{}, {}]".format(*unpack("<ii", data))),
}  # fmt: skip


def plain(kind: str, value: int) -> str:
    """A number, and names for it."""
    low = value & 0xFFFFFFFF
    signed = low - (1 << 32) if low >> 31 else low
    if kind == "d" and signed == -100:
        return "AT_FDCWD"
    if kind in "fd":
        return str(signed)
    if kind == "k":
        return SIGNALS.get(low, str(low))
    if kind == "O":
        return words.opened(low)
    if kind == "C":
        sign = SIGNALS.get(low & 0xFF, "")
        return words.flags(low & ~0xFF, words.CLONE) + (f"|{sign}" if sign else "")
    named = {"R": (words.PROTECTION, "PROT_NONE"), "M": (words.MAP, "0"), "W": (words.WAIT, "0")}.get(kind)
    if named is not None:
        return words.flags(low, *named)
    if kind == "o":
        return f"0{low:o}"
    if kind == "x":
        return hex(value) if value else "0"
    whole = value - (1 << 64) if value >> 63 else value
    return str(signed if value >> 32 == 0xFFFFFFFF or value >> 32 == 0 else whole)

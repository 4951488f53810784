"""execve(2): a program into an empty memory (elf(5); fs/binfmt_elf.c, fs/binfmt_script.c; the x86-64 ABI, 3.4.1).

ELF, static, static-PIE or with an interpreter from the same root; or a script, whose first line names one.
"""

from __future__ import annotations

import posix
from _struct import pack, unpack_from

from minirun.record import Record
from minirun.vm.sandbox import layout
from minirun.vm.sandbox.layout import PAGE
from minirun.vm.sandbox.memory import EXEC, MAP_ANONYMOUS, MAP_PRIVATE, READ, WRITE, pages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.vm.sandbox.memory import Memory

ENOEXEC, E2BIG, ELOOP, ENOMEM, EACCES = 8, 7, 40, 12, 13
PT_LOAD, PT_INTERP = 1, 3
EXECUTABLE, DYNAMIC, X86_64 = 2, 3, 62
MOST_HEADERS = 64
MOST_STRINGS = 128 << 10
AT = {"PHDR": 3, "PHENT": 4, "PHNUM": 5, "PAGESZ": 6, "BASE": 7, "FLAGS": 8, "ENTRY": 9, "UID": 11, "EUID": 12,
      "GID": 13, "EGID": 14, "PLATFORM": 15, "HWCAP": 16, "CLKTCK": 17, "SECURE": 23, "RANDOM": 25,
      "EXECFN": 31}  # fmt: skip


class Image(Record):
    """What execve has found: ``parts`` are the program and, if it has one, its interpreter."""

    program: Elf
    interpreter: Elf | None
    path: bytes
    args: list[bytes]


class Elf(Record):
    """An ELF file's headers."""

    fd: int
    kind: int
    entry: int
    headers: int  # offset of the table in the file
    count: int
    segments: list[tuple[int, int, int, int, int, int]]  # type, flags, offset, address, in the file, in memory
    interpreter: bytes


def read_elf(fd: int) -> Elf:
    """Raises OSError ENOEXEC."""
    head = posix.pread(fd, PAGE, 0)
    if len(head) < 64:
        raise OSError(ENOEXEC, "a truncated program")
    if head[:7] != b"\x7fELF\x02\x01\x01":
        raise OSError(ENOEXEC, "not an ELF program")
    kind, machine = unpack_from("<HH", head, 16)
    entry, table = unpack_from("<QQ", head, 24)
    size, count = unpack_from("<HH", head, 54)
    if kind not in (EXECUTABLE, DYNAMIC) or machine != X86_64 or size != 56 or not 0 < count <= MOST_HEADERS:
        raise OSError(ENOEXEC, "not a program for this processor")
    rows = posix.pread(fd, count * 56, table & (1 << 62) - 1)
    if len(rows) < count * 56:
        raise OSError(ENOEXEC, "a truncated program")
    segments, interpreter = [], b""
    for number in range(count):
        what, flags, offset, address, _, in_file, in_memory, _ = unpack_from("<IIQQQQQQ", rows, 56 * number)
        if what in (PT_LOAD, PT_INTERP) and max(offset, in_file) >> 62:
            raise OSError(ENOEXEC, "a broken segment")
        if what == PT_LOAD:
            if in_file > in_memory or address + in_memory > layout.LIMIT or (offset - address) % PAGE:
                raise OSError(ENOEXEC, "a broken segment")
            segments.append((what, flags, offset, address, in_file, in_memory))
        elif what == PT_INTERP:
            interpreter = posix.pread(fd, min(in_file, PAGE), offset).partition(b"\0")[0]
    if not segments:
        raise OSError(ENOEXEC, "nothing to load")
    return Elf(fd=fd, kind=kind, entry=entry, headers=table, count=count, segments=segments, interpreter=interpreter)


def find(opener: Callable[[bytes], int], path: bytes, args: list[bytes], fd: int = -1, depth: int = 0) -> Image:
    """Scripts lead to their interpreters.  ``opener`` opens an executable file of the root.  Raises OSError."""
    if depth > 4:
        raise OSError(ELOOP, "too many interpreters")
    fd = opener(path) if fd < 0 else fd
    try:
        head = posix.pread(fd, 256, 0)
    except OSError:
        posix.close(fd)
        raise
    if head[:2] == b"#!":
        posix.close(fd)
        line = head[2:].partition(b"\n")[0].strip(b" \t\0").split(None, 1)
        if not line:
            raise OSError(ENOEXEC, "no interpreter in the first line")
        return find(opener, line[0], [line[0], *[word.strip() for word in line[1:]], path, *args[1:]], -1, depth + 1)
    opened = [fd]
    try:
        program, loader = read_elf(fd), None
        if program.interpreter:
            opened.append(opener(program.interpreter))
            loader = read_elf(opened[-1])
    except OSError:
        for each in opened:
            posix.close(each)
        raise
    return Image(program=program, interpreter=loader, path=path, args=args)


def place(memory: Memory, elf: Elf, bias: int) -> tuple[int, int]:
    """Map the segments; (where the program headers are, the end of the last segment).  Raises OSError."""
    end = headers = 0
    for _, flags, offset, address, in_file, in_memory in elf.segments:
        protection = (EXEC if flags & 1 else 0) | (WRITE if flags & 2 else 0) | (READ if flags & 4 else 0)
        at = address + bias
        start, pad = at & -PAGE, at % PAGE
        if in_file:
            check(memory.map(start, pad + in_file, protection, MAP_PRIVATE, elf.fd, offset - pad))
        filled, rest, last = at + in_file, pages(at + in_file), pages(at + in_memory)
        if not in_file:
            rest = start
        if last > rest:
            check(memory.map(rest, last - rest, protection, MAP_PRIVATE | MAP_ANONYMOUS))
        if in_file and in_memory > in_file and rest > filled and protection & WRITE:
            memory.write(filled, bytes(rest - filled))
        if offset <= elf.headers < offset + in_file:
            headers = at + elf.headers - offset
        end = max(end, at + in_memory)
    return headers, end


def check(done: int) -> None:
    if done < 0:
        raise OSError(-done, posix.strerror(-done), "mmap")


def load(memory: Memory, image: Image, env: list[bytes], ids: tuple[int, int, int, int]) -> tuple[int, int]:
    """(entry, stack pointer).  ``memory`` is clear, the system's pages are there."""
    random = posix.urandom(32)
    shift = int.from_bytes(random[16:20], "little") % layout.SHIFT & -PAGE
    program, loader = image.program, image.interpreter
    bias = layout.PIE + shift if program.kind == DYNAMIC else 0
    headers, end = place(memory, program, bias)
    entry, base = program.entry + bias, 0
    if loader is not None:
        size = max(each[3] + each[5] for each in loader.segments)
        base = memory.find(size + shift) + shift & -PAGE if loader.kind == DYNAMIC else 0
        place(memory, loader, base)
        entry = loader.entry + base
    memory.brk_start = memory.brk_end = pages(end) + (shift >> 4 & -PAGE)
    check(memory.map(layout.STACK - layout.STACK_SIZE, layout.STACK_SIZE, READ | WRITE, MAP_PRIVATE | MAP_ANONYMOUS))
    values = {
        "PHDR": headers, "PHENT": 56, "PHNUM": program.count, "PAGESZ": PAGE, "BASE": base, "FLAGS": 0,
        "ENTRY": program.entry + bias, "UID": ids[0], "EUID": ids[1], "GID": ids[2], "EGID": ids[3],
        "CLKTCK": 100, "SECURE": 0, "HWCAP": 0x178BFBFF,
    }  # fmt: skip
    return entry, stack(memory, image, env, values, random[:16])


def stack(memory: Memory, image: Image, env: list[bytes], values: dict[str, int], random: bytes) -> int:
    """Strings at the top; below them argc, argv, envp and the auxiliary vector."""
    strings = bytearray()
    places = []
    for text in [random, b"x86_64\0", image.path + b"\0", *[word + b"\0" for word in (*image.args, *env)]]:
        places.append(len(strings))
        strings += text
    if len(strings) > layout.STACK_SIZE // 4:
        raise OSError(E2BIG, posix.strerror(E2BIG), "execve")
    top = layout.STACK - 16 - len(strings) & -16
    places = [top + place for place in places]
    values = {**values, "RANDOM": places[0], "PLATFORM": places[1], "EXECFN": places[2]}
    argv, envp = places[3 : 3 + len(image.args)], places[3 + len(image.args) :]
    words = [len(argv), *argv, 0, *envp, 0]
    for name, value in values.items():
        words += [AT[name], value]
    words += [0, 0]
    at = top - 8 * len(words) & -16
    memory.write(at, pack(f"<{len(words)}Q", *words))
    memory.write(top, bytes(strings))
    return at

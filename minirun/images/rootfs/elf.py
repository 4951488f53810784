"""PURE: what an ELF file needs to run (elf(5), ld.so(8)): its loader, its libraries, and where it says they are.

Only the program headers and the dynamic section are read; both word sizes and both byte orders.
"""

from __future__ import annotations

from struct import (
    error as StructError,  # noqa: N812 (the module's own name for it is "error")
    unpack_from,
)

from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

MAGIC = b"\x7fELF"
PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NEEDED, DT_STRTAB, DT_SONAME, DT_RPATH, DT_RUNPATH = 1, 5, 14, 15, 29
MOST_HEADERS, MOST_DYNAMIC = 256, 65536


class Program(Record):
    """``machine`` and ``bits`` have to be the same in all that is loaded together."""

    machine: int
    bits: int
    loader: str = ""
    needed: tuple[str, ...] = ()
    soname: str = ""
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()


class BadElf(ValueError):
    """It begins like an ELF file, and goes on otherwise."""


def parse(image: Buffer) -> Program | None:
    """None for what is no ELF file.  Raises BadElf."""
    view = memoryview(image)
    if bytes(view[:4]) != MAGIC or len(view) < 20:
        return None
    try:
        return read(view)
    except (StructError, UnicodeDecodeError) as error:
        raise BadElf("an ELF file that is cut off or broken") from error


def read(view: memoryview) -> Program:
    if view[4] not in (1, 2) or view[5] not in (1, 2):
        raise BadElf("an ELF file of a class that nobody knows")
    wide, order = view[4] == 2, "<" if view[5] == 1 else ">"
    machine = unpack_from(f"{order}H", view, 18)[0]
    found = Program(machine=machine, bits=64 if wide else 32)
    loads, dynamic = [], b""
    for kind, offset, address, size in segments(view, wide, order):
        if kind == PT_LOAD:
            loads.append((address, offset, size))
        elif kind == PT_INTERP:
            found.loader = bytes(view[offset : offset + size]).partition(b"\0")[0].decode()
        elif kind == PT_DYNAMIC:
            dynamic = bytes(view[offset : offset + size])
    tags = list(pairs(dynamic, wide, order))
    table = next((place(loads, value) for tag, value in tags if tag == DT_STRTAB), -1)
    if table < 0:
        return found

    def words(wanted: int) -> tuple[str, ...]:
        return tuple(text(view, table + value) for tag, value in tags if tag == wanted)

    found.needed = words(DT_NEEDED)
    found.soname = "".join(words(DT_SONAME)[:1])
    found.rpath = tuple(part for word in words(DT_RPATH) for part in word.split(":") if part)
    found.runpath = tuple(part for word in words(DT_RUNPATH) for part in word.split(":") if part)
    return found


def segments(view: memoryview, wide: bool, order: str) -> Iterator[tuple[int, int, int, int]]:
    """(type, offset, address, size in the file) of each program header."""
    start = unpack_from(f"{order}Q", view, 32)[0] if wide else unpack_from(f"{order}I", view, 28)[0]
    size, count = unpack_from(f"{order}HH", view, 54 if wide else 42)
    if count > MOST_HEADERS:
        raise BadElf(f"an ELF file with {count} program headers")
    for number in range(count):
        at = start + number * size
        if wide:
            kind, _, offset, address, _, length = unpack_from(f"{order}IIQQQQ", view, at)
        else:
            kind, offset, address, _, length = unpack_from(f"{order}IIIII", view, at)
        yield kind, offset, address, length


def pairs(dynamic: bytes, wide: bool, order: str) -> Iterator[tuple[int, int]]:
    step = 16 if wide else 8
    for at in range(0, min(len(dynamic), MOST_DYNAMIC) - step + 1, step):
        tag, value = unpack_from(f"{order}{'qQ' if wide else 'iI'}", dynamic, at)
        if tag == 0:
            return
        yield tag, value


def place(loads: list[tuple[int, int, int]], address: int) -> int:
    """Where in the file an address of memory comes from; -1 for nowhere."""
    return next((offset + address - start for start, offset, size in loads if start <= address < start + size), -1)


def text(view: memoryview, at: int) -> str:
    return bytes(view[at : at + 4096]).partition(b"\0")[0].decode()

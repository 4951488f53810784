"""PURE: vmlinux, the kernel as the linker made it (elf(5)): its segments are copied to their physical addresses.

Two ways in.  The ELF header's entry is the 64-bit one of the Linux boot protocol (``startup_64``, boot_params in RSI):
what a bzImage jumps to when it has unpacked itself.  A kernel built with CONFIG_PVH also carries the note
XEN_ELFNOTE_PHYS32_ENTRY (xen/include/public/elfnote.h, 18): a 32-bit entry with hvm_start_info in EBX.
"""

from __future__ import annotations

from _struct import unpack_from

from minirun.vm import layout
from minirun.vm.boot.entry import LONG, PROTECTED, BadKernel, Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

MAGIC = b"\x7fELF"
CLASS64, LITTLE, EXECUTABLE, X86_64 = 2, 1, 2, 62
PT_LOAD, PT_NOTE = 1, 4
PHYS32_ENTRY = 18
SEGMENTS_MOST = 64  # a kernel has four or five


def is_elf(image: Buffer) -> bool:
    return bytes(memoryview(image)[:4]) == MAGIC


def headers(view: memoryview) -> Iterator[tuple[int, int, int, int, int, int]]:
    """(type, offset, physical address, size in the file, size in memory, alignment) of each segment."""
    if len(view) < 64 or view[4] != CLASS64 or view[5] != LITTLE:
        raise BadKernel("an ELF file, but not a 64-bit one")
    kind, machine = unpack_from("<HH", view, 16)
    if kind != EXECUTABLE or machine != X86_64:
        raise BadKernel("an ELF file, but not an x86-64 executable")
    table, size, count = unpack_from("<Q", view, 32)[0], *unpack_from("<HH", view, 54)
    if size != 56 or not 0 < count <= SEGMENTS_MOST or table + size * count > len(view):
        raise BadKernel("an ELF file with broken program headers")
    for number in range(count):
        kind, _, offset, _, physical, in_file, in_memory, align = unpack_from("<IIQQQQQQ", view, table + number * 56)
        if kind in (PT_LOAD, PT_NOTE) and (offset + in_file > len(view) or in_file > in_memory > 0):
            raise BadKernel(f"an ELF file whose segment {number} is not in it")
        yield kind, offset, physical, in_file, in_memory, align


def segments(image: Buffer) -> tuple[list[tuple[int, Buffer]], int]:
    """(pieces, end): what is copied where, and the first address behind the kernel's memory.  Raises BadKernel.

    What is zero in memory and absent from the file (.bss) needs no piece: guest memory begins as zeros.
    """
    view = memoryview(image)
    pieces: list[tuple[int, Buffer]] = []
    end = 0
    for kind, offset, physical, in_file, in_memory, _ in headers(view):
        if kind != PT_LOAD:
            continue
        if physical < layout.KERNEL:
            raise BadKernel(f"its segment at {physical:#x} is below 1 MiB")
        end = max(end, physical + in_memory)
        if in_file:
            pieces.append((physical, view[offset : offset + in_file]))
    if not pieces:
        raise BadKernel("an ELF file without anything to load")
    return pieces, end


def entry(image: Buffer) -> Entry:
    """The 64-bit entry.  Raises BadKernel."""
    pieces, end = segments(image)
    rip = unpack_from("<Q", memoryview(image), 24)[0]
    if not layout.KERNEL <= rip < end:
        raise BadKernel(f"its entry {rip:#x} is not a physical address of it")
    return Entry(
        protocol="vmlinux, 64-bit entry", mode=LONG, rip=rip, rsi=layout.BOOT_PARAMS, pieces=pieces, end=end,
        initrd_most=layout.GAP - 1,
    )  # fmt: skip


def pvh_entry(image: Buffer) -> Entry:
    """PVH's entry.  Raises BadKernel where there is none."""
    pieces, end = segments(image)
    address = phys32_entry(image)
    if address is None:
        raise BadKernel("it has no note for PVH (it was built without CONFIG_PVH)")
    return Entry(
        protocol="vmlinux, PVH", mode=PROTECTED, rip=address, rbx=layout.PVH_INFO, pieces=pieces, end=end,
        initrd_most=layout.GAP - 1,
    )  # fmt: skip


def phys32_entry(image: Buffer) -> int | None:
    view = memoryview(image)
    for kind, offset, _, size, _, align in headers(view):
        if kind != PT_NOTE:
            continue
        for name, number, content in notes(view[offset : offset + size], 8 if align == 8 else 4):
            if name == b"Xen\0" and number == PHYS32_ENTRY and len(content) in (4, 8):
                return int.from_bytes(content, "little")
    return None


def notes(view: memoryview, align: int) -> Iterator[tuple[bytes, int, memoryview]]:
    """(name, type, content): each padded to ``align``."""
    at = 0
    while at + 12 <= len(view):
        name_size, size, number = unpack_from("<III", view, at)
        name = at + 12
        content = name + (name_size + align - 1 & -align)
        if content + size > len(view):
            return
        yield bytes(view[name : name + name_size]), number, view[content : content + size]
        at = content + (size + align - 1 & -align)

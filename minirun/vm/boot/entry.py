"""PURE: what a boot protocol comes to: bytes at addresses, and the registers that the first processor starts with."""

from __future__ import annotations

from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Buffer

LONG, PROTECTED, REAL = "long", "protected", "real"  # 64-bit with paging; 32-bit without; 16-bit


class Entry(Record):
    """Where a kernel is entered, and in which mode; ``pieces`` are to be in memory before.

    ``end`` is the first address behind all that the kernel uses before it knows of the memory map.
    """

    protocol: str  # for people: "64-bit boot protocol", ...
    mode: str
    rip: int
    pieces: list[tuple[int, Buffer]]
    end: int
    rsi: int = 0  # boot_params (Linux boot protocol)
    rbx: int = 0  # hvm_start_info (PVH)
    header: bytes = b""  # the setup header of a bzImage, for boot_params
    initrd_most: int = 0x37FFFFFF  # x86/boot.rst: "if this field is not present, it is 0x37ffffff"
    cmdline_most: int = 2047


class BadKernel(Exception):
    """Bytes that no boot protocol here can start; its text says what they are instead."""

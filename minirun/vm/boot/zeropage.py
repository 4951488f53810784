"""PURE: what a kernel is told: boot_params of the Linux boot protocol, and hvm_start_info of PVH.

Offsets are those of struct boot_params (Documentation/arch/x86/zero-page.rst) and of struct hvm_start_info
(xen/include/public/arch-x86/hvm/start_info.h).
"""

from __future__ import annotations

from _struct import pack, pack_into

from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

E820_MOST = 128  # E820_MAX_ENTRIES_ZEROPAGE
UNKNOWN_LOADER = 0xFF  # type_of_loader: "undefined", which is what we are
CAN_USE_HEAP = 0x80
HVM_MAGIC = 0x336EC578


class Told(Record):
    """What both protocols tell a kernel."""

    e820: Sequence[tuple[int, int, int]]
    cmdline: int  # addresses
    rsdp: int
    initrd: int = 0
    initrd_size: int = 0


def boot_params(told: Told, header: bytes) -> bytes:
    """The zero page.  ``header`` is the bzImage's setup header (from 0x1f1); a vmlinux has none, and gets the least."""
    page = bytearray(4096)
    page[0x1F1 : 0x1F1 + len(header)] = header
    if not header:
        pack_into("<H", page, 0x1FE, 0xAA55)
        pack_into("<4sH", page, 0x202, b"HdrS", 0x020F)
        page[0x211] = 1  # loaded high
    page[0x210] = UNKNOWN_LOADER
    page[0x211] &= ~CAN_USE_HEAP & 0xFF  # the heap is the real-mode code's, which does not run
    pack_into("<H", page, 0x1FA, 0xFFFF)  # vid_mode: "normal"; there is no screen at all
    pack_into("<II", page, 0x218, told.initrd & 0xFFFFFFFF, told.initrd_size)
    pack_into("<I", page, 0x228, told.cmdline)
    pack_into("<Q", page, 0x070, told.rsdp)  # acpi_rsdp_addr: nobody has to search for it
    if len(told.e820) > E820_MOST:
        raise ValueError(f"a memory map of {len(told.e820)} entries: boot_params has {E820_MOST}")
    page[0x1E8] = len(told.e820)
    for number, (address, length, kind) in enumerate(told.e820):
        pack_into("<QQI", page, 0x2D0 + number * 20, address, length, kind)
    return bytes(page)


def hvm_start_info(told: Told, address: int) -> bytes:
    """PVH's, version 1: the structure, its one module (the initramfs), the memory map, to be put at ``address``."""
    modules = address + 56
    memory_map = modules + 32
    info = pack(
        "<IIIIQQQQII",
        HVM_MAGIC, 1, 0, 1 if told.initrd_size else 0,
        modules if told.initrd_size else 0, told.cmdline, told.rsdp,
        memory_map, len(told.e820), 0,
    )  # fmt: skip
    module = pack("<QQQQ", told.initrd, told.initrd_size, 0, 0)
    entries = b"".join(pack("<QQII", start, length, kind, 0) for start, length, kind in told.e820)
    return info + module + entries

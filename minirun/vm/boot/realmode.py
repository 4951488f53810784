"""PURE: the 16-bit entry of a bzImage, for payloads that have no other (iPXE's .lkrn), and the BIOS that they call.

    0x000000   interrupt vectors: all 256 lead to 0xf000:(number * 8)
    0x000400   the BIOS data area, as much of it as is looked at
    0x090000   the real-mode code of the file; entered at 0x9020:0, all other segments 0x9000 (x86/boot.rst)
    0x0f0000   stubs: push the vector's number, jump to the common one, which writes to a port

The write is an exit, in which ``devices/bios.py`` does what a BIOS's interrupt does.
"""

from __future__ import annotations

from _struct import pack, pack_into

from minirun.vm import layout
from minirun.vm.boot import bzimage
from minirun.vm.boot.entry import REAL, BadKernel, Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import Buffer

BASE = 0x90000  # where boot loaders have always put it
SEGMENT = BASE >> 4
HEAP_END = 0xE000  # behind it, the stack above: below the end of low memory
STUBS = 0xF0000
COMMON = 256 * 8
CAN_USE_HEAP = 0x80


def entry(image: Buffer) -> Entry:
    """Raises BadKernel."""
    setup = bzimage.Setup(image)
    view = memoryview(image)
    code = view[setup.start :]
    if setup.start > HEAP_END // 2:
        raise BadKernel(f"real-mode code of {setup.start} bytes")
    real = bytearray(view[: setup.start])
    real[0x210] = 0xFF  # type_of_loader: none of those that have a number
    real[0x211] |= CAN_USE_HEAP
    pack_into("<H", real, 0x224, HEAP_END - 0x200)  # heap_end_ptr: relative to the setup code
    pack_into("<I", real, 0x228, layout.CMDLINE)
    pieces: list[tuple[int, Buffer]] = [(0, vectors()), (0x400, data_area()), (STUBS, stubs())]
    return Entry(
        protocol="bzImage, 16-bit entry", mode=REAL, rip=0, pieces=[*pieces, (BASE, real), (layout.KERNEL, code)],
        end=layout.KERNEL + len(code), cmdline_most=setup.cmdline_most,
    )  # fmt: skip


def vectors() -> bytes:
    """Offset and segment of each."""
    return b"".join(pack("<HH", number * 8, STUBS >> 4) for number in range(256))


def stubs() -> bytes:
    """``push number; jmp common``, padded to 8; common: ``out port, al; add sp, 2; iret``."""
    each = [
        (b"\x6a" + bytes([number]) + b"\xe9" + pack("<h", COMMON - number * 8 - 5)).ljust(8, b"\x90")
        for number in range(256)
    ]
    return b"".join(each) + b"\xe6" + bytes([layout.BIOS]) + b"\x83\xc4\x02\xcf"


def data_area() -> bytes:
    """Up to the reset word: base memory in KiB, a text screen of 80 columns, where the extended area is."""
    area = bytearray(layout.RESET_WORD - 0x400)
    pack_into("<H", area, 0x0E, layout.LOW_END >> 4)
    pack_into("<H", area, 0x13, layout.LOW_END >> 10)
    pack_into("<BH", area, 0x49, 3, 80)
    pack_into("<H", area, 0x63, 0x3D4)
    return bytes(area)


def sregs() -> dict[str, Any]:
    """Members of struct kvm_sregs: the rest is as after a reset, which is real mode."""

    def segment(selector: int, kind: int) -> dict[str, int]:
        return {
            "base": selector << 4, "limit": 0xFFFF, "selector": selector, "type": kind, "s": 1, "dpl": 0, "present": 1,
            "avl": 0, "l": 0, "db": 0, "g": 0, "unusable": 0,
        }  # fmt: skip

    data = segment(SEGMENT, 0x3)
    return {"cs": segment(SEGMENT + 0x20, 0xB), "ds": data, "es": data, "fs": data, "gs": data, "ss": data}

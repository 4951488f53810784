"""PURE: bzImage, the kernel as distributions ship it (Documentation/arch/x86/boot.rst).

    [0, (setup_sects + 1) * 512)   real-mode code, with the setup header at 0x1f1; we run none of it
    the rest                       protected-mode code, to be loaded at 1 MiB; it unpacks the kernel

Two entries: the 64-bit one, 0x200 behind the beginning (XLF_KERNEL_64 says that it is there), which wants paging on,
and the 32-bit one at the very beginning, which every payload in this format has: memtest86+ and iPXE too.
"""

from __future__ import annotations

from _struct import unpack_from

from minirun.vm import layout
from minirun.vm.boot.entry import LONG, PROTECTED, BadKernel, Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Buffer

HEADER = 0x1F1  # where struct setup_header begins, in the file as in boot_params
MAGIC = b"HdrS"
XLF_KERNEL_64 = 1
LOADED_HIGH = 1
NEWEST = 0x020F  # the protocol up to which this was read; later ones only add to it


class Setup:
    """The setup header's fields that a loader reads."""

    def __init__(self, image: Buffer) -> None:
        view = memoryview(image)
        if len(view) < 0x270 or bytes(view[0x202:0x206]) != MAGIC or bytes(view[0x1FE:0x200]) != b"\x55\xaa":
            raise BadKernel("it has no setup header of the Linux boot protocol")
        self.version: int = unpack_from("<H", view, 0x206)[0]
        if self.version < 0x0200 or not view[0x211] & LOADED_HIGH:
            raise BadKernel(f"a zImage of protocol {self.version >> 8}.{self.version & 255:02}: only bzImage is known")
        self.sectors: int = view[0x1F1] or 4  # "for backwards compatibility, 0 means 4"
        self.start = (self.sectors + 1) * 512
        if self.start >= len(view):
            raise BadKernel("the file ends before its protected-mode code")
        # The byte of the jump at 0x200 says how long the header of this version is.
        self.header = bytes(view[HEADER : min(0x202 + view[0x201], 0x290)])
        self.initrd_most: int = unpack_from("<I", view, 0x22C)[0] if self.version >= 0x0203 else 0x37FFFFFF
        self.cmdline_most: int = unpack_from("<I", view, 0x238)[0] if self.version >= 0x0206 else 255
        self.flags64: int = unpack_from("<H", view, 0x236)[0] if self.version >= 0x020C else 0
        self.code32: int = unpack_from("<I", view, 0x214)[0]
        self.payload: tuple[int, int] = unpack_from("<II", view, 0x248) if self.version >= 0x0208 else (0, 0)
        self.preferred, self.needs = unpack_from("<QI", view, 0x258) if self.version >= 0x020A else (layout.KERNEL, 0)


def is_bzimage(image: Buffer) -> bool:
    return bytes(memoryview(image)[0x202:0x206]) == MAGIC


def is_real(image: Buffer) -> bool:
    """It has no protected-mode entry, neither of 64 nor of 32 bits: what lies at 1 MiB is no code."""
    setup = Setup(image)
    return not setup.code32 and not setup.flags64 & XLF_KERNEL_64


def entry(image: Buffer) -> Entry:
    """Raises BadKernel."""
    setup = Setup(image)
    code = memoryview(image)[setup.start :]
    long = bool(setup.flags64 & XLF_KERNEL_64)
    # It unpacks to the preferred address, and needs init_size bytes from there; it never uses less than its own place.
    end = max(layout.KERNEL + len(code), setup.preferred + setup.needs if setup.needs else 0)
    return Entry(
        protocol="bzImage, 64-bit entry" if long else "bzImage, 32-bit entry",
        mode=LONG if long else PROTECTED,
        rip=layout.KERNEL + (0x200 if long else 0),
        rsi=layout.BOOT_PARAMS,
        pieces=[(layout.KERNEL, code)],
        end=end,
        header=setup.header,
        initrd_most=setup.initrd_most,
        cmdline_most=setup.cmdline_most,
    )

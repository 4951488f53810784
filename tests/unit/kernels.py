"""Kernels made by hand: just enough of a bzImage, and of a vmlinux, for the loaders to read."""

from __future__ import annotations

from struct import pack, pack_into


def bzimage(code: bytes = b"\xf4" * 1024, *, payload: bytes = b"", long: bool = True, version: int = 0x020F) -> bytes:
    """A setup of two sectors, then the code, then the payload."""
    setup = bytearray(3 * 512)
    setup[0x1F1] = 2
    pack_into("<H", setup, 0x1FE, 0xAA55)
    setup[0x200:0x202] = b"\xeb\x6a"
    pack_into("<4sH", setup, 0x202, b"HdrS", version)
    setup[0x211] = 0x81
    pack_into("<I", setup, 0x214, 0x100000)
    pack_into("<I", setup, 0x22C, 0x7FFFFFFF)
    pack_into("<H", setup, 0x236, int(long))
    pack_into("<I", setup, 0x238, 2047)
    pack_into("<II", setup, 0x248, len(code) if payload else 0, len(payload))
    pack_into("<QI", setup, 0x258, 0x1000000, 0x2000000)
    return bytes(setup) + code + payload


def note(name: bytes, kind: int, content: bytes) -> bytes:
    def padded(data: bytes) -> bytes:
        return data + bytes(-len(data) % 4)

    return pack("<III", len(name), len(content), kind) + padded(name) + padded(content)


def vmlinux(pvh: int | None = 0x1000100, text: bytes = b"\x90" * 256, bss: int = 8192) -> bytes:
    """Two segments and a note; the second segment's zeros are in the file, as objcopy leaves them."""
    notes = note(b"GNU\0", 3, b"id") + (note(b"Xen\0", 18, pack("<Q", pvh)) if pvh is not None else b"")
    data = b"data" + bytes(bss)
    at = 64 + 3 * 56
    segments = [
        (1, at, 0x1000000, len(text)),
        (1, at + len(text) + len(notes), 0x1100000, len(data)),
        (4, at + len(text), 0, len(notes)),
    ]

    head = pack("<4sBBBB8xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 2, 62, 1, 0x1000000, 64, 999, 0, 64, 56, 3, 64, 9, 8)
    table = b"".join(
        pack("<IIQQQQQQ", kind, 7, offset, 0, physical, size, size, 4) for kind, offset, physical, size in segments
    )
    return head + table + text + notes + data

"""A bzImage unpacked on the host: the vmlinux in it, without the zeros at the ends of its segments.

A guest needs a third of a second and more to unpack itself, at every boot; the host does it once, and the caller keeps
the file (Documentation/arch/x86/boot.rst, payload_offset).
xz, lzma, gzip and bzip2 are Python's own, LZ4 (Debian's cloud
kernel) is ``native/vm/lz4.c``; zstd and lzo are left to the guest, which can do it all by itself.
"""

from __future__ import annotations

from _struct import pack_into, unpack_from

from minirun.vm.boot import bzimage, elf
from minirun.vm.boot.entry import BadKernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Buffer

UNPACKED_MOST = 1 << 30  # a kernel is some 60 MB: what claims more is broken
BLOCK_MOST = 8 << 20  # of the legacy LZ4 frame, unpacked


def vmlinux(image: Buffer) -> bytes | None:
    """The kernel in a bzImage, None where it is packed in a way that is not known here.  Raises BadKernel."""
    view = memoryview(image)
    offset, length = bzimage.Setup(view).payload
    start = bzimage.Setup(view).start + offset
    if not offset or not length or start + length > len(view):
        return None  # not Linux, or older than 2.6.26
    unpacked = decompressed(view[start : start + length])
    return trimmed(unpacked) if unpacked is not None and elf.is_elf(unpacked) else None


def decompressed(payload: memoryview) -> bytes | None:
    """By its first bytes.  Linux puts the unpacked size behind what is packed: no decoder may stumble over it."""
    start = bytes(payload[:6])
    try:
        if start.startswith((b"\xfd7zXZ", b"\x5d\0\0")):
            import _lzma

            return bounded(_lzma.LZMADecompressor().decompress(payload, UNPACKED_MOST + 1))
        if start.startswith(b"\x1f\x8b"):
            import zlib

            return bounded(zlib.decompressobj(wbits=31).decompress(payload, UNPACKED_MOST + 1))
        if start.startswith(b"BZh"):
            import _bz2

            return bounded(_bz2.BZ2Decompressor().decompress(payload, UNPACKED_MOST + 1))
    except Exception as error:  # each has its own class, and all mean the same
        raise BadKernel(f"its payload cannot be unpacked: {error}") from error
    if start.startswith(b"\x02\x21\x4c\x18"):
        return lz4(payload)
    return bytes(payload) if elf.is_elf(payload) else None


def bounded(unpacked: bytes) -> bytes:
    """A few kilobytes of zeros' worth of payload would take all the host's memory.  Raises ValueError."""
    if len(unpacked) > UNPACKED_MOST:
        raise ValueError(f"it is more than {UNPACKED_MOST} bytes")
    return unpacked


def lz4(payload: memoryview) -> bytes:
    """The legacy frame (lz4 -l): magic, then blocks, each with its packed size before it.  Raises BadKernel."""
    from minirun.linux.kvm import ffi, lib

    size: int = unpack_from("<I", payload, len(payload) - 4)[0]  # Linux's own: see above
    if size > UNPACKED_MOST:
        raise BadKernel(f"its payload says that it unpacks to {size} bytes")
    source = ffi.from_buffer(payload)
    whole = bytearray(size)
    target = ffi.from_buffer(whole)
    at, done = 4, 0
    while done < size and at + 4 <= len(payload):
        packed: int = unpack_from("<I", payload, at)[0]
        at += 4
        if packed > len(payload) - at:
            break
        written = lib.lz4_block(source + at, packed, target + done, min(BLOCK_MOST, size - done))
        if written < 0:
            break
        at += packed
        done += written
    del target  # a bytearray that is exported cannot be turned into bytes cheaply
    if done != size:
        raise BadKernel("its payload is broken LZ4")
    return bytes(whole)


def trimmed(image: bytes) -> bytes:
    """The same kernel, its segments without the zeros at their ends: a third of a distribution's vmlinux is .bss.

    Guest memory is zero without being told so.  The file shrinks only where the zeros are at its end.
    """
    table, size, count = unpack_from("<Q", image, 32)[0], *unpack_from("<HH", image, 54)
    shorter = bytearray(image)
    last = table + size * count
    for number, (kind, offset, _, in_file, _, _) in enumerate(elf.headers(memoryview(image))):
        if kind != elf.PT_LOAD:
            last = max(last, offset + in_file)  # the note for PVH
            continue
        kept = in_file - trailing_zeros(memoryview(image)[offset : offset + in_file])
        pack_into("<Q", shorter, table + number * size + 32, kept)
        last = max(last, offset + kept)
    pack_into("<Q", shorter, 40, 0)  # no section headers: they are behind, and no loader reads them
    pack_into("<HHH", shorter, 58, 0, 0, 0)
    return bytes(shorter[:last])


def trailing_zeros(view: memoryview) -> int:
    """In steps of a MiB, then exactly."""
    step = 1 << 20
    end = len(view)
    zeros = bytes(step)
    while end >= step and view[end - step : end] == zeros:
        end -= step
    return len(view) - len(bytes(view[max(0, end - step) : end]).rstrip(b"\0")) - max(0, end - step)

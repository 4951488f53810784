"""bzImage and vmlinux: where they are entered, what goes where, and what is refused with which words."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import subprocess
from collections.abc import Callable
from struct import pack, pack_into

import pytest
from hypothesis import given, settings, strategies as st

from minirun.vm import layout, linux_boot
from minirun.vm.boot import bzimage, elf, unpack
from minirun.vm.boot.entry import LONG, PROTECTED, BadKernel
from tests.unit import kernels


def test_a_bzimage_is_entered_512_bytes_in() -> None:
    start = linux_boot.entry(kernels.bzimage())
    assert (start.mode, start.rip, start.rsi) == (LONG, 0x100200, layout.BOOT_PARAMS)
    assert [(address, len(memoryview(piece))) for address, piece in start.pieces] == [(0x100000, 1024)]
    assert start.end == 0x3000000 and start.initrd_most == 0x7FFFFFFF and start.cmdline_most == 2047
    assert start.header[0x11:0x15] == b"HdrS" and len(start.header) == 0x6A + 0x11


def test_a_payload_without_a_64_bit_entry() -> None:
    start = linux_boot.entry(kernels.bzimage(long=False))
    assert (start.mode, start.rip) == (PROTECTED, 0x100000)


def test_a_vmlinux_is_entered_where_its_header_says() -> None:
    start = linux_boot.entry(kernels.vmlinux())
    assert (start.mode, start.rip, start.rsi, start.rbx) == (LONG, 0x1000000, layout.BOOT_PARAMS, 0)
    assert [address for address, _ in start.pieces] == [0x1000000, 0x1100000]
    assert start.end == 0x1100000 + 4 + 8192


def test_pvh_is_entered_where_its_note_says() -> None:
    start = linux_boot.entry(kernels.vmlinux(), linux_boot.PVH)
    assert (start.mode, start.rip, start.rbx) == (PROTECTED, 0x1000100, layout.PVH_INFO)
    with pytest.raises(BadKernel, match="no note for PVH"):
        linux_boot.entry(kernels.vmlinux(pvh=None), linux_boot.PVH)


def changed(image: bytes, offset: int, form: str, *values: int) -> bytes:
    data = bytearray(image)
    pack_into(form, data, offset, *values)
    return bytes(data)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (b"", "neither a bzImage nor an ELF file"),
        (b"#!/bin/sh\n" * 200, "neither a bzImage nor an ELF file"),
        (b"\x7fELF", "not a 64-bit one"),
        (changed(kernels.vmlinux(), 18, "<H", 183), "not an x86-64 executable"),
        (changed(kernels.vmlinux(), 56, "<H", 0), "broken program headers"),
        (changed(kernels.vmlinux(), 32, "<Q", 1 << 63), "broken program headers"),
        (changed(kernels.vmlinux(), 64 + 8, "<Q", 1 << 40), "segment 0 is not in it"),
        (changed(kernels.vmlinux(), 64 + 24, "<Q", 0x1000), "below 1 MiB"),
        (changed(kernels.vmlinux(), 24, "<Q", 0xFFFFFFFF81000000), "is not a physical address"),
        (changed(kernels.bzimage(), 0x206, "<H", 0x0105), "only bzImage is known"),
        (kernels.bzimage()[:1536], "ends before its protected-mode code"),
        (kernels.bzimage()[:0x210], "no setup header"),
    ],
)
def test_what_is_no_kernel_is_refused(image: bytes, words: str) -> None:
    with pytest.raises(BadKernel, match=words):
        linux_boot.entry(image)


@given(st.data())
@settings(deadline=None, max_examples=200)
def test_a_broken_kernel_is_refused_or_stays_in_its_file(data: st.DataObject) -> None:
    """Whatever a header says: every piece is part of the file, or BadKernel."""
    image = bytearray(kernels.vmlinux() if data.draw(st.booleans()) else kernels.bzimage())
    for _ in range(data.draw(st.integers(1, 4))):
        image[data.draw(st.integers(0, min(len(image), 0x270) - 1))] = data.draw(st.integers(0, 255))
    for way in (linux_boot.BOOT, linux_boot.PVH):
        try:
            start = linux_boot.entry(bytes(image), way)
        except BadKernel:
            continue
        assert (
            sum(len(memoryview(piece)) for _, piece in start.pieces) <= 2 * len(image) + 4096
        )  # the BIOS's, in real mode


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lambda data: lzma.compress(data, check=lzma.CHECK_CRC32),
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    "none": bytes,
}


@pytest.mark.parametrize("how", PACKERS)
def test_a_packed_kernel_is_unpacked_and_shorter(how: str) -> None:
    """Linux puts the size behind the payload, except behind gzip, which has it there anyway."""
    whole = kernels.vmlinux()
    packed = PACKERS[how](whole) + (b"" if how in ("gzip", "none") else pack("<I", len(whole)))
    unpacked = unpack.vmlinux(kernels.bzimage(payload=packed))
    assert unpacked is not None and len(unpacked) < len(whole)
    assert elf.entry(unpacked).rip == elf.entry(whole).rip and elf.phys32_entry(unpacked) == 0x1000100
    for (address, kept), (same, full) in zip(elf.entry(unpacked).pieces, elf.entry(whole).pieces, strict=True):
        assert address == same and bytes(memoryview(kept)) == bytes(memoryview(full)).rstrip(b"\0")
    assert elf.entry(unpacked).end == elf.entry(whole).end


def test_what_cannot_be_unpacked_here_is_left_to_the_guest() -> None:
    assert unpack.vmlinux(kernels.bzimage()) is None
    assert unpack.vmlinux(kernels.bzimage(payload=b"\x28\xb5\x2f\xfd" + bytes(64))) is None  # zstd
    with pytest.raises(BadKernel, match="cannot be unpacked"):
        unpack.vmlinux(kernels.bzimage(payload=b"\xfd7zXZ\0" + bytes(64)))


def literals(data: bytes) -> bytes:
    """A last sequence of LZ4."""
    extra = b""
    if len(data) >= 15:
        rest = len(data) - 15
        extra = b"\xff" * (rest // 255) + bytes([rest % 255])
    return bytes([min(len(data), 15) << 4]) + extra + data


def lz4_frame(*blocks: bytes, size: int) -> memoryview:
    frame = b"\x02\x21\x4c\x18" + b"".join(pack("<I", len(block)) + block for block in blocks)
    return memoryview(frame + pack("<I", size))


def test_lz4() -> None:
    run = b"\x1fa\x01\x00\x05" + literals(b"end")  # "a", then 15 + 5 + 4 of the byte one before
    assert unpack.lz4(lz4_frame(run, literals(b"x" * 300), size=328)) == b"a" * 25 + b"end" + b"x" * 300
    copy = b"\x40abcd\x04\x00" + literals(b"!")  # four literals, four of them again
    assert unpack.lz4(lz4_frame(copy, size=9)) == b"abcdabcd!"


@given(data=st.lists(st.sampled_from([b"a", b"kernel", bytes(300), b"\x00\x01\x02" * 9]), max_size=200).map(b"".join))
@settings(deadline=None, max_examples=25)
def test_what_lz4_packs_is_undone(data: bytes) -> None:
    if not shutil.which("lz4"):
        pytest.skip("no lz4 here")
    packed = subprocess.run(["lz4", "-lcq"], input=data, capture_output=True, check=True).stdout
    assert unpack.lz4(memoryview(packed + pack("<I", len(data)))) == data


@pytest.mark.parametrize(
    "block", [b"\x40abcd\x05\x00\x00", b"\x40abcd\x00\x00\x00", b"\xf0\xff", b"\x10a\x01", b"\x50abc", b""]
)
def test_broken_lz4(block: bytes) -> None:
    with pytest.raises(BadKernel, match="broken LZ4"):
        unpack.lz4(lz4_frame(block, size=64))


@given(st.binary(max_size=200), st.integers(0, 5000))
@settings(deadline=None)
def test_any_bytes_as_lz4(block: bytes, size: int) -> None:
    """No crash, and nothing but a whole result or a refusal."""
    try:
        assert len(unpack.lz4(lz4_frame(block, size=size))) == size
    except BadKernel:
        pass


def test_setup_of_old_protocols() -> None:
    old = bzimage.Setup(kernels.bzimage(version=0x0202))
    assert (old.initrd_most, old.cmdline_most, old.flags64, old.payload) == (0x37FFFFFF, 255, 0, (0, 0))

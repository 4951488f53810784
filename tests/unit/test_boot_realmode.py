"""The 16-bit entry, and its BIOS: the stubs are run on this machine's KVM, whatever kind it is."""

from __future__ import annotations

import threading
from struct import unpack_from

import pytest

from minirun.vm import layout, linux_boot
from minirun.vm.boot import realmode
from minirun.vm.loop import Loop
from minirun.vm.machine import Machine
from minirun.vm.memory import Memory
from minirun.vm.platform import Platform
from tests.unit import kernels


def lkrn(code: bytes) -> bytes:
    """A payload without a protected-mode entry: ``code`` runs at 0x9020:0."""
    image = bytearray(kernels.bzimage(b"\xf4" * 512, long=False))
    image[0x214:0x218] = bytes(4)
    image[0x200 : 0x200 + 2] = b"\xeb\x6a"  # jmp over the header
    image[0x26C : 0x26C + len(code)] = code
    return bytes(image)


def test_the_stubs_say_their_number() -> None:
    stubs = realmode.stubs()
    for number in range(256):
        at = number * 8
        assert stubs[at : at + 3] == bytes([0x6A, number, 0xE9])
        assert at + 5 + unpack_from("<h", stubs, at + 3)[0] == realmode.COMMON
    offset, segment = unpack_from("<HH", realmode.vectors(), 0x15 * 4)
    assert (segment << 4) + offset == realmode.STUBS + 0x15 * 8
    assert len(realmode.data_area()) + 0x400 <= layout.RESET_WORD


def test_the_header_is_filled_in() -> None:
    start = linux_boot.entry(lkrn(b""))
    real = bytes(dict(start.pieces)[realmode.BASE])
    assert start.mode == "real" and real[0x210] == 0xFF and real[0x211] & 0x80
    assert unpack_from("<I", real, 0x228)[0] == layout.CMDLINE and unpack_from("<H", real, 0x224)[0] == 0xDE00


def play(code: bytes, vcpus: int = 1) -> tuple[str, str, Memory]:
    """What it printed, how it ended, its memory."""
    loop, said, ended = Loop(), bytearray(), []
    machine = Machine(Memory(32 << 20), vcpus, loop)
    platform = Platform(machine, said.extend)

    def end(reason: object) -> None:
        ended.append(getattr(reason, "why", repr(reason)))
        loop.stop()

    machine.on_end(end)
    try:
        linux_boot.load(machine, lkrn(code), b"", "", [])
        timer = threading.Timer(20, machine.stop, ("nothing happened for too long",))
        timer.start()
        machine.start()
        loop.run()
        timer.cancel()
    finally:
        machine.close()
        platform.close()
    return said.decode(), ended[0], machine.memory


@pytest.mark.needs("kvm")
def test_a_payload_prints_and_gives_up() -> None:
    """mov ax, 0x0e41; int 0x10; inc ax; int 0x10; int 0x19."""
    said, why, _ = play(bytes.fromhex("b8410e cd10 40 cd10 cd19 f4"))
    assert (said, why) == ("AB", "the payload gave up")


@pytest.mark.needs("kvm")
def test_a_payload_reads_the_memory_map() -> None:
    """E820 three times into es:0x100, 0x114, 0x128, a "!" if carry or a wrong end, then int 0x19."""
    code = bytes.fromhex(
        "6631db bf0001"  # xor ebx, ebx; mov di, 0x100
        "66b820e80000 66ba50414d53 66b914000000 cd15"  # again: E820, "SMAP", 20 bytes
        "720b 83c714 6685db 75e0 cd19 f4 90"  # jc bad; add di, 20; test ebx, ebx; jnz again; int 0x19
        "b8210e cd10 cd19 f4"  # bad
    )
    said, why, memory = play(code)
    assert (said, why) == ("", "the payload gave up")
    place = realmode.BASE + 0x100
    found = [unpack_from("<QQI", memory.read(place + number * 20, 20)) for number in range(3)]
    assert found == layout.e820(32 << 20)


@pytest.mark.needs("kvm")
def test_it_has_one_processor() -> None:
    with pytest.raises(ValueError, match="has one processor"):
        play(b"", vcpus=2)

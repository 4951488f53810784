"""virtio-blk as a driver sees it: a file, requests of each type, and everything that is refused."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minirun.errors import MinirunError
from minirun.vm.devices import block, mmio
from minirun.vm.devices.block import Block, open_disk
from minirun.vm.devices.virtio import COMMON
from tests.unit.virtio_driver import BUFFERS, WRITE, Driver

IN, OUT, FLUSH, GET_ID, DISCARD, ZEROES = 0, 1, 4, 8, 11, 13
OK, IOERR, UNSUPP = 0, 1, 2
SECTORS = 4096
Make = Callable[..., Driver]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    path.write_bytes(b"".join(struct.pack("<I", n) * 128 for n in range(SECTORS)))
    return path


@pytest.fixture
def make(disk: Path) -> Iterator[Make]:
    made = []

    def driver(read_only: bool = False, features: int | None = None) -> Driver:
        made.append(Driver(Block(open_disk(str(disk), read_only), read_only, "serial-number"), features))
        return made[-1]

    yield driver
    for one in made:
        one.close()


def ask(driver: Driver, kind: int, sector: int = 0, data: bytes = b"", room: int = 0) -> tuple[int, bytes]:
    """(status, what was read)"""
    answer = driver.request(struct.pack("<IIQ", kind, 0, sector) + data, room + 1)
    status = driver.memory.read(BUFFERS + (16 + len(data) + 15 & -16) + room, 1)[0]
    return status, answer[:-1]


def test_what_it_says_of_itself(make: Make) -> None:
    driver = make()
    assert driver.registers.read(mmio.CONFIG, 8) == SECTORS
    assert driver.registers.read(mmio.CONFIG + 12, 4) == 254
    assert driver.registers.read(mmio.CONFIG + 20, 4) == 512
    assert driver.registers.read(mmio.CONFIG + 34, 2) == 1
    assert driver.registers.read(mmio.CONFIG + 36, 4) == 1 << 21
    assert driver.registers.read(mmio.CONFIG + 48, 4) == 1 << 15
    assert driver.registers.read(mmio.CONFIG + 56, 1) == 1


def test_read_and_write(make: Make, disk: Path) -> None:
    driver = make()
    assert ask(driver, IN, 7, room=1024) == (OK, struct.pack("<I", 7) * 128 + struct.pack("<I", 8) * 128)
    assert ask(driver, OUT, 9, b"x" * 1024) == (OK, b"")
    assert ask(driver, FLUSH) == (OK, b"")
    assert disk.read_bytes()[9 * 512 : 11 * 512] == b"x" * 1024
    assert ask(driver, IN, 10, room=512) == (OK, b"x" * 512)
    assert ask(driver, GET_ID, room=20) == (OK, b"serial-number".ljust(20, b"\0"))
    assert isinstance(driver.device, Block)
    assert driver.device.counters() == {"reads": 2, "writes": 1, "flushes": 1, "errors": 0}
    assert driver.interrupted()


@pytest.mark.parametrize(
    ("kind", "sector", "data", "room"),
    [
        (IN, SECTORS, b"", 512),
        (IN, SECTORS - 1, b"", 1024),
        (IN, (1 << 64) - 1, b"", 512),
        (IN, 1 << 55, b"", 512),
        (IN, 0, b"", 511),
        (OUT, SECTORS, b"x" * 512, 0),
        (OUT, 0, b"x" * 100, 0),
        (DISCARD, 0, struct.pack("<QII", SECTORS, 8, 0), 0),
        (DISCARD, 0, struct.pack("<QII", 0, (1 << 21) + 8, 0), 0),
        (DISCARD, 0, struct.pack("<QII", (1 << 64) - 8, 16, 0), 0),
        (DISCARD, 0, b"short", 0),
        (ZEROES, 0, struct.pack("<QII", 0, 8, 0) * 17, 0),
    ],
)
def test_what_is_outside_is_an_error(make: Make, disk: Path, kind: int, sector: int, data: bytes, room: int) -> None:
    before = disk.read_bytes()
    driver = make()
    assert ask(driver, kind, sector, data, room) == (IOERR, b"")
    assert disk.read_bytes() == before and not driver.needs_reset()


def test_what_is_not_known(make: Make) -> None:
    driver = make()
    assert ask(driver, 99, room=512)[0] == UNSUPP
    assert ask(driver, DISCARD, 0, struct.pack("<QII", 0, 8, 1))[0] == UNSUPP, "unmap is for write zeroes"


def test_a_wrong_range_spares_the_right_ones(make: Make, disk: Path) -> None:
    before = disk.read_bytes()
    ranges = struct.pack("<QII", 0, 8, 0) + struct.pack("<QII", SECTORS, 1, 0)
    assert ask(make(), ZEROES, 0, ranges) == (IOERR, b"")
    assert disk.read_bytes() == before


@pytest.mark.parametrize(("kind", "flags"), [(DISCARD, 0), (ZEROES, 0), (ZEROES, 1)])
def test_discard_and_write_zeroes(make: Make, disk: Path, kind: int, flags: int) -> None:
    before = disk.stat().st_blocks
    driver = make()
    assert ask(driver, kind, 0, struct.pack("<QII", 8, 800, flags)) == (OK, b"")
    assert ask(driver, IN, 8, room=512) == (OK, bytes(512))
    assert ask(driver, IN, 808, room=512) == (OK, struct.pack("<I", 808) * 128)
    assert disk.stat().st_size == SECTORS * 512
    if kind == DISCARD or flags:
        assert disk.stat().st_blocks < before


def test_read_only(make: Make, disk: Path) -> None:
    driver = make(read_only=True)
    assert driver.offered() & block.READ_ONLY and not driver.offered() & block.DISCARD
    before = disk.read_bytes()
    assert ask(driver, OUT, 0, b"x" * 512) == (IOERR, b"")
    assert ask(driver, ZEROES, 0, struct.pack("<QII", 0, 8, 0)) == (IOERR, b"")
    assert ask(driver, IN, 3, room=512)[0] == OK
    assert disk.read_bytes() == before


def test_a_driver_without_flush_writes_through(make: Make) -> None:
    driver = make(features=COMMON & ~(1 << 29))
    assert isinstance(driver.device, Block) and driver.device.native.durable
    assert ask(driver, OUT, 0, b"x" * 512) == (OK, b"")


def test_a_file_that_shrank(make: Make, disk: Path) -> None:
    driver = make()
    os.truncate(disk, 1024)
    assert ask(driver, IN, 1, room=512)[0] == OK
    assert ask(driver, IN, 1, room=1024)[0] == IOERR


@pytest.mark.parametrize("parts", [[(BUFFERS, 15, 0), (BUFFERS, 1, WRITE)], [(BUFFERS, 16, 0)]])
def test_a_request_without_header_or_status_breaks_the_queue(make: Make, parts: list[tuple[int, int, int]]) -> None:
    driver = make()
    driver.rings[0].offer(driver.rings[0].chain(parts))
    driver.kick()
    assert driver.will_need_reset() and not driver.rings[0].collect()
    driver.start()
    assert ask(driver, IN, 1, room=512)[0] == OK


def test_many_at_once_and_resets_between(make: Make) -> None:
    """The worker is busy when the reset comes; afterwards, nothing of before is answered."""
    driver = make(features=block.FLUSH | COMMON)
    ring = driver.rings[0]
    driver.memory.write(BUFFERS, struct.pack("<IIQ", IN, 0, 5))
    for _ in range(50):
        for _ in range(80):
            ring.offer(ring.chain([(BUFFERS, 16, 0), (BUFFERS + 0x1000, 0x8000, WRITE), (BUFFERS + 0x9000, 1, WRITE)]))
        driver.kick()
        driver.start(block.FLUSH | COMMON)
        ring = driver.rings[0]
        assert ring.collect() == []
        driver.memory.write(BUFFERS, struct.pack("<IIQ", IN, 0, 5))
    assert ask(driver, IN, 6, room=512)[1] == struct.pack("<I", 6) * 128


def test_every_request_of_many_is_answered(make: Make) -> None:
    driver = make(features=block.FLUSH | COMMON)
    ring = driver.rings[0]
    driver.memory.write(BUFFERS, struct.pack("<IIQ", IN, 0, 5))
    seen = 0
    for _ in range(300):
        for _ in range(20):
            ring.offer(ring.chain([(BUFFERS, 16, 0), (BUFFERS + 0x1000, 512, WRITE), (BUFFERS + 0x9000, 1, WRITE)]))
        driver.kick()
        want = seen + 20
        while seen < want:
            got = driver.answers(ring)
            assert got, "lost"
            assert all(length == 513 for _, length in got)
            seen += len(got)
    assert driver.device.native.reads == seen  # type: ignore[attr-defined]


def test_a_disk_is_locked(disk: Path) -> None:
    first = open_disk(str(disk))
    with pytest.raises(MinirunError, match="another machine has it"):
        open_disk(str(disk), read_only=True)
    os.close(first)
    readers = [open_disk(str(disk), read_only=True) for _ in range(2)]
    with pytest.raises(MinirunError, match="another machine has it"):
        open_disk(str(disk))
    for fd in readers:
        os.close(fd)


def test_what_is_no_disk(tmp_path: Path) -> None:
    with pytest.raises(MinirunError, match="No such file"):
        open_disk(str(tmp_path / "missing"))
    with pytest.raises(MinirunError, match="Is a directory"):
        open_disk(str(tmp_path))
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", Path("/dev/zero")):  # nobody waits for a fifo's other end
        with pytest.raises(MinirunError, match="neither a file nor a block device"):
            open_disk(str(path), read_only=True)


def test_its_thread_has_a_name(make: Make) -> None:
    assert ask(make(), IN, 1, room=512)[0] == OK
    names = [Path(f"/proc/self/task/{task}/comm").read_text().strip() for task in os.listdir("/proc/self/task")]
    assert "virtio-blk" in names

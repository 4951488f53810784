"""virtio-rng and virtio-balloon as a driver sees them."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import pytest

from minirun.vm.devices import balloon, mmio
from minirun.vm.devices.balloon import Balloon
from minirun.vm.devices.rng import MOST, Rng
from minirun.vm.devices.virtio import COMMON
from tests.unit.virtio_driver import BUFFERS, WRITE, Driver

PAGE = 4096


def test_random_bytes() -> None:
    driver = Driver(Rng())
    first, second = driver.request(b"", 64), driver.request(b"", 64)
    assert len(first) == len(second) == 64 and first != second
    assert len(driver.request(b"", 3 * MOST)) == MOST
    assert driver.request(b"nothing to write into") == b""
    driver.close()


@pytest.fixture
def driver() -> Iterator[Driver]:
    driver = Driver(Balloon())
    yield driver
    driver.close()


def blocks(driver: Driver) -> int:
    return os.fstat(driver.memory.fd).st_blocks * 512


def test_inflate_and_deflate(driver: Driver) -> None:
    driver.memory.write(0xA0000, b"x" * 0x40000)
    driver.memory.write(BUFFERS, b"x")
    before = blocks(driver)
    assert isinstance(driver.device, Balloon)
    driver.device.inflate_to(16 * PAGE)
    assert driver.registers.read(mmio.CONFIG, 4) == 16 and driver.reg(mmio.INTERRUPT_STATUS) == 2
    pages = struct.pack("<16I", *reversed(range(0xA0, 0xB0)))
    driver.request(pages, queue=0)
    assert before - blocks(driver) == 16 * PAGE == driver.device.released
    assert driver.memory.read(0xA0000, 16 * PAGE) == bytes(16 * PAGE)
    assert driver.memory.read(0xB0000, 1) == b"x"
    driver.registers.write(mmio.CONFIG + 4, 4, 16)
    assert driver.device.actual == 16 * PAGE
    driver.request(pages, queue=1)
    driver.memory.write(0xA0000, b"again")


def test_pages_that_are_not_memory(driver: Driver) -> None:
    driver.request(struct.pack("<4I", 0xFFFFFFFF, 256, 0xD0000, 0x100000), queue=0)
    driver.request(b"odd", queue=0)
    assert driver.device.released == 0  # type: ignore[attr-defined]
    assert not driver.needs_reset()


def test_reporting_gives_whole_pages_back(driver: Driver) -> None:
    driver.memory.write(0xA0000, b"x" * 4 * PAGE)
    ring = driver.rings[3]
    ring.offer(ring.chain([(0xA0000 + 1, 3 * PAGE, WRITE)]))
    driver.kick(3)
    assert ring.collect() == [(0, 0)]
    assert driver.memory.read(0xA0000, 4 * PAGE) == b"x" * PAGE + bytes(2 * PAGE) + b"x" * PAGE


def test_reporting_without_stats_has_the_number_before() -> None:
    driver = Driver(Balloon(), COMMON & ~(1 << 29) | balloon.REPORTING)
    driver.memory.write(0xA0000, b"x" * PAGE)
    driver.rings[2].offer(driver.rings[2].chain([(0xA0000, PAGE, WRITE)]))
    driver.kick(2)
    assert driver.memory.read(0xA0000, 1) == b"\0"
    driver.close()


def test_stats(driver: Driver) -> None:
    seen: list[dict[str, int]] = []
    device = driver.device
    assert isinstance(device, Balloon) and not device.ask(seen.append)
    ring = driver.rings[2]
    for free in (1000, 2000):
        driver.memory.write(BUFFERS, struct.pack("<HQHQHQ", 4, free, 5, 9000, 99, 1) + b"odd")
        ring.offer(ring.chain([(BUFFERS, 33, 0)]))
        driver.kick(2)
        assert device.stats == {"free": free, "total": 9000}
        assert device.ask(seen.append)
        assert len(ring.collect()) == 1
    assert seen == [{"free": 2000, "total": 9000}]

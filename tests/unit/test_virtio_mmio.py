"""The register file of virtio-mmio: who may write what, when (virtio 1.2, 2.1, 3.1 and 4.2)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from minirun.vm.devices import mmio
from minirun.vm.devices.virtio import COMMON, VERSION_1
from tests.unit.virtio_driver import BUFFERS, QUEUES, Driver, Echo, Ring


@pytest.fixture
def driver() -> Iterator[Driver]:
    driver = Driver(Echo(), start=False)
    yield driver
    driver.close()


def test_who_is_there(driver: Driver) -> None:
    assert driver.reg(mmio.MAGIC).to_bytes(4, "little") == b"virt"
    assert driver.reg(mmio.VERSION) == 2
    assert driver.reg(mmio.DEVICE_ID) == 42
    assert driver.offered() == COMMON
    driver.reg(mmio.DEVICE_FEATURES_SEL, 2)
    assert driver.reg(mmio.DEVICE_FEATURES) == 0
    assert driver.reg(mmio.SHM_LEN) == driver.reg(mmio.SHM_BASE + 4) == 0xFFFFFFFF


def test_registers_are_words(driver: Driver) -> None:
    assert driver.registers.read(mmio.MAGIC, 1) == 0
    assert driver.registers.read(2, 4) == 0
    driver.registers.write(mmio.STATUS, 1, 1)
    assert driver.reg(mmio.STATUS) == 0


@pytest.mark.parametrize("features", [0, COMMON & ~VERSION_1, COMMON | 1 << 60], ids=["none", "legacy", "too many"])
def test_features_that_are_not_accepted(driver: Driver, features: int) -> None:
    assert not driver.negotiate(features)
    driver.reg(mmio.STATUS, 15)
    assert not driver.reg(mmio.STATUS) & mmio.DRIVER_OK
    assert driver.device.log == []  # type: ignore[attr-defined]


def test_features_stand_once_agreed(driver: Driver) -> None:
    assert driver.negotiate(VERSION_1)
    driver.reg(mmio.DRIVER_FEATURES_SEL, 0)
    driver.reg(mmio.DRIVER_FEATURES, 0xFFFFFFFF)
    driver.reg(mmio.STATUS, 15)
    assert driver.device.features == VERSION_1
    assert driver.device.log == [("activate", VERSION_1)]  # type: ignore[attr-defined]


def test_status_goes_forward_only(driver: Driver) -> None:
    driver.reg(mmio.STATUS, mmio.DRIVER)
    assert driver.reg(mmio.STATUS) == 0, "a driver without ACKNOWLEDGE"
    driver.reg(mmio.STATUS, mmio.DRIVER_OK | mmio.NEEDS_RESET)
    assert driver.reg(mmio.STATUS) == 0
    driver.start()
    driver.reg(mmio.STATUS, mmio.ACKNOWLEDGE)
    assert driver.reg(mmio.STATUS) == 15, "bits are not taken back"
    driver.reg(mmio.STATUS, 15)
    assert len(driver.device.log) == 1, "activated once"  # type: ignore[attr-defined]
    driver.reg(mmio.STATUS, 0)
    assert driver.reg(mmio.STATUS) == 0
    assert driver.device.log[-1] == "reset"  # type: ignore[attr-defined]
    assert not driver.device.queues[0].ready


@pytest.mark.parametrize(
    ("size", "place"),
    [(0, QUEUES), (3, QUEUES), (32, QUEUES), (16, QUEUES + 8), (16, (1 << 20) - 16), (16, 1 << 63), (1 << 31, 0)],
)
def test_a_queue_in_a_wrong_place(driver: Driver, size: int, place: int) -> None:
    assert driver.negotiate(COMMON)
    ring = Ring(driver.memory, QUEUES, 16)
    ring.size, ring.desc = size, place
    driver.set_queue(0, ring)
    assert driver.reg(mmio.QUEUE_READY) == 0
    assert driver.reg(mmio.STATUS) & mmio.NEEDS_RESET
    driver.start()
    assert driver.request(b"fine", 4) == b"fine"


def test_queues_are_set_between_features_ok_and_driver_ok(driver: Driver) -> None:
    driver.set_queue(0, Ring(driver.memory, QUEUES, 16))
    assert driver.reg(mmio.QUEUE_READY) == 0
    driver.start()
    driver.reg(mmio.QUEUE_SEL, 0)
    driver.reg(mmio.QUEUE_DESC, 0x5000)
    assert driver.device.queues[0].native.desc == QUEUES
    driver.reg(mmio.QUEUE_SEL, 9)
    assert driver.reg(mmio.QUEUE_NUM_MAX) == driver.reg(mmio.QUEUE_READY) == 0
    driver.reg(mmio.QUEUE_READY, 1)


def test_a_queue_that_is_taken_back_stands_still(driver: Driver) -> None:
    driver.start()
    driver.reg(mmio.QUEUE_SEL, 0)
    driver.reg(mmio.QUEUE_READY, 0)
    assert driver.reg(mmio.QUEUE_READY) == 0
    driver.rings[0].offer(driver.rings[0].chain([(BUFFERS, 4, 0)]))
    driver.kick()
    driver.reg(mmio.QUEUE_NOTIFY, 77)
    assert not driver.rings[0].collect() and not driver.needs_reset()


def test_configuration_space(driver: Driver) -> None:
    driver.start()
    assert driver.registers.read(mmio.CONFIG + 4, 2) == 0x0504
    assert driver.registers.read(mmio.CONFIG + 30, 4) == 0x1F1E, "what lies behind is zero"
    assert driver.registers.read(mmio.WINDOW - 8, 8) == 0
    driver.registers.write(mmio.CONFIG + 1, 1, 0xAA)
    assert driver.registers.read(mmio.CONFIG, 4) == 0x0302AA00
    before = driver.reg(mmio.CONFIG_GENERATION)
    driver.registers.config_changed()
    assert driver.reg(mmio.CONFIG_GENERATION) == before + 1
    assert driver.reg(mmio.INTERRUPT_STATUS) == 2 and driver.interrupted()


def test_what_is_there_before_driver_ok_is_seen_after_it(driver: Driver) -> None:
    """Linux's balloon puts a buffer into its queue, and kicks, while it is being set up."""
    assert driver.negotiate(COMMON)
    ring = Ring(driver.memory, QUEUES, 16)
    driver.set_queue(0, ring)
    ring.offer(ring.chain([(BUFFERS, 4, 0)]))
    driver.kick()
    assert not ring.collect()
    driver.reg(mmio.STATUS, 15)
    driver.registers.kicked(0)
    assert ring.collect() == [(0, 0)]

"""Split queues and virtio-mmio registers, driven as a guest would and as a hostile one would: no KVM needed."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from minirun.vm.devices import mmio
from minirun.vm.devices.virtio import COMMON, VERSION_1
from tests.unit.virtio_driver import BUFFERS, INDIRECT, NEXT, WRITE, Driver, Echo, Part


@pytest.fixture
def driver() -> Iterator[Driver]:
    driver = Driver(Echo())
    yield driver
    driver.close()


def broken(driver: Driver) -> bool:
    driver.kick()
    return driver.needs_reset()


def test_a_request_is_answered_and_interrupts(driver: Driver) -> None:
    assert driver.request(b"hello, world", 64) == b"hello, world"
    assert driver.interrupted() and not driver.interrupted()
    assert driver.reg(mmio.INTERRUPT_STATUS) == 1
    driver.reg(mmio.INTERRUPT_ACK, 1)
    assert driver.reg(mmio.INTERRUPT_STATUS) == 0


def test_many_more_requests_than_descriptors(driver: Driver) -> None:
    for number in range(70000):  # the indices are 16 bits
        if number % 1000 == 0:
            assert driver.request(struct.pack("<I", number), 8) == struct.pack("<I", number)
        else:
            driver.rings[0].offer(driver.rings[0].chain([(BUFFERS, 4, 0), (BUFFERS + 64, 8, WRITE)]))
            driver.kick()
            assert driver.rings[0].collect()
    assert not driver.needs_reset()


def test_buffers_in_pieces(driver: Driver) -> None:
    driver.memory.write(BUFFERS, b"abcdefghij")
    parts: list[Part] = [(BUFFERS, 3, 0), (BUFFERS + 3, 0, 0), (BUFFERS + 3, 7, 0)]
    parts += [(BUFFERS + 0x100, 4, WRITE), (BUFFERS + 0x200, 100, WRITE)]
    driver.rings[0].offer(driver.rings[0].chain(parts))
    driver.kick()
    assert driver.rings[0].collect() == [(0, 10)]
    assert driver.memory.read(BUFFERS + 0x100, 4) + driver.memory.read(BUFFERS + 0x200, 6) == b"abcdefghij"


def test_an_indirect_table_at_an_odd_address(driver: Driver) -> None:
    driver.memory.write(BUFFERS, b"indirect")
    table = struct.pack("<QIHH", BUFFERS, 8, NEXT, 1) + struct.pack("<QIHH", BUFFERS + 64, 8, WRITE, 0)
    driver.memory.write(BUFFERS + 0x1001, table)
    driver.rings[0].offer(driver.rings[0].chain([(BUFFERS + 0x1001, 32, INDIRECT)]))
    driver.kick()
    assert driver.rings[0].collect() == [(0, 8)]
    assert driver.memory.read(BUFFERS + 64, 8) == b"indirect"


END = 1 << 20
WRONG = {
    "an address outside": [(END, 1, 0)],
    "an end outside": [(END - 4, 5, 0)],
    "an end that wraps": [((1 << 64) - 4, 8, 0)],
    "the gap below 4 GiB": [(0xD0000000, 8, WRITE)],
    "readable after writable": [(BUFFERS, 4, WRITE), (BUFFERS, 4, 0)],
    "an indirect table outside": [(END - 16, 32, INDIRECT)],
    "an indirect table of half an entry": [(BUFFERS, 24, INDIRECT)],
    "an indirect table of nothing": [(BUFFERS, 0, INDIRECT)],
    "an indirect table that goes on": [(BUFFERS, 16, INDIRECT), (BUFFERS, 16, 0)],
}


@pytest.mark.parametrize("parts", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_chain_breaks_the_device_and_a_reset_mends_it(driver: Driver, parts: list[Part]) -> None:
    driver.rings[0].offer(driver.rings[0].chain(parts))
    assert broken(driver)
    assert driver.reg(mmio.INTERRUPT_STATUS) & 2 and driver.interrupted()
    assert not driver.rings[0].collect()
    driver.rings[0].offer(driver.rings[0].chain([(BUFFERS, 4, 0)]))
    driver.kick()
    assert not driver.rings[0].collect(), "a broken queue stands still"
    driver.start()
    assert driver.request(b"again", 8) == b"again"
    assert not driver.needs_reset()


def test_loops_end(driver: Driver) -> None:
    driver.rings[0].describe(0, BUFFERS, 1, NEXT, 0)
    driver.rings[0].offer(0)
    assert broken(driver)


def test_an_indirect_table_that_loops_or_nests(driver: Driver) -> None:
    for flags in (NEXT, INDIRECT):
        driver.memory.write(BUFFERS, struct.pack("<QIHH", BUFFERS, 16, flags, 0))
        driver.rings[0].offer(driver.rings[0].chain([(BUFFERS, 16, INDIRECT)]))
        assert broken(driver)
        driver.start()


def test_a_chain_as_long_as_the_queue_and_no_longer(driver: Driver) -> None:
    ring = driver.rings[0]
    ring.offer(ring.chain([(BUFFERS, 1, 0)] * ring.size))
    driver.kick()
    assert len(ring.collect()) == 1
    for entries, good in ((ring.size, True), (ring.size + 1, False)):
        table = b"".join(struct.pack("<QIHH", BUFFERS, 1, NEXT, at + 1) for at in range(entries - 1))
        driver.memory.write(BUFFERS + 0x1000, table + struct.pack("<QIHH", BUFFERS, 1, 0, 0))
        ring.offer(ring.chain([(BUFFERS + 0x1000, 16 * entries, INDIRECT)]))
        assert broken(driver) is not good


def test_sizes_that_overflow(driver: Driver) -> None:
    """Two times 768 KiB is more than memory, and all right; 4 GiB in one chain is not."""
    ring = driver.rings[0]
    ring.offer(ring.chain([(0, 0xC0000, 0), (0, 0xC0000, 0)]))
    driver.kick()
    assert driver.device.log[-1] == (0, 0x180000, 0)  # type: ignore[attr-defined]


def test_an_index_that_jumps(driver: Driver) -> None:
    driver.rings[0].set_index(driver.rings[0].size + 1)
    assert broken(driver)


def test_a_head_outside_of_the_table(driver: Driver) -> None:
    driver.rings[0].offer(driver.rings[0].size)
    assert broken(driver)


def test_an_indirect_table_that_was_not_agreed() -> None:
    driver = Driver(Echo(), VERSION_1)
    driver.rings[0].offer(driver.rings[0].chain([(BUFFERS, 16, INDIRECT)]))
    assert broken(driver)
    driver.close()


def test_no_interrupt_when_the_driver_wants_none(driver: Driver) -> None:
    driver.memory.write(driver.rings[0].avail, struct.pack("<H", 1))
    driver.request(b"quiet", 8)
    assert not driver.interrupted() and driver.reg(mmio.INTERRUPT_STATUS) == 0


def test_event_index() -> None:
    driver = Driver(Echo(), COMMON)
    ring = driver.rings[0]
    driver.request(b"first", 8)
    assert driver.interrupted()
    assert struct.unpack("<H", driver.memory.read(ring.used + 4 + 8 * ring.size, 2)) == (1,), "avail_event"
    driver.memory.write(ring.avail + 4 + 2 * ring.size, struct.pack("<H", 3))  # used_event: after the fourth
    assert [driver.request(b"x", 8) and driver.interrupted() for _ in range(4)] == [False, False, True, False]
    driver.close()


def test_one_kick_is_one_round(driver: Driver) -> None:
    """A driver that puts a new chain there for each one that is answered does not keep the loop to itself."""
    ring, queue = driver.rings[0], driver.device.queues[0]
    ring.chain([(BUFFERS, 4, 0)])
    ring.offer(0)
    seen = 0
    for chain in queue.chains():
        chain.push()
        ring.offer(0)
        seen += 1
    assert seen == ring.size
    driver.registers.kicked(0)  # the queue's own
    assert ring.used_index() == ring.size + 1


def test_a_chain_of_before_the_reset_is_void(driver: Driver) -> None:
    ring, queue = driver.rings[0], driver.device.queues[0]
    ring.offer(ring.chain([(BUFFERS, 4, WRITE)]))
    chain = queue.pop()
    assert chain is not None
    driver.start()
    chain.push(4)
    assert driver.rings[0].used_index() == 0
    ring = driver.rings[0]
    ring.offer(ring.chain([(BUFFERS, 4, WRITE)]))
    chain = queue.pop()
    assert chain is not None
    chain.push()
    chain.push()
    assert ring.used_index() == 1, "once"


def test_undo(driver: Driver) -> None:
    ring, queue = driver.rings[0], driver.device.queues[0]
    ring.offer(ring.chain([(BUFFERS, 4, 0)]))
    first = queue.pop()
    assert first is not None and queue.pop() is None
    first.undo()
    again = queue.pop()
    assert again is not None and again.unread == 4

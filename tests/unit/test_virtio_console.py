"""virtio-console as a driver sees it: the talk about ports, bytes both ways, what a hostile driver gets."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from minirun.vm.devices import console as c, mmio
from minirun.vm.devices.console import Console
from tests.unit.virtio_driver import BUFFERS, WRITE, Driver

BUFFER = 64
READ = BUFFERS + 0x8000  # buffers for what the device sends


class Guest:
    """The driver's side of a console: buffers in every queue to it, as Linux does."""

    def __init__(self, buffers: int = 8) -> None:
        self.console = Console()
        self.port = self.console.port("minirun")
        self.driver = Driver(self.console)
        self.heads: dict[tuple[int, int], int] = {}
        for queue in (0, c.TO_DRIVER, 4):
            for at in range(buffers):
                self.fill(queue, READ + 0x1000 * queue + BUFFER * at)

    def fill(self, queue: int, address: int) -> None:
        ring = self.driver.rings[queue]
        head = ring.chain([(address, BUFFER, WRITE)])
        self.heads[queue, head] = address
        ring.offer(head)
        self.driver.kick(queue)

    def took(self, queue: int) -> list[bytes]:
        """What the device has put into our buffers."""
        found = self.driver.rings[queue].collect()
        return [self.driver.memory.read(self.heads[queue, head], length) for head, length in found]

    def say(self, port: int, event: int, value: int) -> list[tuple[int, int, int, bytes]]:
        """A control message; what the device answers."""
        self.driver.request(c.CONTROL.pack(port, event, value), queue=c.FROM_DRIVER)
        return [(*c.CONTROL.unpack_from(each), each[c.CONTROL.size :]) for each in self.took(c.TO_DRIVER)]

    def open(self) -> None:
        self.say(1, c.PORT_READY, 1)
        self.say(1, c.PORT_OPEN, 1)


@pytest.fixture
def guest() -> Iterator[Guest]:
    made = Guest()
    yield made
    made.driver.close()


def test_the_talk_about_ports(guest: Guest) -> None:
    assert struct.unpack("<HHI", bytes(guest.driver.registers.read(mmio.CONFIG + at, 1) for at in range(8))) == (
        0,
        0,
        2,
    )
    assert guest.say(0, c.DEVICE_READY, 1) == [(0, c.PORT_ADD, 1, b""), (1, c.PORT_ADD, 1, b"")]
    assert guest.say(0, c.PORT_READY, 1) == [(0, c.CONSOLE_PORT, 1, b""), (0, c.PORT_OPEN, 1, b"")]
    assert guest.say(1, c.PORT_READY, 1) == [(1, c.PORT_NAME, 1, b"minirun"), (1, c.PORT_OPEN, 1, b"")]


def test_what_is_sent_waits_for_the_port_to_be_open_and_for_buffers(guest: Guest) -> None:
    guest.port.send(b"early " * 100)
    assert guest.took(4) == []
    guest.open()
    got = guest.took(4)
    assert [len(each) for each in got] == [BUFFER] * 8
    assert len(guest.port.held) == 600 - 8 * BUFFER
    guest.fill(4, READ + 0x4000)
    guest.fill(4, READ + 0x4000 + BUFFER)
    assert b"".join(got + guest.took(4)) == b"early " * 100


def test_what_the_guest_writes(guest: Guest) -> None:
    got: list[bytes] = []
    guest.port.on_data = got.append
    guest.driver.request(b"words", queue=5)
    guest.driver.request(b"more", queue=1)  # of the other port
    assert got == [b"words"]


def test_closed_and_opened_again(guest: Guest) -> None:
    seen: list[bool] = []
    guest.port.on_open = seen.append
    guest.open()
    guest.say(1, c.PORT_OPEN, 0)
    guest.port.send(b"late")
    assert guest.took(4) == [] and seen == [True, False]
    guest.say(1, c.PORT_OPEN, 1)
    assert guest.took(4) == [b"late"]


def test_the_size_of_the_console(guest: Guest) -> None:
    guest.console.resize(80, 25)
    assert guest.driver.registers.read(mmio.CONFIG, 4) == 25 << 16 | 80
    guest.say(0, c.PORT_OPEN, 1)
    guest.console.resize(100, 30)
    (message,) = guest.took(c.TO_DRIVER)
    assert message == c.CONTROL.pack(0, c.RESIZE, 0) + struct.pack("<HH", 30, 100)


def test_messages_wait_for_buffers_but_not_without_end() -> None:
    guest = Guest(buffers=0)
    for _ in range(100):
        guest.say(0, c.DEVICE_READY, 1)
    assert len(guest.console.waiting) == c.WAITING
    guest.fill(c.TO_DRIVER, READ)
    assert guest.took(c.TO_DRIVER) == [c.CONTROL.pack(0, c.PORT_ADD, 1)]
    guest.driver.reg(mmio.STATUS, 0)
    assert not guest.console.waiting
    guest.driver.close()


def test_nonsense(guest: Guest) -> None:
    for port, event in ((7, c.PORT_READY), (0xFFFFFFFF, c.PORT_OPEN), (1, 99)):
        assert guest.say(port, event, 1) == []
    guest.driver.request(b"short", queue=c.FROM_DRIVER)
    with pytest.raises(ValueError):
        guest.console.port("a third")

"""virtio-net on a real tap device: what the driver sends is on the wire, what is on the wire arrives."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from minirun.errors import MinirunError
from minirun.vm.devices import mmio, net
from minirun.vm.devices.net import Net, open_tap
from minirun.vm.devices.virtio import COMMON
from tests.unit.virtio_driver import BUFFERS, WRITE, Driver
from tests.unit.virtio_hostile import ACTIONS, Action, Hostile

pytestmark = pytest.mark.needs("root")
MAC = bytes.fromhex("02005e000001")
KIND = 0x88B5  # for experiments (IEEE 802): nobody else speaks it
HEADER = bytes(12)
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def far_end(name: str) -> socket.socket:
    """A packet socket on a tap that is up, and on which the host itself says nothing (neighbour discovery)."""
    quiet = Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6")
    if quiet.exists():
        quiet.write_text("1")
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(KIND))
    request = fcntl.ioctl(end, SIOCGIFFLAGS, struct.pack("16sH22x", name.encode(), 0))
    flags = struct.unpack_from("H", request, 16)[0]
    fcntl.ioctl(end, SIOCSIFFLAGS, struct.pack("16sH22x", name.encode(), flags | IFF_UP))
    end.bind((name, KIND))
    end.settimeout(5)
    return end


class Wire:
    """A driver on a tap, and a packet socket at the tap's other end."""

    def __init__(self, features: int | None = None, buffers: int = 4, length: int = 2048) -> None:
        self.name = f"mrt{os.getpid() % 100000}"
        self.driver = Driver(Net(open_tap(self.name), MAC, mtu=1400), features)
        self.socket = far_end(self.name)
        self.length = length
        self.received: list[bytes] = []
        self.offer(buffers)

    def offer(self, count: int) -> None:
        ring = self.driver.rings[0]
        for _ in range(count):
            ring.offer(ring.chain([(BUFFERS + 0x10000 + self.length * (ring.free % 64), self.length, WRITE)]))
        self.driver.kick(0)

    def send(self, payload: bytes) -> None:
        self.socket.send(frame(payload))

    def collect(self, wait: float = 5) -> list[tuple[int, bytes]]:
        """(num_buffers, bytes) of each buffer that came back."""
        ring, found = self.driver.rings[0], []
        for head, length in self.driver.answers(ring, wait):
            data = self.driver.memory.read(BUFFERS + 0x10000 + self.length * (head % 64), length)
            found.append((struct.unpack_from("<H", data, 10)[0], data[12:]))
        return found

    def close(self) -> None:
        self.socket.close()
        self.driver.close()


def frame(payload: bytes, to: bytes = b"\xff" * 6) -> bytes:
    return to + MAC + struct.pack(">H", KIND) + payload


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.close()


def expect(wire: Wire, payload: bytes) -> tuple[int, bytes]:
    ((count, data),) = wire.collect()
    assert data[12:] == struct.pack(">H", KIND) + payload
    return count, data


def test_configuration(wire: Wire) -> None:
    assert wire.driver.registers.read(mmio.CONFIG, 4).to_bytes(4, "little") == MAC[:4]
    assert wire.driver.registers.read(mmio.CONFIG + 6, 2) == 1
    assert wire.driver.registers.read(mmio.CONFIG + 10, 2) == 1400
    assert isinstance(wire.driver.device, Net)
    wire.driver.device.set_link(False)
    assert wire.driver.registers.read(mmio.CONFIG + 6, 2) == 0
    assert wire.driver.reg(mmio.INTERRUPT_STATUS) & 2


def test_what_the_driver_sends_is_on_the_wire(wire: Wire) -> None:
    for size in (46, 1000):
        wire.driver.request(HEADER + frame(b"t" * size), queue=1)
        assert wire.socket.recv(4096) == frame(b"t" * size)


def test_what_is_on_the_wire_arrives(wire: Wire) -> None:
    wire.send(b"hello" * 20)
    count, data = expect(wire, b"hello" * 20)
    assert count == 1 and data[6:12] == MAC
    assert wire.driver.interrupted()


def test_without_buffers_nothing_is_lost_but_waits() -> None:
    wire = Wire(features=COMMON | net.MRG_RXBUF, buffers=0)
    for number in range(8):
        wire.send(b"%d" % number * 50)
    assert wire.collect(0.05) == []
    seen = b""
    while len(seen) < 8:
        wire.offer(1)
        seen += b"".join(data[14:15] for _, data in wire.collect())
    assert seen == b"01234567"
    wire.close()


@pytest.mark.parametrize("events", [0, COMMON & 1 << 29], ids=["flags", "event index"])
def test_one_packet_in_many_buffers(events: int) -> None:
    """Half of the buffers are there when it comes: none is used until the rest is."""
    features = COMMON & ~(1 << 29) | events | net.MRG_RXBUF
    wire = Wire(features, buffers=0, length=128)
    wire.offer(3)
    wire.send(b"m" * 600)
    assert wire.collect(0.05) == []
    wire.offer(3)
    pieces = wire.driver.answers(wire.driver.rings[0])
    memory = wire.driver.memory
    data = b"".join(memory.read(BUFFERS + 0x10000 + 128 * (head % 64), length) for head, length in pieces)
    assert struct.unpack_from("<H", data, 10)[0] == len(pieces) == 5
    assert data[12:] == frame(b"m" * 600)
    wire.close()


def test_a_packet_that_fits_no_buffer_is_dropped() -> None:
    wire = Wire(COMMON, buffers=8, length=256)
    wire.send(b"b" * 600)
    wire.send(b"small" * 10)
    assert expect(wire, b"small" * 10)[0] == 1
    assert wire.driver.device.native.dropped >= 1  # type: ignore[attr-defined]
    wire.close()


def test_nonsense_is_dropped_and_a_buffer_without_room_breaks_the_queue(wire: Wire) -> None:
    for packet in (b"", b"x", HEADER, HEADER + b"short", b"\xff" * 200):
        wire.driver.request(packet or b"\0", queue=1)
    wire.driver.request(HEADER + frame(b"after" * 10), queue=1)
    assert wire.socket.recv(4096) == frame(b"after" * 10)
    assert not wire.driver.needs_reset()
    ring = wire.driver.rings[0]
    wire.driver.start()
    ring = wire.driver.rings[0]
    ring.offer(ring.chain([(BUFFERS, 11, WRITE)]))
    wire.driver.kick(0)
    wire.send(b"x" * 60)
    assert wire.driver.will_need_reset()


def test_resets_under_traffic(wire: Wire) -> None:
    for _ in range(20):
        wire.send(b"r" * 100)
        wire.driver.start()
        wire.offer(4)
    wire.send(b"last" * 20)
    while not any(data[14:18] == b"last" for _, data in wire.collect()):
        wire.offer(4)


def test_a_tap_that_cannot_be_opened() -> None:
    with pytest.raises(MinirunError, match="cannot open the tap device"):
        open_tap("lo")


def test_a_hostile_driver() -> None:
    """As tests/unit/test_virtio_fuzz.py, with packets that come in meanwhile."""

    @settings(max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.lists(ACTIONS, min_size=20, max_size=60))
    def attack(actions: list[Action]) -> None:
        name = f"mrh{os.getpid() % 100000}"
        hostile = Hostile(Net(open_tap(name), MAC))
        try:
            with far_end(name) as end:
                for number, action in enumerate(actions):
                    hostile.do(action)
                    if number % 5 == 0:
                        end.send(frame(b"n" * 60))
                hostile.still_works()
        finally:
            hostile.close()

    attack()

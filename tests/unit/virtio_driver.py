"""The driver's half of virtio-mmio, in a few lines: what a guest's kernel would do, on memory without a machine."""

from __future__ import annotations

import posix
import struct
import time
from collections.abc import Callable
from typing import Any

from minirun.vm.devices import mmio
from minirun.vm.devices.mmio import Registers
from minirun.vm.devices.virtio import EVENT_IDX, VirtioDevice
from minirun.vm.loop import Loop
from minirun.vm.memory import Memory

NEXT, WRITE, INDIRECT = 1, 2, 4
SPACING = 0x10000  # each queue has a region of its own, from QUEUES on; buffers lie from BUFFERS on
QUEUES, BUFFERS = 0x10000, 0x80000
Part = tuple[int, int, int]  # address, length, flags


class Ring:
    """One split queue in guest memory, the driver's side."""

    def __init__(self, memory: Memory, base: int, size: int) -> None:
        self.memory, self.size = memory, size
        self.desc, self.avail, self.used = base, base + 0x4000, base + 0x8000
        self.next_avail = self.next_used = self.free = 0
        memory.write(base, bytes(SPACING))

    def describe(self, index: int, address: int, length: int, flags: int, following: int = 0) -> None:
        self.memory.write(self.desc + 16 * index, struct.pack("<QIHH", address, length, flags, following))

    def chain(self, parts: list[Part]) -> int:
        """Descriptors one after the other; the head's number."""
        head = self.free
        for at, (address, length, flags) in enumerate(parts):
            more = NEXT if at + 1 < len(parts) else 0
            self.describe((head + at) % self.size, address, length, flags | more, (head + at + 1) % self.size)
        self.free = (head + len(parts)) % self.size
        return head

    def offer(self, head: int) -> None:
        self.memory.write(self.avail + 4 + 2 * (self.next_avail % self.size), struct.pack("<H", head))
        self.next_avail = (self.next_avail + 1) & 0xFFFF
        self.set_index(self.next_avail)

    def set_index(self, index: int) -> None:
        self.memory.write(self.avail + 2, struct.pack("<H", index))

    def used_index(self) -> int:
        return int(struct.unpack("<H", self.memory.read(self.used + 2, 2))[0])

    def collect(self) -> list[tuple[int, int]]:
        """(head, bytes written) of what came back since the last time."""
        found = []
        while self.next_used != self.used_index():
            place = self.used + 4 + 8 * (self.next_used % self.size)
            found.append(struct.unpack("<II", self.memory.read(place, 8)))
            self.next_used = (self.next_used + 1) & 0xFFFF
        return found


class Driver:
    """Brings a device up as Linux does, then sends requests."""

    def __init__(
        self,
        device: VirtioDevice,
        features: int | None = None,
        size: int = 1 << 20,
        start: bool = True,
        loop: Loop | None = None,
    ) -> None:
        self.memory = Memory(size)
        self.device = device
        self.registers = Registers(self.memory, device, loop)
        self.rings: list[Ring] = []
        self.attend: Callable[[], None] = lambda: None  # where there is a loop: a round of it
        if start:
            self.start(features)

    def reg(self, offset: int, value: int | None = None) -> int:
        if value is None:
            return self.registers.read(offset, 4)
        self.registers.write(offset, 4, value)
        return 0

    def offered(self) -> int:
        self.reg(mmio.DEVICE_FEATURES_SEL, 1)
        high = self.reg(mmio.DEVICE_FEATURES)
        self.reg(mmio.DEVICE_FEATURES_SEL, 0)
        return high << 32 | self.reg(mmio.DEVICE_FEATURES)

    def negotiate(self, features: int) -> bool:
        self.reg(mmio.STATUS, 0)
        self.reg(mmio.STATUS, mmio.ACKNOWLEDGE)
        self.reg(mmio.STATUS, mmio.ACKNOWLEDGE | mmio.DRIVER)
        for half in (0, 1):
            self.reg(mmio.DRIVER_FEATURES_SEL, half)
            self.reg(mmio.DRIVER_FEATURES, features >> 32 * half & 0xFFFFFFFF)
        self.reg(mmio.STATUS, self.reg(mmio.STATUS) | mmio.FEATURES_OK)
        return bool(self.reg(mmio.STATUS) & mmio.FEATURES_OK)

    def set_queue(self, index: int, ring: Ring) -> None:
        self.reg(mmio.QUEUE_SEL, index)
        self.reg(mmio.QUEUE_NUM, ring.size)
        for offset, address in (
            (mmio.QUEUE_DESC, ring.desc), (mmio.QUEUE_DRIVER, ring.avail), (mmio.QUEUE_DEVICE, ring.used),
        ):  # fmt: skip
            self.reg(offset, address & 0xFFFFFFFF)
            self.reg(offset + 4, address >> 32)
        self.reg(mmio.QUEUE_READY, 1)

    def start(self, features: int | None = None) -> None:
        offered = self.offered()
        assert self.negotiate(offered & ~EVENT_IDX if features is None else features)
        self.rings = []
        for index, most in enumerate(self.device.QUEUES):
            self.reg(mmio.QUEUE_SEL, index)
            ring = Ring(self.memory, QUEUES + SPACING * index, min(self.reg(mmio.QUEUE_NUM_MAX), 256))
            assert most >= ring.size
            self.set_queue(index, ring)
            self.rings.append(ring)
        self.reg(mmio.STATUS, self.reg(mmio.STATUS) | mmio.DRIVER_OK)

    def kick(self, index: int = 0) -> None:
        self.reg(mmio.QUEUE_NOTIFY, index)
        if not self.device.WORKER and self.registers.loop is None:
            self.registers.kicked(index)

    def interrupted(self) -> bool:
        try:
            return bool(posix.read(self.registers.interrupt, 8))
        except BlockingIOError:
            return False

    def request(self, readable: bytes, writable: int = 0, queue: int = 0, wait: float = 5) -> bytes:
        """One request, at BUFFERS: what the device wrote."""
        parts: list[Part] = [(BUFFERS, len(readable), 0)] if readable else []
        room = BUFFERS + (len(readable) + 15 & -16)
        if writable:
            self.memory.write(room, bytes(writable))
            parts.append((room, writable, WRITE))
        self.memory.write(BUFFERS, readable)
        ring = self.rings[queue]
        head = ring.chain(parts)
        ring.offer(head)
        self.kick(queue)
        (answer,) = self.answers(ring, wait)
        assert answer[0] == head
        return self.memory.read(room, answer[1])

    def answers(self, ring: Ring, wait: float = 5) -> list[tuple[int, int]]:
        until = time.monotonic() + wait
        while not (found := ring.collect()) and time.monotonic() < until:
            self.attend()
            time.sleep(0.0005)
        return found

    def will_need_reset(self, wait: float = 5) -> bool:
        """A worker takes its time to find out."""
        until = time.monotonic() + wait
        while not self.needs_reset() and time.monotonic() < until:
            time.sleep(0.0005)
        return self.needs_reset()

    def needs_reset(self) -> bool:
        self.registers.needs_reset() if self.bell() else None
        return bool(self.reg(mmio.STATUS) & mmio.NEEDS_RESET)

    def bell(self) -> bool:
        """Has the queue told that it is broken?  (In a machine, the loop waits for that.)"""
        try:
            return bool(posix.read(self.registers.trouble, 8))
        except BlockingIOError:
            return False

    def close(self) -> None:
        self.registers.close()


class Echo(VirtioDevice):
    """Writes back what it read: for tests of queues."""

    ID = 42
    QUEUES = (16, 8)

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.settings = bytearray(range(32))

    def config(self) -> bytes:
        return bytes(self.settings)

    def write_config(self, offset: int, size: int, value: int) -> None:
        self.settings[offset : offset + size] = value.to_bytes(size, "little")

    def activate(self) -> None:
        self.log.append(("activate", self.features))

    def kick(self, index: int) -> None:
        queue = self.queues[index]
        for chain in queue.chains():
            self.log.append((index, chain.unread, chain.writable))
            chain.write(chain.readable())
            chain.push()
        queue.notify()

    def reset(self) -> None:
        self.log.append("reset")

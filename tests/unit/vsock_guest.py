"""A guest's kernel as virtio-vsock sees it, in Python, and callers on the host's unix sockets."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from minirun.vm.devices import vsock, vsock_stream as words
from minirun.vm.devices.vsock import Vsock
from minirun.vm.devices.vsock_stream import BUFFER, HEADER, RX, TX
from minirun.vm.loop import Loop
from tests.unit.virtio_driver import BUFFERS, WRITE, Driver

CID = 3
SIZE = 4096 + HEADER.size
PACKETS, SENDING = BUFFERS + 0x10000, BUFFERS + 0x200000
Packet = tuple[int, int, int, bytes]  # op, our port, the host's port, data


class Guest:
    """Its kernel: gives buffers, sends packets, counts credit only where a test says so."""

    def __init__(self, path: Path, buffers: int = 32, folder: int = -1) -> None:
        self.loop = Loop()
        self.device = Vsock(CID, path.name if folder >= 0 else str(path), folder)
        self.driver = Driver(self.device, size=8 << 20, loop=self.loop)
        self.packets: list[Packet] = []
        self.given: dict[int, int] = {}
        self.free = list(range(buffers))
        self.last = (0, 0, 0)  # flags, buf_alloc, fwd_cnt
        self.give()

    def close(self) -> None:
        self.driver.close()
        self.loop.close()
        os.close(self.driver.memory.fd)

    def give(self, size: int = SIZE) -> None:
        ring = self.driver.rings[RX]
        for number in self.free:
            head = ring.chain([(PACKETS + number * 0x10000, size, WRITE)])
            self.given[head] = number
            ring.offer(head)
        self.free.clear()
        self.driver.kick(RX)

    def turn(self, seconds: float = 0.0) -> None:
        """What there is to do; received packets go to ``packets``, their buffers to ``free``."""
        for _ in range(50):
            events = self.loop.epoll.poll(seconds)
            for fd, event in events:
                if (callback := self.loop.callbacks.get(fd)) is not None:
                    callback(event)
            if not events:
                break
        for head, written in self.driver.rings[RX].collect():
            number = self.given.pop(head)
            data = self.driver.memory.read(PACKETS + number * 0x10000, written)
            self.free.append(number)
            if written < HEADER.size:
                continue
            source, target, host, guest, length, _, op, *self.last_words = HEADER.unpack_from(data)
            self.last = tuple(self.last_words)
            assert (source, target, length) == (2, CID, written - HEADER.size)
            self.packets.append((op, guest, host, data[HEADER.size :]))

    def send(self, op: int, guest: int, host: int, data: bytes = b"", **more: int) -> None:
        header = HEADER.pack(
            more.get("source", CID), more.get("target", 2), guest, host, more.get("length", len(data)),
            more.get("kind", 1), op, more.get("flags", 0), more.get("room", 1 << 20), more.get("forwarded", 0),
        )  # fmt: skip
        self.raw(header + data)

    def raw(self, data: bytes) -> None:
        ring = self.driver.rings[TX]
        self.driver.memory.write(SENDING, data)
        ring.offer(ring.chain([(SENDING, len(data), 0)]))
        self.driver.kick(TX)
        self.turn()
        ring.collect()

    def next(self, *, give: bool = True) -> Packet:
        until = time.monotonic() + 5
        while not self.packets:
            assert time.monotonic() < until, "nothing came"
            self.turn(0.01)
            if give and self.free:
                self.give()
        return self.packets.pop(0)

    def nothing(self) -> None:
        self.turn(0.02)
        assert not self.packets


def listener(path: Path, port: int) -> socket.socket:
    Path(f"{path}_{port}").unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX)
    made.bind(f"{path}_{port}")
    made.listen()
    made.settimeout(5)
    return made


def from_guest(guest: Guest, path: Path, *, room: int = 1 << 20, door: socket.socket | None = None) -> socket.socket:
    """A stream that the guest began: port 77 to 1024."""
    with door or listener(path, 1024) as listening:
        guest.send(words.REQUEST, 77, 1024, room=room)
        host, _ = listening.accept()
    assert guest.next() == (words.RESPONSE, 77, 1024, b"") and guest.last[1] == BUFFER
    host.settimeout(5)
    return host


def from_host(guest: Guest, path: Path) -> tuple[socket.socket, int]:
    host = socket.socket(socket.AF_UNIX)
    host.settimeout(5)
    host.connect(str(path))
    host.sendall(b"CONNECT 52\nand more")
    op, own, port, _ = guest.next()
    assert (op, own) == (words.REQUEST, 52) and port >= vsock.FIRST_PORT
    return host, port

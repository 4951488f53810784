"""virtio-vsock, with a guest in Python on one side and unix sockets on the other."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from minirun.vm.devices import vsock, vsock_stream as words
from minirun.vm.devices.vsock import ANSWERS, STREAMS, Vsock
from minirun.vm.devices.vsock_stream import BUFFER, HEADER, RX, TX
from minirun.vm.loop import Loop
from tests.unit.virtio_driver import BUFFERS, WRITE, Driver

CID = 3
SIZE = 4096 + HEADER.size
PACKETS, SENDING = BUFFERS + 0x10000, BUFFERS + 0x200000
Packet = tuple[int, int, int, bytes]  # op, our port, the host's port, data


class Guest:
    """Its kernel: gives buffers, sends packets, counts credit only where a test says so."""

    def __init__(self, path: Path, buffers: int = 32) -> None:
        self.loop = Loop()
        self.device = Vsock(CID, str(path))
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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "v.sock"


@pytest.fixture
def guest(path: Path) -> Iterator[Guest]:
    guest = Guest(path)
    yield guest
    guest.close()


def listener(path: Path, port: int) -> socket.socket:
    Path(f"{path}_{port}").unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX)
    made.bind(f"{path}_{port}")
    made.listen()
    made.settimeout(5)
    return made


def from_guest(guest: Guest, path: Path, *, room: int = 1 << 20) -> socket.socket:
    """A stream that the guest began: port 77 to 1024."""
    with listener(path, 1024) as door:
        guest.send(words.REQUEST, 77, 1024, room=room)
        host, _ = door.accept()
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


def test_the_host_calls(guest: Guest, path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    host, port = from_host(guest, path)
    guest.nothing()
    guest.send(words.RESPONSE, 52, port)
    assert host.recv(100) == b"OK %d\n" % port
    assert guest.next() == (words.RW, 52, port, b"and more"), "nothing behind the line is lost"
    guest.send(words.RW, 52, port, b"hello")
    assert host.recv(100) == b"hello"
    host.close()
    assert guest.next() == (words.SHUTDOWN, 52, port, b"") and guest.last[0] == 3
    guest.send(words.RST, 52, port)
    assert not guest.device.streams


def test_nobody_listens_in_the_guest(guest: Guest, path: Path) -> None:
    host, port = from_host(guest, path)
    guest.send(words.RST, 52, port)
    with pytest.raises(ConnectionResetError):  # for what it had said already
        host.recv(100)


@pytest.mark.parametrize("line", [b"HELLO 1\n", b"CONNECT\n", b"CONNECT -1\n", b"CONNECT 99999999999\n", b"x" * 40])
def test_a_greeting_that_is_none(guest: Guest, path: Path, line: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as host:
        host.connect(str(path))
        host.sendall(line)
        guest.nothing()
        with pytest.raises(ConnectionResetError) if len(line) > 33 else pytest.MonkeyPatch.context():
            assert host.recv(10) == b""
    assert not guest.device.greeted and not guest.device.streams


def test_the_guest_calls(guest: Guest, path: Path) -> None:
    host = from_guest(guest, path)
    guest.send(words.RW, 77, 1024, b"question")
    assert host.recv(100) == b"question"
    host.sendall(b"answer")
    assert guest.next() == (words.RW, 77, 1024, b"answer")
    guest.send(words.SHUTDOWN, 77, 1024, flags=words.NO_SEND)
    assert host.recv(100) == b"", "half of it"
    host.sendall(b"late")
    assert guest.next() == (words.RW, 77, 1024, b"late")
    guest.send(words.SHUTDOWN, 77, 1024, flags=words.NO_SEND | words.NO_RECEIVE)
    assert guest.next() == (words.RST, 77, 1024, b"")
    with pytest.raises(BrokenPipeError):
        host.sendall(b"too late")


def test_nobody_listens_on_the_host(guest: Guest, path: Path) -> None:
    guest.send(words.REQUEST, 77, 1024)
    assert guest.next() == (words.RST, 77, 1024, b"")
    listener(path, 1025).close()
    guest.send(words.REQUEST, 77, 1025)
    assert guest.next() == (words.RST, 77, 1025, b"")


def test_the_host_ends_one_half(guest: Guest, path: Path) -> None:
    host = from_guest(guest, path)
    host.shutdown(socket.SHUT_WR)
    assert guest.next() == (words.SHUTDOWN, 77, 1024, b"") and guest.last[0] == words.NO_SEND
    guest.send(words.RW, 77, 1024, b"still")
    assert host.recv(100) == b"still"


def test_a_lot_both_ways(guest: Guest, path: Path) -> None:
    """A megabyte each way: to the guest no more than it has room for, from it no more than the buffer."""
    host = from_guest(guest, path, room=10000)
    data, got, read = os.urandom(1 << 20), bytearray(), bytearray()
    host.setblocking(False)
    out = done = known = 0
    until = time.monotonic() + 20
    while len(got) < len(data) or len(read) < len(data):
        assert time.monotonic() < until, (len(got), len(read))
        try:
            done += host.send(data[done : done + 65536])
        except BlockingIOError:
            pass
        room = BUFFER - (out - known)
        if out < len(data) and room > 0:
            piece = data[out : out + min(room, 30000)]
            guest.send(words.RW, 77, 1024, piece, room=10000, forwarded=len(got))
            out += len(piece)
        else:
            guest.send(words.CREDIT_UPDATE, 77, 1024, room=10000, forwarded=len(got))
        before = len(got)
        while guest.packets:
            op, _, _, part = guest.packets.pop(0)
            assert op in (words.RW, words.CREDIT_UPDATE, words.CREDIT_REQUEST)
            got += part
        assert len(got) - before <= 10000, "more than there was room for"
        known = max(known, guest.last[2])
        guest.give()
        try:
            read += host.recv(1 << 16)
        except BlockingIOError:
            pass
    assert got == data and read == data


def test_what_the_host_does_not_read_waits_and_no_more(guest: Guest, path: Path) -> None:
    host = from_guest(guest, path)
    host.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sent = 0
    for _ in range(BUFFER // 4096 * 4):
        guest.send(words.RW, 77, 1024, bytes(4096))
        sent += 4096
        if guest.packets and guest.packets[-1][0] == words.RST:
            break
        assert all(len(stream.pending) <= BUFFER for stream in guest.device.streams.values())
    else:
        pytest.fail("more than was allowed, and nobody minded")
    assert sent > BUFFER and not guest.device.streams and host.fileno() >= 0


def test_data_before_the_farewell(guest: Guest, path: Path) -> None:
    host = from_guest(guest, path)
    total = 0
    while not next(iter(guest.device.streams.values())).pending:
        guest.send(words.RW, 77, 1024, bytes(32768))
        total += 32768
    guest.send(words.SHUTDOWN, 77, 1024, flags=3)
    assert not any(packet[0] == words.RST for packet in guest.packets)
    read = 0
    while read < total:
        read += len(host.recv(1 << 16))
        guest.turn()
    assert host.recv(10) == b"" and read == total
    assert (words.RST, 77, 1024, b"") in guest.packets


def test_without_buffers_nothing_is_lost(guest: Guest, path: Path) -> None:
    host = from_guest(guest, path)
    for _ in range(40):
        host.sendall(b"x" * 1000)
        guest.turn()
    taken = sum(len(packet[3]) for packet in guest.packets)
    assert len(guest.packets) <= 32 and taken <= 40000
    assert not any(stream.armed for stream in guest.device.streams.values()) or taken == 40000
    while taken < 40000:
        guest.packets.clear()
        guest.give()
        guest.turn(0.01)
        taken += sum(len(packet[3]) for packet in guest.packets)
    assert taken == 40000


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": 2}, {"length": 70000}, {"length": 100}, {"op": 99}, {"op": 8},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_reset(guest: Guest, path: Path, wrong: dict[str, int]) -> None:
    host = from_guest(guest, path)
    guest.send(wrong.get("op", words.RW), 77, 1024, b"x", length=wrong.get("length", 1), kind=wrong.get("kind", 1))
    assert guest.next()[:3] == (words.RST, 77, 1024)
    assert host.recv(10) == b""


def test_what_is_not_from_this_guest_is_dropped(guest: Guest, path: Path) -> None:
    with listener(path, 1024):
        for source, target in ((4, 2), (CID, 1), (CID, 5)):
            guest.send(words.REQUEST, 77, 1024, source=source, target=target)
        guest.send(0, 77, 1024)
        guest.raw(b"short")
        guest.send(words.RST, 5, 6)
        guest.nothing()
    guest.send(words.RW, 5, 6, b"to nobody")
    assert guest.next() == (words.RST, 5, 6, b"")


def test_streams_and_answers_are_bounded(guest: Guest, path: Path) -> None:
    with listener(path, 1024) as door:
        door.listen(STREAMS + 50)
        for port in range(STREAMS + 50):
            guest.send(words.REQUEST, port, 1024)
            guest.give()
        assert len(guest.device.streams) == STREAMS
        assert sum(packet[0] == words.RST for packet in guest.packets) == 50
    guest.packets.clear()
    guest.turn()
    for port in range(3 * ANSWERS):  # no buffers are given for what comes back
        ring = guest.driver.rings[TX]
        guest.driver.memory.write(SENDING, HEADER.pack(CID, 2, 5, port, 0, 1, words.RW, 0, 0, 0))
        if port < ring.size:
            ring.offer(ring.chain([(SENDING, HEADER.size, 0)]))
    guest.driver.kick(TX)
    guest.turn()
    assert len(guest.device.answers) <= ANSWERS + 1


def test_a_reset_ends_everything(guest: Guest, path: Path) -> None:
    host = from_guest(guest, path)
    guest.driver.start()
    assert host.recv(10) == b"" and not guest.device.streams
    guest.given.clear()
    guest.free = list(range(32))
    guest.give()
    from_guest(guest, path).close()


def test_the_socket_of_a_machine_that_died(path: Path) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    guest = Guest(path)
    with pytest.raises(OSError, match="in use"):
        Vsock(CID, str(path))
    guest.close()
    assert not path.exists()


packets = st.tuples(
    st.sampled_from([3, 3, 3, 2, 0]), st.sampled_from([2, 2, 2, 3]), st.sampled_from([77, 1, 52]),
    st.sampled_from([1024, 1024, 1, 1 << 30]), st.sampled_from([0, 0, 1, 5, 100, 1 << 16, 0xFFFFFFFF]),
    st.sampled_from([1, 1, 1, 2, 0]), st.integers(0, 9), st.integers(0, 4),
    st.sampled_from([0, 1, 100, 1 << 20, 0xFFFFFFFF]), st.sampled_from([0, 1, 5, 0xFFFFFFFF]),
)  # fmt: skip
Action = tuple[str, object]
actions: st.SearchStrategy[Action] = st.one_of(
    packets.map(lambda fields: ("packet", HEADER.pack(*fields) + b"hello")),
    st.binary(max_size=60).map(lambda data: ("packet", data or b"\0")),
    st.sampled_from([("give", 20), ("give", SIZE), ("host", b"data"), ("turn", 0), ("end", 0), ("call", 0)]),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(actions, max_size=40))
def test_anything_at_all(tmp_path_factory: pytest.TempPathFactory, sequence: list[Action]) -> None:
    path = tmp_path_factory.mktemp("v") / "v"
    guest = Guest(path, buffers=4)
    door = listener(path, 1024)
    ends: list[socket.socket] = []
    door.setblocking(False)
    try:
        for what, value in sequence:
            act(guest, path, ends, what, value)
            try:
                ends.append(door.accept()[0])
            except BlockingIOError:
                pass
            assert len(guest.device.answers) <= ANSWERS + 1
        assert not guest.driver.needs_reset()
    finally:
        for end in [door, *ends]:
            end.close()
        guest.close()


def act(guest: Guest, path: Path, ends: list[socket.socket], what: str, value: object) -> None:
    if what == "packet":
        assert isinstance(value, bytes)
        guest.raw(value)
    elif what == "give":
        assert isinstance(value, int)
        guest.give(value)
    elif what == "call":
        ends.append(socket.socket(socket.AF_UNIX))
        ends[-1].connect(str(path))
        ends[-1].sendall(b"CONNECT 52\n")
    elif ends and what == "end":
        ends.pop().close()
    elif ends and what == "host":
        try:
            ends[-1].send(b"data")
        except (BrokenPipeError, ConnectionResetError):
            pass
    guest.turn()

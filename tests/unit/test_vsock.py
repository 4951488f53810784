"""virtio-vsock, with a guest in Python on one side and unix sockets on the other."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun.vm.devices import vsock_stream as words
from minirun.vm.devices.vsock import Vsock
from minirun.vm.devices.vsock_stream import BUFFER
from tests.unit.vsock_guest import CID, Guest, from_guest, from_host, listener


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "v.sock"


@pytest.fixture
def guest(path: Path) -> Iterator[Guest]:
    guest = Guest(path)
    yield guest
    guest.close()


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

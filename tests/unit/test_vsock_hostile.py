"""virtio-vsock and a guest that means harm: what makes no sense is reset, nothing is stored beyond what was allowed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from minirun.vm.devices import vsock_stream as words
from minirun.vm.devices.vsock import ANSWERS, STREAMS
from minirun.vm.devices.vsock_stream import HEADER, TX
from tests.unit.vsock_guest import CID, SENDING, SIZE, Guest, from_guest, listener


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "v.sock"


@pytest.fixture
def guest(path: Path) -> Iterator[Guest]:
    guest = Guest(path)
    yield guest
    guest.close()


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

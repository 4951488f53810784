"""How the VMM ends when its machine does: what it says of it, and what the program has said before."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from minirun.errors import MinirunError
from minirun.vm import channel, process, vmm
from minirun.vm.channel import DATA, EXITED, HELLO, WINDOW, frame, stream_of
from minirun.vm.exits import Stopped
from minirun.vm.relay import Relay
from minirun.vm.task import Spawn

STOPPED = Stopped(why="panic")
HI = frame(HELLO, 0, channel.HELLO_HEAD.pack(channel.VERSION, 0, 0, 0, 0) + b"6.1")


class Port:
    """The console's, with a guest that takes everything."""

    def __init__(self) -> None:
        self.held = bytearray()
        self.on_data: Any = None

    def send(self, data: bytes) -> None:
        pass


class Ending(vmm.Vmm):
    """A VMM around no machine: it is told of its end."""

    def __init__(self) -> None:
        self.output, written = os.pipe()
        self.written = os.open(f"/proc/self/fd/{written}", os.O_WRONLY | os.O_NONBLOCK)
        os.close(written)
        given: Any = SimpleNamespace(hardware=SimpleNamespace(disks=[]), words=os.memfd_create("words"))
        super().__init__(given)
        self.port = Port()
        self.stopped: list[str] = []
        self.machine: Any = SimpleNamespace(stop=self.stopped.append)
        self.platform: Any = SimpleNamespace(reason=lambda why: "panic")
        self.relay = Relay(self.loop, self.port)
        self.relay.broken = self.broken
        spawn = Spawn(step=1, flags=0, plan=b"", sync=-1, stdio=(-1, self.written, -1), exited=self.exited)
        self.relay.spawn(spawn)
        self.port.on_data(HI)

    def read(self) -> None:
        os.read(self.output, WINDOW)

    def told(self) -> str:
        words = process.last_words(self.given.words, "")
        assert words is not None
        return words.reason

    def close(self) -> None:
        self.loop.close()
        os.close(self.output)
        os.close(self.given.words)


@pytest.fixture
def ending() -> Iterator[Ending]:
    made = Ending()
    yield made
    made.close()


def test_what_the_program_has_said_is_written(ending: Ending) -> None:
    """The guest is gone, and its reader slow: a pipe and a window of output are still to come."""
    for _ in range(2):
        ending.port.on_data(frame(DATA, stream_of(1, 1), b"x" * WINDOW))
    assert ending.relay.tasks[1].sinks[1].held, "the pipe is full"
    vmm.later(0.2, ending.read)
    ending.loop.lock.acquire()
    ending.ended(STOPPED)
    ending.loop.lock.release()
    began = time.monotonic()
    ending.loop.run()
    assert time.monotonic() - began < vmm.GRACE - 1
    assert len(os.read(ending.output, 2 * WINDOW)) == WINDOW
    assert ending.code is None


def test_a_reader_that_never_reads(ending: Ending, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vmm, "GRACE", 0.2)
    for _ in range(2):
        ending.port.on_data(frame(DATA, stream_of(1, 1), b"x" * WINDOW))
    ending.ended(STOPPED)
    ending.loop.run()
    assert ending.code is None


def test_the_end_of_the_program_counts_though_the_machine_is_gone(ending: Ending) -> None:
    for _ in range(2):
        ending.port.on_data(frame(DATA, stream_of(1, 1), b"x" * WINDOW))
    ending.port.on_data(frame(EXITED, stream_of(1), channel.EXITED_BODY.pack(7 << 8, 0, 0, 0)))
    ending.ended(STOPPED)
    vmm.later(0.1, ending.read)
    ending.loop.run()
    assert ending.code == 7


def test_the_first_reason_counts_and_is_whole(ending: Ending) -> None:
    ending.hear(b"boot\n")
    ending.port.on_data(frame(999, 5, b""))
    assert ending.stopped == ["broken"]
    ending.ended(STOPPED)
    assert ending.told().startswith("the guest's agent does not keep to its protocol")


@pytest.mark.parametrize("noise", [b"\xff" * 60000, b"\x1b[2J\x00" * 12000, b"\x01\n" * 30000])
def test_noise_on_the_console(ending: Ending, noise: bytes) -> None:
    """It is shown to people: short, and without what a terminal obeys."""
    ending.hear(noise)
    ending.ended(STOPPED)
    told = ending.told()
    assert told.startswith("the guest ended by itself (panic)") and len(told) < 20000
    assert "\x1b" not in told and "\x01" not in told


@pytest.mark.parametrize("words", [b"{", b"[]", b"7", b'{"message": 1}', b"\xff", b"null"])
def test_words_of_whoever_broke_out(words: bytes) -> None:
    fd = os.memfd_create("words")
    os.write(fd, words)
    told = process.last_words(fd, "")
    os.close(fd)
    assert told is not None and "damaged" in told.reason


@pytest.mark.parametrize("reason", ["\x01" * 70000, "short"])
def test_words_are_whole(reason: str) -> None:
    """The first ones: what is said later follows from them."""
    fd = os.memfd_create("words")
    process.say(fd, MinirunError("it ended", reason=reason))
    process.say(fd, MinirunError("later"))
    told = process.last_words(fd, "")
    os.close(fd)
    assert told is not None and told.message == "it ended" and told.reason == reason[:1000]

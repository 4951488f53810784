"""Nonsense from either end: the relay stops listening and says so, the agent ends in order; nobody crashes or hangs.

The agent here is the one under ASan and UBSan, watched while the host's side lies.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun.engine.init import InitFailed
from minirun.engine.protocol import FORKED, LISTENER, MESSAGE, READY, SYNC, TERMINAL
from minirun.linux import unix
from minirun.plan import wire
from minirun.vm import channel
from minirun.vm.channel import (
    ANSWER,
    BYTES,
    CLOSED,
    CREDIT,
    DATA,
    END,
    EXITED,
    HELLO,
    KINDS,
    LOG,
    ORDER,
    READ,
    REPORT,
    RESIZE,
    SIGNAL,
    SPAWN,
    SPAWNED,
    WINDOW,
    WRITE,
    Exited,
    frame,
    stream_of,
)
from minirun.vm.task import Spawn
from native import build
from tests.conftest import Bundle, require
from tests.vm.agents import Pair, Program, exec_of, plan_of

pytestmark = pytest.mark.needs("root", "busybox", "compiler")
HI = frame(HELLO, 0, channel.HELLO_HEAD.pack(channel.VERSION, 0, 0, 0, 0) + b"6.1")
SEED, ROUNDS = 11, 400


class Liar(Pair):
    """A relay with a task, and a socket to lie to it by."""

    def __init__(self, *, stdin: int = -1) -> None:
        super().__init__(start=False)
        self.sync, theirs = unix.pair()
        self.output, ours = os.pipe()
        os.set_blocking(self.output, False)
        self.ends: list[Exited | None] = []
        self.task = self.relay.spawn(
            Spawn(step=1, flags=0, plan=b"", sync=theirs, stdio=(stdin, ours, -1), exited=self.ends.append)
        )

    def lie(self, *frames: bytes) -> None:
        self.port.on_data(b"".join(frames))

    def close(self) -> None:
        super().close()
        os.close(self.sync)
        os.close(self.output)


@pytest.fixture
def liar() -> Iterator[Liar]:
    made = Liar()
    yield made
    made.close()


def report(kind: int, value: int = 0) -> bytes:
    return MESSAGE.pack(kind, 1, 0, value, 0, b"", b"")


ONE = stream_of(1)
LIES = {
    "a frame too long": channel.HEADER.pack(1 << 20, DATA, 5),
    "no such frame": frame(999, ONE),
    "a frame of the host's": frame(SPAWN, ONE, b"x" * 40),
    "hello again": HI,
    "an answer to nothing": frame(ANSWER, 0, channel.ANSWER_HEAD.pack(1, 0)),
    "a short answer": frame(ANSWER, 0, b"abc"),
    "a short report": frame(REPORT, ONE, b"abc"),
    "a fork of a process of the host's": frame(REPORT, ONE, report(FORKED, os.getpid())),
    "a listener": frame(REPORT, ONE, report(LISTENER)),
    "a terminal that nobody wanted": frame(REPORT, ONE, report(TERMINAL)),
    "ready twice": frame(REPORT, ONE, report(READY)) * 2,
    "more reports than anybody reads": frame(REPORT, ONE, report(SYNC)) * 5000,
    "more output than credit": frame(DATA, stream_of(1, 1), bytes(WINDOW)) * 40,
    "data for stdin": frame(DATA, stream_of(1, 0), b"x"),
    "data for the task": frame(DATA, ONE, b"x"),
    "a short credit": frame(CREDIT, stream_of(1, 0), b"x"),
    "credit for output": frame(CREDIT, stream_of(1, 1), channel.NUMBER.pack(5)),
    "a short end": frame(EXITED, ONE, b"x"),
    "a short pid": frame(SPAWNED, ONE, b"x"),
}


@pytest.mark.parametrize("name", LIES)
def test_lies(liar: Liar, name: str) -> None:
    liar.lie(HI, LIES[name])
    assert len(liar.why) == 1 and liar.relay.deaf, f"{name} is believed"
    liar.lie(HI, frame(EXITED, ONE, bytes(32)))
    assert len(liar.why) == 1 and not liar.ends, "nothing is listened to any more"
    liar.relay.lost()
    while not liar.ends:  # what it was told before is still written
        os.read(liar.output, WINDOW)
        liar.task.sinks[1].ready(0)
    assert liar.ends == [None]


def test_before_hello(liar: Liar) -> None:
    liar.lie(frame(LOG, 0, b"hello?"))
    assert liar.why == ["frame 22 before HELLO"]


def test_another_version(liar: Liar) -> None:
    liar.lie(frame(HELLO, 0, channel.HELLO_HEAD.pack(99, 0, 0, 0, 0)))
    assert liar.why and "99" in liar.why[0]


def test_harmless_nonsense(liar: Liar) -> None:
    """Words for tasks that are gone, credit without end, an end twice."""
    liar.lie(
        HI, frame(DATA, stream_of(9, 1), b"x"), frame(EXITED, stream_of(9), bytes(32)), frame(END, stream_of(1, 2))
    )
    liar.lie(*[frame(CREDIT, stream_of(1, 0), channel.NUMBER.pack(0xFFFFFFFF))] * 3)
    liar.lie(frame(LOG, 0, b"\xff\x1b[2J" * 1000), frame(CLOSED, ONE) * 2, frame(END, stream_of(1, 1)) * 2)
    assert not liar.why and len(liar.lines[0]) <= 1000
    liar.lie(frame(EXITED, ONE, channel.EXITED_BODY.pack(7 << 8, 0, 0, 0)) * 2)
    assert [ended.code() for ended in liar.ends if ended] == [7]


@pytest.mark.parametrize("count", [1, WINDOW])
def test_credit_without_reading(count: int) -> None:
    """A guest that wants ever more input, and takes none of it, would be kept in our memory."""
    liar = Liar(stdin=os.open("/dev/zero", os.O_RDONLY))
    liar.lie(HI)
    for _ in range(500):
        liar.lie(frame(CREDIT, stream_of(1, 0), channel.NUMBER.pack(count)))
    assert liar.why == ["it does not take what it asks for"] * (count == WINDOW)
    assert len(liar.port.held) < 24 << 20
    liar.lie(frame(CREDIT, stream_of(1, 0), channel.NUMBER.pack(WINDOW + 1)))
    assert liar.why == ["it does not take what it asks for" if count == WINDOW else "credit for what was not taken"]
    liar.close()


def test_random_lies() -> None:
    """Whatever comes, and in whatever pieces: no exception, and an end for the task."""
    chance = random.Random(SEED)
    for _ in range(ROUNDS):
        liar = Liar()
        said = [HI] if chance.random() < 0.9 else []
        for _ in range(chance.randrange(12)):
            payload = chance.choice([
                b"", os.urandom(chance.randrange(64)), report(chance.randrange(10), chance.randrange(70000)),
                bytes(32), bytes(chance.choice([4, 8, 4096, WINDOW])),
            ])  # fmt: skip
            stream = chance.choice([ONE, stream_of(1, chance.randrange(4)), chance.randrange(65536)])
            said.append(frame(chance.choice([*KINDS.values(), chance.randrange(65536)]), stream, payload))
        data = b"".join(said)
        while data:
            size = chance.randrange(1, len(data) + 1)
            liar.lie(data[:size])
            data = data[size:]
        liar.relay.lost()
        assert len(liar.ends) <= 1
        liar.close()


# -- the agent ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("compiler", "root")
    return build.build_asan(tmp_path_factory.mktemp("asan"))


def lie_to(program: Path, data: bytes, seconds: float = 20) -> tuple[int, str]:
    """The agent's exit code and what its sanitizers say; it must end soon after the channel has been closed."""
    ours, theirs = socket.socketpair()
    fd = theirs.fileno()
    words = ["unshare", "--pid", "--mount-proc", "--net", "--fork", "--kill-child", program, "agent", str(fd)]
    agent = subprocess.Popen(
        [str(word) for word in words], pass_fds=[fd], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0:exitcode=99"},
    )  # fmt: skip
    theirs.close()
    ours.settimeout(0.05)
    until = time.monotonic() + seconds
    at, quiet = 0, 0
    while quiet < 3 and time.monotonic() < until:
        try:
            at += ours.send(data[at : at + 65536]) if at < len(data) else 0
        except (TimeoutError, OSError):
            pass
        try:
            heard = ours.recv(1 << 16)
            quiet = 0 if heard else 3
        except TimeoutError:
            quiet += at >= len(data)
        except OSError:
            break
    ours.close()
    _, error = agent.communicate(timeout=seconds)
    return agent.returncode, error.decode()


def check_sane(ended: tuple[int, str]) -> None:
    code, error = ended
    assert code in (0, 1) and "Sanitizer" not in error and "runtime error" not in error, error


def test_a_whole_program_under_the_sanitizers(watched: Path, bundle: Bundle) -> None:
    pair = Pair(program=watched)
    theirs, ours = os.pipe()
    program = Program(pair, plan_of(bundle.args("/bin/sh", "-c", "echo said; exit 6")), stdio=(-1, ours, -1))
    assert (program.wait(), os.read(theirs, 10)) == (6, b"said\n")
    os.close(theirs)
    pair.close()


def test_too_long_a_frame(watched: Path) -> None:
    check_sane(lie_to(watched, channel.HEADER.pack(65537, DATA, 4) + bytes(70000)))


def test_more_input_than_credit(watched: Path, bundle: Bundle) -> None:
    ops = plan_of(bundle.args("/bin/sleep", "100"))
    said = channel.frames(BYTES, ONE, wire.encode(ops)) + channel.spawn(1, flags=0x20020000, step=1, stdio=(1, 1, 1))
    check_sane(lie_to(watched, said + frame(DATA, stream_of(1, 0), bytes(WINDOW)) * 40))


def test_random_words(watched: Path, bundle: Bundle) -> None:
    """Frames that are nearly right: cut, spoiled, for tasks that are not there, in any order."""
    chance = random.Random(SEED)
    plan = wire.encode(plan_of(bundle.args("/bin/true")))
    for _ in range(12):
        said = []
        for _ in range(60):
            task = chance.randrange(1, 6)
            spawn = channel.spawn(task, flags=0x20020000, step=3, stdio=(1, 1, 2), target=chance.randrange(2))
            said.append(chance.choice([
                channel.frames(BYTES, stream_of(task), plan), spawn,
                frame(SPAWN, stream_of(task), spawn[8 : 8 + chance.randrange(40)]),
                frame(SPAWN, stream_of(task), os.urandom(chance.randrange(60))),
                frame(ORDER, stream_of(task), b"\1\0\0\0"), frame(ORDER, stream_of(task), b"\3\0\0\0"),
                frame(SIGNAL, stream_of(task), channel.NUMBER.pack(chance.randrange(70))),
                frame(DATA, stream_of(task, chance.randrange(4)), bytes(chance.randrange(3000))),
                frame(END, stream_of(task, chance.randrange(4))),
                frame(CREDIT, stream_of(task, chance.randrange(4)), os.urandom(4)),
                frame(RESIZE, stream_of(task), bytes(chance.choice([0, 8, 9]))),
                frame(READ, 0, os.urandom(4) + b"/proc/self/status\0"), frame(READ, 0, b"\1\0\0\0/proc"),
                frame(READ, 0, b"\1\0\0\0/proc\0"), frame(WRITE, 0, b"\1\0\0\0/dev/null\0words"),
                frame(WRITE, 0, b"\1"),
                frame(chance.randrange(65536), chance.randrange(65536), os.urandom(chance.randrange(50))),
            ]))  # fmt: skip
        check_sane(lie_to(watched, b"".join(said)))


def test_garbage(watched: Path) -> None:
    for seed in range(6):
        check_sane(lie_to(watched, random.Random(seed).randbytes(5000)))


def test_a_failed_step_kills_what_was_begun(watched: Path, bundle: Bundle) -> None:
    pair = Pair(program=watched)
    bundle.write()
    program = Program(pair, exec_of(bundle, "/bin/true"), cgroup="../../nowhere/" + "x" * 300)
    assert program.wait() == 1
    assert isinstance(program.failed, InitFailed) and program.failed.failure.errno
    pair.close()

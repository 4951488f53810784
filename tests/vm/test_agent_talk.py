"""The relay in init's and the terminal's place: the gate, orders with documents, ptys and their sizes."""

from __future__ import annotations

import fcntl
import os
import struct
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun.engine.init import InitFailed
from minirun.engine.protocol import DETACH, FAILED, MESSAGE, START
from minirun.linux import memfd, unix
from tests.conftest import Bundle
from tests.vm.agents import Pair, Program, exec_of, plan_of

pytestmark = pytest.mark.needs("root", "busybox", "compiler")


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


# -- the gate ----------------------------------------------------------------------------------------------------------


def at_the_gate(pair: Pair, bundle: Bundle, tmp_path: Path) -> tuple[Program, str]:
    """Created, and its maker gone."""
    path = str(tmp_path / "gate")
    program = Program(pair, plan_of(bundle), start=False, gate=unix.listen(path))
    program.until(program.ready)
    program.init.send(DETACH)
    pair.run(lambda: program.task.sync < 0)
    assert unix.receive(program.init.sync, MESSAGE.size) == (b"", -1)
    return program, path


def word(fd: int) -> bytes:
    return unix.receive(fd, MESSAGE.size)[0]


def hears(pair: Pair, fd: int) -> bytes:
    """What the relay says to a connection of the gate's."""
    os.set_blocking(fd, False)
    got: list[bytes] = []

    def tried() -> bool:
        try:
            got.append(word(fd))
        except BlockingIOError:
            return False
        return True

    pair.run(tried)
    os.close(fd)
    return got[0]


def test_start_from_another_process(pair: Pair, bundle: Bundle, tmp_path: Path) -> None:
    program, path = at_the_gate(pair, bundle.args("/bin/sh", "-c", "exit 4"), tmp_path)
    os.close(unix.connect(path))  # state wants to know whether anybody is there
    idle = unix.connect(path)
    nonsense = unix.connect(path)
    unix.send(nonsense, b"\7\0\0\0")
    assert hears(pair, nonsense) == b""
    caller = unix.connect(path)
    unix.send(caller, START)
    assert hears(pair, caller) == b"", "end of file: exec has succeeded"
    assert hears(pair, idle) == b"", "the gate is closed"
    with pytest.raises(ConnectionRefusedError):
        unix.connect(path)
    assert program.wait() == 4


def test_a_start_that_fails(pair: Pair, bundle: Bundle, tmp_path: Path) -> None:
    (bundle.rootfs / "bin" / "broken").write_text("#!/no/such/interpreter\n")
    (bundle.rootfs / "bin" / "broken").chmod(0o755)
    program, path = at_the_gate(pair, bundle.args("/bin/broken"), tmp_path)
    caller = unix.connect(path)
    unix.send(caller, START)
    message = hears(pair, caller)
    kind, _, errno, _, _, call, _ = MESSAGE.unpack(message)
    assert (kind, errno, call.rstrip(b"\0")) == (FAILED, 2, b"execve")
    program.wait()


def test_hooks_inside_read_their_state(pair: Pair, bundle: Bundle, tmp_path: Path) -> None:
    """The document that comes with START, larger than a frame."""
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "cat > /tmp/state"]}
    bundle.config["hooks"] = {"startContainer": [hook]}
    bundle.config["root"]["readonly"] = False
    program, path = at_the_gate(pair, bundle.args("/bin/true"), tmp_path)
    document = os.urandom(150_000)
    caller, fd = unix.connect(path), memfd.seal_bytes("state", document)
    unix.send(caller, START, fd)
    os.close(fd)
    assert hears(pair, caller) == b""
    assert program.wait() == 0
    assert (bundle.rootfs / "tmp" / "state").read_bytes() == document


def test_a_maker_who_dies_takes_init_with_him(pair: Pair, bundle: Bundle) -> None:
    program = Program(pair, plan_of(bundle.args("/bin/sleep", "1000")), start=False)
    program.until(program.ready)
    os.close(program.init.sync)
    assert program.wait() == 137


def test_killed_at_the_gate(pair: Pair, bundle: Bundle, tmp_path: Path) -> None:
    program, path = at_the_gate(pair, bundle, tmp_path)
    idle = unix.connect(path)
    pair.run(lambda: bool(program.task.gate.callers))
    program.task.kill(9)
    assert program.wait() == 137
    assert word(idle) == b""
    os.close(idle)


# -- terminals ---------------------------------------------------------------------------------------------------------


class Terminal:
    """The engine's end of a program's terminal."""

    def __init__(self, pair: Pair, program: Program) -> None:
        self.pair = pair
        program.until(program.started)
        self.master = program.init.terminal
        assert self.master >= 0 and program.failed is None, program.failed
        os.set_blocking(self.master, False)
        self.got = b""

    def until(self, word: bytes) -> bytes:
        """Everything up to ``word``."""

        def seen() -> bool:
            try:
                self.got += os.read(self.master, 65536)
            except (BlockingIOError, OSError):
                pass
            return word in self.got

        self.pair.run(seen)
        before, _, self.got = self.got.partition(word)
        return before

    def say(self, line: bytes) -> None:
        os.write(self.master, line)

    def size(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("<4H", rows, columns, 0, 0))

    def close(self) -> None:
        os.close(self.master)


def with_terminal(bundle: Bundle, *words: str) -> Bundle:
    bundle.config["process"]["terminal"] = True
    return bundle.args(*words)


def test_a_terminal(pair: Pair, bundle: Bundle) -> None:
    script = """test -t 0 && test -t 1 && test -t 2 && read line && echo "<$line>"
        trap 'echo int; exit 9' INT; echo trapped; while :; do sleep 0.02; done"""
    program = Program(pair, plan_of(with_terminal(bundle, "/bin/sh", "-c", script)))
    terminal = Terminal(pair, program)
    terminal.say(b"some words\n")
    assert terminal.until(b"trapped\r\n") == b"some words\r\n<some words>\r\n", "the guest's terminal echoes"
    terminal.say(b"\x03")
    terminal.until(b"^C")
    terminal.until(b"int\r\n")
    assert program.wait() == 9
    terminal.close()


def test_its_size(pair: Pair, bundle: Bundle) -> None:
    (bundle.rootfs / "bin" / "stty").symlink_to("busybox")
    script = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.02; done"
    program = Program(pair, plan_of(with_terminal(bundle, "/bin/sh", "-c", script)))
    terminal = Terminal(pair, program)
    terminal.until(b"ready\r\n")
    terminal.size(33, 99)
    pair.relay.signal(28)  # what the kernel sends to the leader of our session
    terminal.until(b"33 99\r\n")
    terminal.size(40, 120)
    terminal.say(b"x")  # without a session of our own it is noticed with the next key
    terminal.until(b"40 120\r\n")
    program.task.kill(9)
    assert program.wait() == 137
    terminal.close()


def test_hanging_up(pair: Pair, bundle: Bundle) -> None:
    """Everybody closes the master: SIGHUP for the session inside."""
    script = "trap 'exit 21' HUP; echo ready; while :; do sleep 0.02; done"
    program = Program(pair, plan_of(with_terminal(bundle, "/bin/sh", "-c", script)))
    terminal = Terminal(pair, program)
    terminal.until(b"ready\r\n")
    terminal.close()
    assert program.wait() == 21


def test_much_through_a_terminal(pair: Pair, bundle: Bundle) -> None:
    (bundle.rootfs / "bin" / "seq").symlink_to("busybox")
    program = Program(pair, plan_of(with_terminal(bundle, "/bin/sh", "-c", "echo begin; seq 1 200000; echo end")))
    terminal = Terminal(pair, program)
    terminal.until(b"begin\r\n")
    assert terminal.until(b"end\r\n") == b"".join(b"%d\r\n" % n for n in range(1, 200001))
    assert program.wait() == 0
    terminal.close()


def test_exec_with_a_terminal(pair: Pair, bundle: Bundle) -> None:
    main = Program(pair, plan_of(bundle.args("/bin/sleep", "1000")))
    main.until(main.started)
    ops = exec_of(bundle, "/bin/sh", "-c", "read line; test -t 0 && echo got $line; exit 8", terminal=True)
    program = Program(pair, ops, target=main.task.number)
    terminal = Terminal(pair, program)
    terminal.say(b"words\n")
    terminal.until(b"got words\r\n")
    assert program.wait() == 8
    terminal.close()
    main.task.kill(9)
    assert main.wait() == 137


def test_input_after_the_program_s_end_is_dropped(pair: Pair, bundle: Bundle) -> None:
    theirs, ours = os.pipe()
    stop = threading.Event()

    def write() -> None:
        try:
            while not stop.is_set():
                os.write(ours, b"x" * 4096)
        except BrokenPipeError:
            pass
        os.close(ours)

    thread = threading.Thread(target=write)
    thread.start()
    assert Program(pair, plan_of(bundle.args("/bin/head", "-c", "1")), stdio=(theirs, -1, -1)).wait() == 0
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_a_closed_stdin_is_noticed(pair: Pair, bundle: Bundle) -> None:
    """The program reads no more, but lives: whoever writes to it gets a broken pipe, as from a pipe of its own."""
    theirs, ours = os.pipe()
    ops = plan_of(bundle.args("/bin/sh", "-c", "exec 0<&-; echo closed; sleep 1000"))
    hear, out = os.pipe()
    program = Program(pair, ops, stdio=(theirs, out, -1))
    os.set_blocking(ours, False)

    def broken() -> bool:
        try:
            os.write(ours, b"x")
        except BlockingIOError:
            return False
        except BrokenPipeError:
            return True
        return False

    pair.run(broken)
    program.task.kill(9)
    assert program.wait() == 137
    os.close(ours)
    os.close(hear)


def test_a_plan_that_joins_nobody(pair: Pair, bundle: Bundle) -> None:
    bundle.write()
    program = Program(pair, exec_of(bundle, "/bin/true"), target=77)
    assert program.wait() == 1
    assert isinstance(program.failed, InitFailed) and program.failed.failure.errno == 3

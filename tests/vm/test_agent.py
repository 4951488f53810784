"""The agent and the relay: what a program in a guest and the engine on the host see of each other."""

from __future__ import annotations

import hashlib
import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun.engine.init import InitFailed
from minirun.vm.channel import Write
from tests.conftest import Bundle
from tests.vm.agents import Pair, Program, exec_of, plan_of

pytestmark = pytest.mark.needs("root", "busybox", "compiler")


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


def taken(fd: int) -> tuple[threading.Thread, bytearray]:
    """All that comes from ``fd``, by a thread."""
    got = bytearray()

    def read() -> None:
        while part := os.read(fd, 65536):
            got.extend(part)
        os.close(fd)

    thread = threading.Thread(target=read)
    thread.start()
    return thread, got


def output(pair: Pair, bundle: Bundle, *words: str) -> tuple[int, bytes]:
    bundle.args(*words)
    theirs, ours = os.pipe()
    thread, got = taken(theirs)
    code = Program(pair, plan_of(bundle), stdio=(-1, ours, -1)).wait()
    thread.join(10)
    return code, bytes(got)


def test_a_program_and_its_output(pair: Pair, bundle: Bundle) -> None:
    assert output(pair, bundle, "/bin/sh", "-c", "echo $$; hostname; exit 7") == (7, b"1\nminirun\n")
    assert pair.relay.hello and pair.relay.hello.release == os.uname().release


@pytest.mark.parametrize(("word", "code"), [("exit 0", 0), ("exit 255", 255), ("kill -9 $$; sleep 9", None)])
def test_exit_codes(pair: Pair, bundle: Bundle, word: str, code: int | None) -> None:
    if code is None:  # a PID namespace's first process is not killed by itself: its child is
        word, code = "sh -c 'kill -9 $$'; exit $?", 137
    assert output(pair, bundle, "/bin/sh", "-c", word)[0] == code


def readable(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


def digest(data: bytes | bytearray) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 100_000_000])
def test_bytes_both_ways(pair: Pair, bundle: Bundle, size: int, tmp_path: Path) -> None:
    """Through cat: stdin from a file, stdout to a pipe that is read at leisure."""
    sent = os.urandom(min(size, 1 << 20)) * (size >> 20 or 1) if size else b""
    (tmp_path / "sent").write_bytes(sent)
    theirs, ours = os.pipe()
    thread, got = taken(theirs)
    stdin = os.open(tmp_path / "sent", os.O_RDONLY)
    assert Program(pair, plan_of(bundle.args("/bin/cat")), stdio=(stdin, ours, -1)).wait(120) == 0
    thread.join(10)
    assert len(got) == len(sent) and digest(got) == digest(sent)


def test_a_pipe_for_input_and_a_file_for_output(pair: Pair, bundle: Bundle, tmp_path: Path) -> None:
    theirs, ours = os.pipe()
    out = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    program = Program(pair, plan_of(bundle.args("/bin/sh", "-c", "cat; cat >&2; echo end")), stdio=(theirs, out, out))
    os.write(ours, b"some ")
    program.until(program.started)
    os.write(ours, b"words\n")
    os.close(ours)
    assert program.wait() == 0
    assert (tmp_path / "out").read_bytes() == b"some words\nend\n"


def test_stderr_is_another_stream(pair: Pair, bundle: Bundle) -> None:
    (one, to_one), (two, to_two) = os.pipe(), os.pipe()
    first, second = taken(one), taken(two)
    ops = plan_of(bundle.args("/bin/sh", "-c", "echo out; echo err >&2; readlink /proc/self/fd/0"))
    assert Program(pair, ops, stdio=(-1, to_one, to_two)).wait() == 0
    first[0].join(10)
    second[0].join(10)
    assert (bytes(first[1]), bytes(second[1])) == (b"out\n/dev/null\n", b"err\n")


def test_two_outputs_in_one_file_keep_their_order(pair: Pair, bundle: Bundle, tmp_path: Path) -> None:
    out = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    ops = plan_of(bundle.args("/bin/sh", "-c", "for i in 1 2 3 4; do echo $i; echo -$i >&2; done"))
    assert Program(pair, ops, stdio=(-1, out, os.dup(out))).wait() == 0
    assert (tmp_path / "out").read_text().split() == ["1", "-1", "2", "-2", "3", "-3", "4", "-4"]


def test_a_slow_reader_stops_its_own_program_only(pair: Pair, bundle: Bundle) -> None:
    slow, to_slow = os.pipe()
    ops = plan_of(bundle.args("/bin/sh", "-c", "head -c 3000000 /dev/zero; sleep 0; echo end >&2"))
    hears, to_hears = os.pipe()
    os.set_blocking(hears, False)
    program = Program(pair, ops, stdio=(-1, to_slow, to_hears))
    program.until(program.started)
    pair.run(lambda: readable(slow))
    second = Program(pair, exec_of(bundle, "/bin/echo", "quick"), target=program.task.number, start=True)
    assert second.wait() == 0, "the other one is served"
    with pytest.raises(BlockingIOError):
        os.read(hears, 10)
    thread, rest = taken(slow)
    code = program.wait()
    thread.join(10)
    got = os.read(hears, 10)
    assert (code, len(rest), got) == (0, 3000000, b"end\n")
    os.close(hears)


def test_a_reader_who_goes_is_a_broken_pipe(pair: Pair, bundle: Bundle) -> None:
    theirs, ours = os.pipe()
    ops = plan_of(bundle.args("/bin/sh", "-c", "sh -c 'while :; do echo y; done'; exit $?"))
    program = Program(pair, ops, stdio=(-1, ours, -1))
    pair.run(lambda: readable(theirs))
    os.close(theirs)
    assert program.wait() == 128 + 13


def test_signals(pair: Pair, bundle: Bundle) -> None:
    theirs, ours = os.pipe()
    script = "trap 'echo usr1' USR1; trap 'echo term; exit 3' TERM; echo ready; while :; do sleep 0.02; done"
    program = Program(pair, plan_of(bundle.args("/bin/sh", "-c", script)), stdio=(-1, ours, -1))
    os.set_blocking(theirs, False)
    got = bytearray()

    def has(word: bytes) -> bool:
        try:
            got.extend(os.read(theirs, 100))
        except BlockingIOError:
            pass
        return word in got

    pair.run(lambda: has(b"ready"))
    pair.relay.signal(10)
    pair.run(lambda: has(b"usr1"))
    pair.relay.signal(17)  # our own children's deaths are none of its business
    pair.relay.signal(15)
    assert program.wait() == 3
    assert has(b"term") and got.count(b"usr1") == 1
    os.close(theirs)


def test_kill(pair: Pair, bundle: Bundle) -> None:
    program = Program(pair, plan_of(bundle.args("/bin/sleep", "1000")))
    program.until(program.started)
    program.task.kill(9)
    assert program.wait() == 137


def test_kill_from_inside_the_guest(pair: Pair, bundle: Bundle) -> None:
    """The agent sees the death however it came; init that dies before READY is an error of the engine's, no hang."""
    program = Program(pair, plan_of(bundle.args("/bin/sleep", "1000")), start=False)
    program.until(program.ready)
    program.task.kill(9)
    assert program.wait() == 137


def test_the_agent_dies(bundle: Bundle) -> None:
    pair = Pair()
    program = Program(pair, plan_of(bundle.args("/bin/sleep", "1000")))
    program.until(program.started)
    assert pair.agent
    pair.agent.kill()
    assert program.wait() == -1
    pair.agent.wait()
    pair.agent = None
    pair.close()


def test_exec(pair: Pair, bundle: Bundle) -> None:
    main = Program(pair, plan_of(bundle.args("/bin/sleep", "1000")))
    main.until(main.started)
    theirs, ours = os.pipe()
    thread, got = taken(theirs)
    ops = exec_of(bundle, "/bin/sh", "-c", "ps -o comm | grep sleep; hostname; exit 5")
    assert Program(pair, ops, target=main.task.number, stdio=(-1, ours, -1)).wait() == 5
    thread.join(10)
    assert bytes(got) == b"sleep\nminirun\n"
    for _ in range(40):  # more than the agent has places for, one after the other
        assert Program(pair, exec_of(bundle, "/bin/true"), target=main.task.number).wait() == 0
    main.task.kill(9)
    assert main.wait() == 137


def test_what_exec_leaves_behind_does_not_keep_it(pair: Pair, bundle: Bundle) -> None:
    main = Program(pair, plan_of(bundle.args("/bin/sleep", "1000")))
    main.until(main.started)
    theirs, ours = os.pipe()
    thread, got = taken(theirs)
    ops = exec_of(bundle, "/bin/sh", "-c", "sh -c 'while :; do echo y; done' & echo end")
    assert Program(pair, ops, target=main.task.number, stdio=(-1, ours, -1)).wait() == 0
    thread.join(10)
    assert b"end\n" in got
    main.task.kill(9)
    main.wait()


def test_a_failure_of_init_s(pair: Pair, bundle: Bundle) -> None:
    ops = plan_of(bundle.args("/bin/nothing"))
    program = Program(pair, ops)
    program.wait()
    assert isinstance(program.failed, InitFailed)
    failure = program.failed.failure
    assert ops[failure.step - 1].KIND == "find_program" and failure.errno == 2


def test_files_of_the_step_are_written(pair: Pair, bundle: Bundle) -> None:
    writes = [Write(step=3, file="oom_score_adj", value="321")]
    bundle.args("/bin/cat", "/proc/self/oom_score_adj")
    theirs, ours = os.pipe()
    thread, got = taken(theirs)
    assert Program(pair, plan_of(bundle), stdio=(-1, ours, -1), task_writes=writes).wait() == 0
    thread.join(10)
    assert bytes(got) == b"321\n"


def test_a_file_that_cannot_be_written(pair: Pair, bundle: Bundle) -> None:
    writes = [Write(step=3, file="no_such_file", value="1")]
    program = Program(pair, plan_of(bundle), task_writes=writes)
    assert program.wait() == 137
    assert isinstance(program.failed, InitFailed)
    failure = program.failed.failure
    assert (failure.step, failure.errno, failure.call, failure.detail) == (3, 2, "openat2", "no_such_file")


def test_requests(pair: Pair, tmp_path: Path) -> None:
    answers: dict[str, tuple[int, bytes]] = {}

    def ask(path: str) -> None:
        pair.relay.read(path, lambda errno, data: answers.__setitem__(path, (errno, data)))

    (tmp_path / "big").write_bytes(b"x" * 100_000)
    (tmp_path / "small").write_bytes(b"")
    for path in ("/proc/version", "/nothing", str(tmp_path), str(tmp_path / "big")):
        ask(path)
    pair.run(lambda: len(answers) == 4)
    assert answers["/proc/version"] == (0, Path("/proc/version").read_bytes())
    assert answers["/nothing"] == (2, b"")
    assert set(answers[str(tmp_path)][1].split(b"\0")) == {b"", b".", b"..", b"big", b"small"}
    assert answers[str(tmp_path / "big")] == (0, b"x" * 61440)
    done: list[tuple[int, bytes]] = []
    pair.relay.write_file(str(tmp_path / "small"), b"words", lambda errno, data: done.append((errno, data)))
    pair.relay.write_file("/nothing/at/all", b"", lambda errno, data: done.append((errno, data)))
    pair.run(lambda: len(done) == 2)
    assert done == [(0, b""), (2, b"")] and (tmp_path / "small").read_bytes() == b"words"

"""What minirun makes of a guest's answers: the guest is asked for its counters and processes, and may say anything."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from minirun.errors import MinirunError
from minirun.linux import unix
from minirun.runtime import isolation, machine, status
from minirun.vm import control

CGROUP = machine.CGROUP


class Guest:
    """The VMM's control socket, answering out of a table; stands for a store's entry, too."""

    def __init__(self, folder: Path) -> None:
        self.id, self.path = "x", str(folder)
        self.files: dict[str, bytes] = {}
        self.listener = unix.listen(self.control())
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def control(self) -> str:
        return f"{self.path}/control"

    def serve(self) -> None:
        while True:
            try:
                os.set_blocking(self.listener, True)
                fd = unix.accept(self.listener)
            except OSError:
                return
            os.set_blocking(fd, True)
            data, _ = unix.receive(fd, 65536)
            word, _, path = data.decode().partition(" ")
            if word == "stop":
                os.close(fd)
                return
            answer = self.files.get(path)
            unix.send(fd, b"errno 2" if answer is None else b"ok" + answer)
            os.close(fd)

    def close(self) -> None:
        fd = unix.connect(self.control())
        unix.send(fd, b"stop")
        self.thread.join(10)
        os.close(fd)
        os.close(self.listener)


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Any]:
    folder = tmp_path / "entry"
    folder.mkdir()
    made = Guest(folder)
    yield made
    made.close()


def state() -> Any:
    return SimpleNamespace(id="x")


def test_counters_are_read(guest: Any) -> None:
    guest.files = {CGROUP: b"pids.current\0memory.max\0cgroup.procs\0", f"{CGROUP}/pids.current": b"3\n"}
    found: Any = machine.numbers(guest, state())
    assert found["pids"]["current"] == 3
    assert sorted(os.listdir(guest.path)) == ["control"], "nothing is left"


def test_a_counter_is_no_path_of_the_hosts(guest: Any, tmp_path: Path) -> None:
    """The names become files: one that leads elsewhere would be written there, by root, and then removed."""
    victim = tmp_path / "memory.max"
    victim.write_text("mine")
    names = [b"../../memory.max", b"../evil.stat", bytes(victim), b"/x.max", b".max", b"..max", b"a/b.stat"]
    guest.files = {CGROUP: b"\0".join(names)} | {f"{CGROUP}/{os.fsdecode(name)}": b"666" for name in names}
    machine.numbers(guest, state())
    assert victim.read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["entry", "memory.max"]
    assert sorted(os.listdir(guest.path)) == ["control"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("io.stat", b"nonsense rbytes=1"), ("cpu.pressure", b"some nothing"), ("misc.max", b"\n"), ("io.stat", b" \n")],
)
def test_nonsense_is_said_to_be(guest: Any, name: str, text: bytes) -> None:
    guest.files = {CGROUP: name.encode(), f"{CGROUP}/{name}": text}
    with pytest.raises(MinirunError, match="cannot read the counters"):
        machine.numbers(guest, state())
    assert sorted(os.listdir(guest.path)) == ["control"]


def test_a_list_of_all_numbers_is_not_spelled_out(guest: Any) -> None:
    guest.files = {CGROUP: b"cpuset.cpus.effective", f"{CGROUP}/cpuset.cpus.effective": b"0-99999999999\n"}
    found: Any = machine.numbers(guest, state())
    assert "cpus" not in found["cpuset"]


@pytest.mark.parametrize(
    "ask",
    [machine.processes, machine.process_rows, machine.machine_memory],
)
@pytest.mark.parametrize("text", [b"", b"x y", b"\xff-1 \xd9\xa3", b"MemTotal:\nUid:\n", b"9" * 5000])
def test_processes_and_memory_of_a_liar(guest: Any, ask: Callable[[Any], object], text: bytes) -> None:
    guest.files = {f"{CGROUP}/cgroup.procs": text, "/proc/meminfo": text}
    assert ask(guest) in ([], 0, [machine.TITLES])


def test_a_process_writes_to_no_terminal(guest: Any) -> None:
    guest.files = {
        f"{CGROUP}/cgroup.procs": b"1\n2\n3\n", "/proc/1/status": b"Uid:\t0\t0\nPPid:\t0\n",
        "/proc/1/cmdline": b"sh\0\x1b]0;owned\x07", "/proc/2/status": b"Uid:\n", "/proc/3/status": b"Uid: 7\n",
    }  # fmt: skip
    rows = machine.process_rows(guest)
    assert rows[1] == ["0", "1", "0", r"sh \x1b]0;owned\x07"]
    assert rows[2:] == [["7", "3", "", "[]"]]


def test_nobody_waits_for_ever(tmp_path: Path) -> None:
    """A paused machine's socket takes a connection, and answers nothing."""
    listener = unix.listen(str(tmp_path / "control"))
    with pytest.raises(TimeoutError):
        control.ask(unix.connect(str(tmp_path / "control")), b"read /x", 0.1)
    os.close(listener)


def test_a_paused_machine_is_not_asked(guest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "status", lambda entry, state: status.PAUSED)
    found: Any = SimpleNamespace(id="x", isolation="vm")
    for ask in (isolation.processes, isolation.process_rows, isolation.numbers):
        with pytest.raises(MinirunError, match="it is paused"):
            ask(guest, found)


def test_a_signal_for_all_waits_for_no_answer(tmp_path: Path) -> None:
    listener = unix.listen(str(tmp_path / "control"))
    entry: Any = SimpleNamespace(id="x", control=lambda: str(tmp_path / "control"))
    machine.signal_all(entry, 15)
    fd = unix.accept(listener)
    assert unix.receive(fd, 64)[0] == b"kill 15"
    os.close(fd)
    os.close(listener)

"""The control socket: whatever is said there, the VMM lives, and no descriptor stays behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun.linux import unix
from minirun.vm.control import Control
from tests.vm.test_agent_hostile import HI, Liar

pytestmark = pytest.mark.needs("root")


class Asked(Liar):
    """A relay with the socket that minirun's verbs connect to."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.listener = unix.listen(path)
        self.control = Control(self.loop, self.listener, self.relay, dict, lambda: b"")
        self.lie(HI)

    def ask(self, *words: bytes) -> bytes:
        fd = unix.connect(self.path)
        os.set_blocking(fd, False)
        for word in words:
            unix.send(fd, word, 0 if word.startswith(b"fd ") else -1)
        answers: list[bytes] = []

        def answered() -> bool:
            try:
                answers.append(unix.receive(fd, 65536)[0])
            except BlockingIOError:
                return False
            return True

        self.run(answered)
        os.close(fd)
        self.run(lambda: not self.control.callers)
        return answers[0]

    def close(self) -> None:
        super().close()
        os.close(self.listener)


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    made = Asked(str(tmp_path / "control"))
    yield made
    made.close()


NONSENSE = [
    [b"what"], [b"kill x"], [b"kill -1"], [b"kill 65"], [b"kill 99999999999999999999"], [b"exec"], [b"exec 1"],
    [b"fd plan", b"exec x 1"], [b"fd sync", b"exec 0 1"], [b"fd plan", b"fd plan", b"fd 1", b"exec 0 y"],
    [b"kill \xff\xfe"], [b"kill"], [b"fd plan", b"exec 99999999999999999999 1"], [b"fd plan", b"exec 0 -1"],
]  # fmt: skip


@pytest.mark.parametrize("words", NONSENSE, ids=repr)
def test_nonsense(asked: Asked, words: list[bytes]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    assert asked.ask(*words) == b"errno 22"
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(asked.relay.tasks) == 1 and not asked.why

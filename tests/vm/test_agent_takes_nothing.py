"""A guest that takes nothing of what it is sent, an engine that is not there any more: nothing grows, nobody stays."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from minirun.vm.channel import DATA, WINDOW, frame, stream_of
from tests.vm.test_agent_hostile import HI, Liar


@pytest.fixture
def liar() -> Iterator[Liar]:
    made = Liar()
    yield made
    made.close()


@pytest.mark.parametrize("data", [b"x", b""])
def test_output_whose_credit_nobody_takes(liar: Liar, data: bytes) -> None:
    """Every piece of output is answered by credit: a guest that never reads would be kept in our memory, too."""
    liar.port.send = liar.port.held.extend  # type: ignore[method-assign,assignment]
    liar.lie(HI)
    piece = frame(DATA, stream_of(1, 1), data) * 10000
    for _ in range(1000):
        liar.lie(piece)
        while len(os.read(liar.output, WINDOW) if data and not liar.why else b"") == WINDOW:
            pass
        if liar.why:
            break
    assert liar.why == ["it does not take what it asks for"]
    assert len(liar.port.held) < 21 << 20


def test_an_engine_that_goes_takes_the_machine_along(liar: Liar) -> None:
    """The guest is told to kill the program, too; but it need not do what it is told."""
    gone: list[bool] = []
    liar.task.asked.abandoned = lambda: gone.append(True)
    liar.lie(HI)
    os.close(liar.sync)
    liar.sync = os.dup(0)
    liar.run(lambda: bool(gone))
    assert gone == [True]

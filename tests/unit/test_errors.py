"""The face of an error, and what callers that show one line get; hostile text stays text."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from minirun.errors import CANNOT_EXECUTE, FAILED, NOT_FOUND, USAGE, MinirunError, printable
from minirun.record import Record


def full() -> MinirunError:
    return MinirunError(
        "cannot mount proc on /proc", reason="Operation not permitted", pointer="/mounts/0", config="./config.json",
        step="8 of 31, init, mount(2) -> EPERM", hint="add a pid namespace", errno_name="EPERM",
    )  # fmt: skip


def test_the_face_of_the_design() -> None:
    assert full().face().splitlines() == [
        "minirun: cannot mount proc on /proc: Operation not permitted",
        "  config   /mounts/0 in ./config.json",
        "  step     8 of 31, init, mount(2) -> EPERM",
        "  hint     add a pid namespace",
    ]


def test_one_line_for_callers_that_show_one() -> None:
    """containerd and podman print ``msg`` and nothing else; docker looks for Go's words in it, in lower case."""
    line = full().one_line()
    assert line == (
        "cannot mount proc on /proc: operation not permitted; config: /mounts/0 in ./config.json; "
        "step: 8 of 31, init, mount(2) -> EPERM; hint: add a pid namespace"
    )


def test_less_is_shorter() -> None:
    assert MinirunError("cannot").face() == "minirun: cannot"
    assert str(MinirunError("cannot", reason="so")) == "cannot: so"
    assert MinirunError("x", config="f").rows() == [("config", "f")]
    assert MinirunError("x", pointer="", config="f").rows() == [("config", "the document itself in f")]
    assert MinirunError("x", pointer="/a").rows() == [("config", "/a")]
    assert MinirunError("x", problems=[("", "a"), ("/b", "c")]).rows() == [("problem", "/: a"), ("problem", "/b: c")]


def test_exit_codes() -> None:
    """docker-run(1), podman-run(1): 125 the runtime failed, 126 not executable, 127 not found."""
    assert (USAGE, FAILED, CANNOT_EXECUTE, NOT_FOUND) == (2, 125, 126, 127)
    assert MinirunError("x").exit_code == 125


@given(st.text(min_size=1))
def test_nothing_raw_reaches_a_terminal(text: str) -> None:
    assert printable(text).isprintable()
    if text.isprintable():
        assert printable(text) == text
    error = MinirunError(text, reason=text, hint=text, pointer=text, config=text, problems=[(text, text)])
    assert all(line.isprintable() for line in error.face().split("\n"))
    assert error.one_line().isprintable()
    assert len(error.face().split("\n")) == 4


class Point(Record):
    x: int
    y: int = 2


class Named(Point):
    name: str = ""


def test_records() -> None:
    """Ten lines in the place of dataclasses: fields, defaults, equality, inheritance."""
    assert Point(x=1) == Point(x=1, y=2) != Point(x=1, y=3)
    assert Named.FIELDS == ("x", "y", "name")
    assert repr(Named(x=1, name="n")) == "Named(x=1, y=2, name='n')"
    assert Named(x=1).astuple() == (1, 2, "")
    assert Point(x=1) != Named(x=1)
    assert len({Point(x=1), Point(x=1), Point(x=2)}) == 2
    with pytest.raises(AttributeError):
        Point(y=1).astuple()  # type: ignore[call-arg]

"""The table of --explain: two columns, a pointer, never a control character, never wider than asked."""

from __future__ import annotations

import json

import pytest

from minirun.plan.explain import rows, table
from minirun.plan.ops import HOST, Exec, MakeCgroup, Op, Wait
from minirun.spec.decode import encode
from tests.unit.examples import EXAMPLES


def test_host_and_init_have_a_column_each() -> None:
    ops: list[Op] = [MakeCgroup(path="/a", controllers=["cpu"], pointer="/x"), Wait(pointer="/y")]
    head, first, second = table(ops).splitlines()
    assert head.split() == ["#", "host", "init", "from"]
    assert first.index("make cgroup /a with cpu") == head.index("host")
    assert second.index("wait for start") == head.index("init")
    assert second.split("<-")[1].split() == ["state:", "created", "/y"]
    assert first.index("/x") == second.index("/y") == head.index("from")


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("width", [0, 80, 100, 200])
def test_every_step_has_a_line(name: str, width: int) -> None:
    ops = EXAMPLES[name]().ops
    lines = table(ops, width=width).splitlines()[1:]
    assert [int(line.split()[0]) for line in lines] == list(range(1, len(ops) + 1))
    for line, op in zip(lines, ops, strict=True):
        assert line.endswith(op.pointer), "the pointer is never cut"
        assert line.isprintable()
        longest = max(len(op.pointer) for op in ops)
        assert not width or len(line) <= max(width, 80 + longest), "a long pointer may push a line out, nothing else"


def test_hostile_words_cannot_reach_the_terminal() -> None:
    text = table([Exec(args=["\x1b[2J", "a\nb"], env=[], flags=0, pointer="")])
    assert "\x1b" not in text and len(text.splitlines()) == 2


def test_notes_are_a_column_of_their_own() -> None:
    head, first, second = table([Wait(), Wait()], {2: "15 us"}).splitlines()
    assert "took" in head and "15 us" not in first and "15 us" in second


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_same_as_json(name: str) -> None:
    ops = EXAMPLES[name]().ops
    read = json.loads(encode(rows(ops)))
    assert [row["step"] for row in read] == list(range(1, len(ops) + 1))
    for row, op in zip(read, ops, strict=True):
        assert (row["actor"], row["op"], row["does"], row["from"]) == (op.actor, op.KIND, op.describe(), op.pointer)
        assert row["fields"] == {name: getattr(op, name) for name in op.FIELDS[2:]}
    assert {row["actor"] for row in read} == {HOST, "init"}


def test_a_narrow_terminal_cuts_no_short_step() -> None:
    """init's column moves to the left, so that what fits in 80 columns is said in full."""
    lines = table(EXAMPLES["plain"]().ops, width=80).splitlines()
    assert max(map(len, lines)) <= 80
    (line,) = (line for line in lines if "/linux/maskedPaths/7" in line)
    assert line.split()[1:] == ["mask", "/proc/sched_debug", "/linux/maskedPaths/7"]

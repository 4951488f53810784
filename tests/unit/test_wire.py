"""The wire format: a small decoder written from the description in plan/wire.py reads back what was encoded."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import pytest
from hypothesis import given, strategies as st

from minirun.plan import wire
from minirun.plan.ops import HOST, INIT, OPS, Exec, Hook, Mount, Node, Op, Rlimit, Spawn, User, Wait, WriteCgroup
from tests.unit.examples import EXAMPLES

U64 = (1 << 64) - 1


class Row(NamedTuple):
    """A record, read back."""

    kind: int
    step: int
    numbers: tuple[int, ...]
    offsets: tuple[int, ...]


class Decoded:
    """The bytes of a plan, taken apart without minirun's own structs."""

    def __init__(self, data: bytes) -> None:
        self.magic, self.version, count, self.flags, at, end, instructions, size = struct.unpack_from("<8I", data)
        assert size == len(data)
        assert at == 32 + 104 * count
        assert end % 8 == 0 and size == end + 8 * instructions
        self.block, self.program = data[at:end], data[end:]
        assert self.block[0] == 0 and self.block[-1] == 0
        self.rows = [self.row(data, 32 + 104 * index) for index in range(count)]

    def row(self, data: bytes, at: int) -> Row:
        words = struct.unpack_from("<2I9Q6I", data, at)
        return Row(words[0], words[1], words[2:11], words[11:])

    def strings(self, offset: int, count: int = 1) -> list[str]:
        parts = self.block[offset:].split(b"\0")[:count]
        return [part.decode("utf-8", "surrogateescape") for part in parts]

    def fields(self, row: Row) -> dict[str, Any]:
        """The fields of an operation, by name."""
        cls = OPS[row.kind - 1]
        numbers, strings = list(row.numbers), list(row.offsets)
        found: dict[str, Any] = {}
        for name in cls.FIELDS[2:]:
            kind = wire.field_type(cls, name)
            if kind in ("int", "bool"):
                found[name] = numbers.pop(0)
            elif kind == "str":
                found[name] = self.strings(strings.pop(0))[0]
            else:
                count, offset = numbers.pop(0), strings.pop(0)
                items = self.strings(offset, count) if count else []
                found[name] = [int(item) for item in items] if kind == "list[int]" else items
        assert not any(numbers) and not any(strings), "slots that nothing uses are zero"
        return found


def plain(op: Op) -> dict[str, Any]:
    return {name: getattr(op, name) for name in op.FIELDS[2:]}


def check_same(ops: list[Op]) -> None:
    decoded = Decoded(wire.encode(ops))
    rows = [row for row in decoded.rows if row.kind != wire.SYNC]
    wanted = [(step, op) for step, op in enumerate(ops, 1) if op.actor == INIT]
    assert [(row.step, OPS[row.kind - 1].KIND) for row in rows] == [(step, op.KIND) for step, op in wanted]
    for row, (_, op) in zip(rows, wanted, strict=True):
        expected = {k: int(v) & U64 if isinstance(v, int) else v for k, v in plain(op).items()}
        assert decoded.fields(row) == expected


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_encoded_is_read_back(name: str) -> None:
    check_same(EXAMPLES[name]().ops)


WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
FIELD: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(0, U64),
    "bool": st.booleans(),
    "str": WORDS,
    "list[str]": st.lists(WORDS, max_size=5),
    "list[int]": st.lists(st.integers(0, 2**32), max_size=5),
}


@st.composite
def operations(draw: st.DrawFn) -> Op:
    cls = draw(st.sampled_from(OPS))
    values = {name: draw(FIELD[wire.field_type(cls, name)]) for name in cls.FIELDS[2:]}
    return cls(**values)


@given(st.lists(operations(), max_size=12))
def test_any_operations_are_read_back(ops: list[Op]) -> None:
    check_same(ops)


def test_header_and_flags() -> None:
    for trace, dumpable, flags in ((False, False, 0), (True, False, 1), (False, True, 2), (True, True, 3)):
        decoded = Decoded(wire.encode([Wait()], trace=trace, dumpable=dumpable))
        assert (decoded.magic, decoded.version, decoded.flags) == (0x4E55524D, 2, flags)
    assert wire.encode([Wait()])[:4] == b"MRUN"


def test_equal_strings_are_stored_once() -> None:
    node: dict[str, Any] = {"target": "", "major": 1, "minor": 3, "mode": 0, "uid": 0, "gid": 0, "flags": 0}
    one = wire.encode([Node(path="/dev/a-long-name", type="c", **node)])
    two = wire.encode([Node(path="/dev/a-long-name", type="c", **node)] * 2)
    assert len(two) - len(one) == wire.RECORD.size


def test_a_list_is_not_confused_with_a_string() -> None:
    """["a", "b"] and "a" are different entries: a list's strings lie one after the other."""
    ops: list[Op] = [Exec(args=["a", "b"], env=["a"], flags=0), Exec(args=["b", "a"], env=[], flags=0)]
    decoded = Decoded(wire.encode(ops))
    assert [decoded.fields(row)["args"] for row in decoded.rows] == [["a", "b"], ["b", "a"]]
    assert [decoded.fields(row)["env"] for row in decoded.rows] == [["a"], []]


def test_bytes_that_are_no_utf8_survive() -> None:
    """Arguments and environment of the command line may be any bytes (os.fsdecode)."""
    word = b"caf\xe9".decode("utf-8", "surrogateescape")
    decoded = Decoded(wire.encode([Exec(args=[word], env=[], flags=0)]))
    assert b"caf\xe9\0" in decoded.block
    assert decoded.fields(decoded.rows[0])["args"] == [word]


@pytest.mark.parametrize("length", [0, 1, 4096])
@pytest.mark.parametrize("word", ["", "a", "seventh", "of eight"])
def test_a_filter_lies_behind_the_strings(length: int, word: str) -> None:
    """Aligned as struct sock_filter wants it, whatever the strings' length."""
    program = bytes(range(8)) * length
    decoded = Decoded(wire.encode([Exec(args=[word], env=[], flags=0)], program=program))
    assert decoded.program == program
    assert decoded.fields(decoded.rows[0])["args"] == [word]


def hook(actor: str) -> Op:
    return Hook(actor=actor, name="x", path="/x", args=[], env=[], timeout=0, cwd="")


def init_op() -> Op:
    return User(uid=0, gid=0, groups=[], umask=0, flags=0)


def host_op() -> Op:
    return WriteCgroup(file="a.b", value="1")


SPAWN = Spawn(namespaces=[], flags=0, into_cgroup=False)
LIMIT = Rlimit(actor=HOST, resource=0, soft=0, hard=0, name="x")


@pytest.mark.parametrize(
    ("ops", "points"),
    [
        ([host_op(), SPAWN, init_op(), init_op()], set()),
        ([SPAWN, host_op(), init_op()], {2}),
        ([SPAWN, init_op(), host_op(), LIMIT, init_op(), init_op(), host_op(), init_op()], {4, 7}),
        ([SPAWN, init_op(), hook(INIT), hook(INIT), Wait()], {2}),
        ([SPAWN, init_op(), hook(HOST), hook(INIT), Wait()], {3}),
        ([SPAWN, Wait(), hook(INIT), init_op()], set()),
        ([SPAWN, hook(INIT), init_op(), hook(INIT)], {1, 3}),
        ([SPAWN, init_op(), host_op()], set()),
    ],
)
def test_sync_points(ops: list[Op], points: set[int]) -> None:
    """Where the actor changes back to init; and before hooks inside, whose state the host must write first."""
    assert wire.sync_points(ops) == points
    rows = Decoded(wire.encode(ops)).rows
    syncs = [index for index, row in enumerate(rows) if row.kind == wire.SYNC]
    assert {rows[index].step - 1 for index in syncs} == points
    for index in syncs:
        assert rows[index + 1].step == rows[index].step, "it stands before the operation that init goes on with"


def test_slots() -> None:
    assert wire.layout(Mount) == (
        ["data", "attr_set", "attr_clr", "flags", "words", "maps"],
        ["fstype", "source", "target", "data", "words", "maps"],
    )
    assert wire.layout(Wait) == ([], [])
    with pytest.raises(KeyError):
        wire.field_type(Mount, "colour")

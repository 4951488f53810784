"""A plan's in-container half as flat bytes, for ``minirun-init`` (native/init/plan.c reads what this writes).

    header   magic "MRUN", version, op count, flags, offset of the strings, offset of the filter,
             instructions in the filter, total size                                      (8 x u32, little endian)
    record   kind u32, step u32, numbers 9 x u64, strings 6 x u32 (offsets)              (104 bytes each)
    strings  NUL-terminated, one after the other; offset 0 is the empty string; NULs up to a multiple of 8
    filter   struct sock_filter, 8 bytes each (seccomp(2))

Fixed records and one string block, so that the decoder in C is one bounds check per reference and no allocation.
A change of actor in the plan is the synchronisation point: it becomes a SYNC record before the operation that
init goes on with.
"""

from __future__ import annotations

from _struct import Struct

from minirun.plan.ops import INIT, OPS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.plan.ops import Op

MAGIC, VERSION = 0x4E55524D, 2
NUMBERS, STRINGS = 9, 6
SYNC = 0  # kind 0; kind n is OPS[n - 1]
FLAG_TRACE = 1  # init reports the time of every operation
FLAG_DUMPABLE = 2  # until it changes user: an ordinary user may write the id maps of dumpable processes only
HEADER = Struct("<8I")
INSTRUCTION = 8  # bytes of a struct sock_filter (linux/filter.h)
RECORD = Struct(f"<2I{NUMBERS}Q{STRINGS}I")

KIND_NUMBER = {cls.KIND: number for number, cls in enumerate(OPS, 1)}


def layout(cls: type[Op]) -> tuple[list[str], list[str]]:
    """The names of an operation's number slots and string slots, in wire order (a list takes one of each)."""
    numbers: list[str] = []
    strings: list[str] = []
    for name in cls.FIELDS[2:]:
        kind = field_type(cls, name)
        if kind in ("int", "bool", "list[str]", "list[int]"):
            numbers.append(name)
        if kind not in ("int", "bool"):
            strings.append(name)
    return numbers, strings


def field_type(cls: type[Op], name: str) -> str:
    """A field's annotation, as written."""
    for base in cls.__mro__:
        if name in base.__dict__.get("__annotations__", ()):
            return str(base.__annotations__[name])
    raise KeyError(name)


class Strings:
    """The string block while it grows; equal strings are stored once."""

    def __init__(self) -> None:
        self.parts: list[bytes] = [b"\0"]
        self.size = 1
        self.known: dict[tuple[bytes, ...], int] = {(b"",): 0}

    def add(self, *texts: str) -> int:
        """The offset of ``texts``, laid down one after the other."""
        raw = tuple([text.encode("utf-8", "surrogateescape") for text in texts])
        at = self.known.get(raw)
        if at is None:
            at = self.known[raw] = self.size
            block = b"\0".join(raw) + b"\0"
            self.parts.append(block)
            self.size += len(block)
        return at


def pack(op: Op, step: int, strings: Strings) -> bytes:
    """One record."""
    numbers: list[int] = []
    offsets: list[int] = []
    for name in op.FIELDS[2:]:
        value = getattr(op, name)
        if value.__class__ is str:
            offsets.append(strings.add(value))
        elif value.__class__ is list:
            numbers.append(len(value))
            offsets.append(strings.add(*map(str, value)) if value else 0)
        else:
            numbers.append(int(value) & 0xFFFFFFFFFFFFFFFF)
    numbers += [0] * (NUMBERS - len(numbers))
    offsets += [0] * (STRINGS - len(offsets))
    return RECORD.pack(KIND_NUMBER[op.KIND], step, *numbers, *offsets)


def sync_points(ops: list[Op]) -> set[int]:
    """The indices of init's operations before which init waits for the host.

    After the host's turn; and before hooks that run inside, because the host has to write their state document,
    which holds a pid that only the spawn makes known.
    """
    points: set[int] = set()
    spawned = waiting = ready = False
    previous = ""
    for index, op in enumerate(ops):
        if op.actor != INIT:
            waiting = spawned
            spawned = spawned or op.KIND == "spawn"
        else:
            ready = ready or op.KIND == "wait"
            if waiting or (op.KIND == "hook" and previous != "hook" and not ready):
                points.add(index)
            waiting = False
        previous = op.KIND if op.actor == INIT else ""
    return points


def encode(ops: list[Op], *, trace: bool = False, dumpable: bool = False, program: bytes = b"") -> bytes:
    """The bytes of ``ops`` (a whole plan): init's operations, and SYNC wherever the host comes between.

    ``program`` is the compiled system call filter.

    Steps are numbered from 1, as --explain prints them.
    """
    strings = Strings()
    records: list[bytes] = []
    points = sync_points(ops)
    for index, op in enumerate(ops):
        if op.actor != INIT:
            continue
        if index in points:
            records.append(RECORD.pack(SYNC, index + 1, *([0] * (NUMBERS + STRINGS))))
        records.append(pack(op, index + 1, strings))
    body = b"".join(records)
    at = HEADER.size + len(body)
    flags = (FLAG_TRACE if trace else 0) | (FLAG_DUMPABLE if dumpable else 0)
    padding = -(at + strings.size) % INSTRUCTION
    after = at + strings.size + padding
    counts = (len(program) // INSTRUCTION, after + len(program))
    header = HEADER.pack(MAGIC, VERSION, len(records), flags, at, after, *counts)
    return b"".join((header, body, *strings.parts, b"\0" * padding, program))

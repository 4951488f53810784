"""One list of operations: Python's (minirun/plan/ops.py) and C's (native/init) are the same."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from minirun.engine import host, protocol
from minirun.plan import ops, wire
from tests.conftest import ROOT

INIT = ROOT / "native" / "init"
MOST = 30
# Kinds that either side can carry out: the plan says which by the op's actor.
BOTH = {"bind", "console", "hook", "interface", "mount", "rlimit", "seccomp", "tune"}


def kinds(actor: str) -> set[str]:
    return {cls.KIND for cls in ops.OPS if actor == cls.ACTOR}


def table(file: str, pattern: str) -> list[tuple[str, ...]]:
    text = (INIT / file).read_text()
    return [m if isinstance(m, tuple) else (m,) for m in re.findall(pattern, text)]


def test_the_header_is_up_to_date() -> None:
    done = subprocess.run([sys.executable, ROOT / "native" / "gen_ops.py", "--check"])
    assert done.returncode == 0, "python3 native/gen_ops.py writes it"


def test_the_set_is_closed_and_small() -> None:
    assert len(ops.OPS) <= MOST, "HACKING.md: why is it not one of those there are?"
    assert len({cls.KIND for cls in ops.OPS}) == len(ops.OPS)
    assert {cls for cls in vars(ops).values() if isinstance(cls, type) and issubclass(cls, ops.Op)} == {
        *ops.OPS,
        ops.Op,
        ops.HostOp,
    }


def test_every_operation_of_init_has_a_handler() -> None:
    rows = table("start.c", r"\[OP_(\w+)\] = op_(\w+),")
    assert all(kind.lower() == function for kind, function in rows)
    assert [function for _, function in rows] == [cls.KIND for cls in ops.OPS if cls.ACTOR == ops.INIT]


def test_every_operation_of_the_host_has_a_handler() -> None:
    assert set(host.HANDLERS) == kinds(ops.HOST) | BOTH
    assert set(host.CALLS) == set(host.HANDLERS)
    for kind, function in host.HANDLERS.items():
        assert function.__name__ == kind


def test_the_decoder_checks_every_list() -> None:
    """A list that plan.c does not know of would be read unchecked."""
    rows = table("plan.c", r"\{OP_(\w+), N_(\w+), S_(\w+)\}")
    wanted = [
        (cls.KIND.upper(), f"{cls.KIND}_{name}".upper(), f"{cls.KIND}_{name}".upper())
        for cls in ops.OPS
        if cls.ACTOR == ops.INIT
        for name in cls.FIELDS[2:]
        if wire.field_type(cls, name).startswith("list[")
    ]
    assert sorted(rows) == sorted(wanted)


def test_fields_fit_into_a_record() -> None:
    for cls in ops.OPS:
        numbers, strings = wire.layout(cls)
        assert len(numbers) <= wire.NUMBERS and len(strings) <= wire.STRINGS, cls.KIND
        assert {wire.field_type(cls, n) for n in cls.FIELDS[2:]} <= {"int", "bool", "str", "list[str]", "list[int]"}


def test_every_operation_says_its_system_calls() -> None:
    """The docstring names them: a reader who wants the system call finds it (``open_tree(2)``)."""
    silent = [cls.KIND for cls in ops.OPS if not re.search(r"\w+\(\d\)|Run a hook", cls.__doc__ or "")]
    assert silent in ([], ["find_program"])  # the search is execvp's: no system call of its own


@pytest.mark.needs("compiler")
def test_structs_have_python_s_sizes(tmp_path: Path) -> None:
    """The compiler's own word: _Static_assert on the header, the record and the message."""
    sync = (INIT / "sync.c").read_text()
    report = re.search(r"struct report \{.*?\};", sync, re.DOTALL)
    assert report
    source = tmp_path / "sizes.c"
    source.write_text(
        f"""#include "init.h"
        {report.group()}
        struct failure last_failure;
        _Static_assert(sizeof(struct plan_header) == {wire.HEADER.size}, "header");
        _Static_assert(sizeof(struct op) == {wire.RECORD.size}, "record");
        _Static_assert(sizeof(struct report) == {protocol.MESSAGE.size}, "message");
        _Static_assert(__builtin_offsetof(struct report, nanoseconds) == 16, "nanoseconds");
        _Static_assert(__builtin_offsetof(struct report, call) == 24, "call");
        _Static_assert(__builtin_offsetof(struct report, detail) == 48, "detail");
        _Static_assert(__builtin_offsetof(struct op, number) == 8, "numbers");
        _Static_assert(__builtin_offsetof(struct op, string) == 8 + 8 * OP_NUMBERS, "strings");
        """
    )
    done = subprocess.run(["cc", "-std=c11", "-fsyntax-only", "-I", INIT, source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_names_of_failures_fit_into_a_report() -> None:
    """struct report has 24 bytes for what failed; a longer name would reach people cut off."""
    for path in INIT.glob("*.c"):
        for name in re.findall(r'fail\(E\w+, "([^"]*)"\)', path.read_text()):
            assert 0 < len(name) < 24, f"{path.name}: {name}"


def test_messages_have_one_number() -> None:
    for name, number in protocol.MESSAGES.items():
        assert getattr(protocol, name) == number
    for name, number in protocol.ORDERS.items():
        assert getattr(protocol, name) == number.to_bytes(4, "little")

"""Why a test may fail with minirun: ``reasons.toml``, one table a reason, tests named by pattern.

A row without a reason is a defect; a reason that no row needs any more is one too.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.tap import ABSENT, FAILED, PASSED, SKIPPED, Outcome

FILE = Path(__file__).with_name("reasons.toml")
# host: nobody passes, as this machine has not what the test needs or the test is outdated.  words: the test reads
# another runtime's own texts, exit status or files.  differs: minirun behaves otherwise on purpose.
KINDS = ("host", "words", "differs")


@dataclass
class Reason:
    """``tests`` are patterns of "SUITE FILE: TEST" in which * stands for anything."""

    kind: str
    why: str
    tests: list[str]
    used: set[str] = field(default_factory=set)

    def covers(self, name: str) -> bool:
        for pattern in self.tests:
            if re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL):
                self.used.add(pattern)
                return True
        return False


@dataclass
class Row:
    """One test and what became of it, by runtime."""

    suite: str
    file: str
    test: str
    outcomes: dict[str, Outcome]

    @property
    def name(self) -> str:
        return f"{self.suite} {self.file}: {self.test}"

    def status(self, runtime: str) -> str:
        return self.outcomes[runtime].status if runtime in self.outcomes else ABSENT

    def fine(self) -> bool:
        """Passed, or skipped by everybody who could have run it."""
        if self.status("minirun") == SKIPPED:
            return all(self.status(peer) in (SKIPPED, FAILED, ABSENT) for peer in ("runc", "crun"))
        return self.status("minirun") == PASSED

    def passed_by_peers(self) -> bool:
        return self.status("runc") == PASSED and self.status("crun") == PASSED


def load() -> list[Reason]:
    """Raises ValueError for a table that is not as it should be."""
    rows = tomllib.loads(FILE.read_text())["reason"]
    found = [Reason(kind=row["kind"], why=row["why"], tests=row["tests"]) for row in rows]
    for reason in found:
        if reason.kind not in KINDS:
            raise ValueError(f"{FILE.name}: {reason.kind!r} is none of {', '.join(KINDS)}")
    return found


def why(row: Row, reasons: list[Reason]) -> Reason | None:
    """The first reason that covers the row."""
    return next((reason for reason in reasons if reason.covers(row.name)), None)


def defects(rows: list[Row], reasons: list[Reason]) -> list[Row]:
    """Rows that minirun fails without a reason; what everybody's machine lacks excuses nobody if both peers pass."""
    found = []
    for row in rows:
        if row.fine():
            continue
        reason = why(row, reasons)
        if reason is None or (reason.kind == "host" and row.passed_by_peers()):
            found.append(row)
    return found


def stale(rows: list[Row], reasons: list[Reason]) -> list[str]:
    """Patterns that no failing row needs."""
    for row in rows:
        if not row.fine():
            why(row, reasons)
    return [pattern for reason in reasons for pattern in reason.tests if pattern not in reason.used]

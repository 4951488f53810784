"""The measuring itself: every verb, cold, in turns.

One round takes each step of a container's life with all subjects, one after the other, before the next step: a
burst of noise on the machine hits neighbours in time, and neighbours are what the ratios compare.  The order
rotates by one per round, so that nobody always follows the same predecessor.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from runtimes import Subject
from scratch import wait_gone
from stopwatch import Stopwatch, waiting_init_kib


class Step(NamedTuple):
    """One verb for everybody, and the row of the table that its times go to; no row, no times."""

    verb: str
    row: str = ""


FULL = (
    Step("run", "run"),
    Step("filtered", "run, filtered"),
    Step("create", "create"),
    Step("start", "start"),
    Step("state", "state"),
    Step("exec", "exec true"),
    Step("kill", "kill"),
    Step("delete", "delete"),
    Step("create"),
    Step("start"),
    Step("force", "delete --force, running"),
)
QUICK = (Step("run", "run"), Step("filtered", "run, filtered"))
WAITING = (Step("create"), Step("force"))

TIME_ROWS = tuple(step.row for step in FULL if step.row)
MEMORY_ROWS = ("peak RSS of run", "peak RSS of state", "RSS of waiting init", "PSS of waiting init")


class Bench:
    """The subjects and, per (row, subject), what was measured: milliseconds and KiB."""

    def __init__(self, subjects: list[Subject], stopwatch: Stopwatch) -> None:
        self.subjects = subjects
        self.stopwatch = stopwatch
        self.ms: dict[tuple[str, str], list[float]] = defaultdict(list)
        self.kib: dict[tuple[str, str], list[int]] = defaultdict(list)

    def full(self, runs: int) -> None:
        """All verbs; one round more, unrecorded, brings every program into the page cache."""
        self.rounds(FULL, 1)
        self.forget()
        self.rounds(FULL, runs)

    def quick(self, runs: int) -> None:
        """``run`` and the memory of a waiting init only."""
        self.rounds(QUICK, 1)
        self.forget()
        self.rounds(QUICK, runs)
        self.rounds(WAITING, 2)

    def forget(self) -> None:
        self.ms.clear()
        self.kib.clear()

    def rounds(self, steps: tuple[Step, ...], count: int) -> None:
        for number in range(count):
            turn = number % len(self.subjects)
            order = self.subjects[turn:] + self.subjects[:turn]
            for step in steps:
                for subject in order:
                    if step.verb in subject.commands:
                        self.take(step, subject)

    def take(self, step: Step, subject: Subject) -> None:
        sample = self.stopwatch.time(subject.commands[step.verb])
        if step.row:
            self.ms[step.row, subject.name].append(sample.ms)
        if step.row in ("run", "state") and subject.pid_file.name:
            self.kib[f"peak RSS of {step.row}", subject.name].append(sample.peak_kib)
        if step.verb == "create":
            rss, pss = waiting_init_kib(self.init_of(subject))
            self.kib["RSS of waiting init", subject.name].append(rss)
            self.kib["PSS of waiting init", subject.name].append(pss)
        if step.verb in ("kill", "force"):
            wait_gone(self.init_of(subject))

    def init_of(self, subject: Subject) -> int:
        return int(subject.pid_file.read_text())

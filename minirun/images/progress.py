"""What is under way, shown to people: bars on a terminal, lines elsewhere, nothing with ``--quiet``.

Whoever moves bytes takes a ``Progress`` and calls ``start`` for each thing, ``advance`` on the ``Bar`` it got as bytes
come, and ``done`` at the end, from any thread.  The base classes say nothing: they are the silent kind.  Everything
goes to standard error; standard output belongs to what a verb answers.
"""

from __future__ import annotations

import os
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

STEP = 10.0  # seconds between two lines about the same thing, where there is no terminal
UNITS = ("B", "kB", "MB", "GB", "TB")


def human(size: float) -> str:
    """2310144 -> 2.31MB, as docker writes sizes."""
    unit = 0
    while size >= 999.5 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.3g}{UNITS[unit]}" if unit else f"{size:.0f}{UNITS[0]}"


class Bar:
    """One thing under way."""

    def advance(self, n: int) -> None:
        """``n`` bytes more; less than nothing when some have to come again."""

    def done(self, word: str = "") -> None:
        """It is here; ``word`` says how, if not in the usual way: "already there", "mounted"."""


class Progress:
    """The silent kind, and what the others look like from outside.  A context manager."""

    def start(self, name: str, total: int | None = None) -> Bar:
        """``name`` begins, of ``total`` bytes if that is known."""
        return Bar()

    def say(self, text: str) -> None:
        """A line of its own between the others."""

    def close(self) -> None:
        """No more will come."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *why: object) -> None:
        self.close()


def write(text: str) -> None:
    """To standard error; that nobody reads it must not end a download."""
    try:
        os.write(2, f"{text}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        return


class Lines(Progress):
    """For logs: a line when a thing is done, and one now and then while a long one goes on."""

    def __init__(self, verb: str = "") -> None:
        self.verb = verb

    def start(self, name: str, total: int | None = None) -> Bar:
        return LineBar(name, total, self.verb)

    def say(self, text: str) -> None:
        write(text)


class LineBar(Bar):
    def __init__(self, name: str, total: int | None, verb: str) -> None:
        self.name, self.total, self.verb = name, total, verb
        self.count = 0
        self.told = time.monotonic()

    def advance(self, n: int) -> None:
        self.count += n
        now = time.monotonic()
        if now - self.told >= STEP:
            self.told = now
            of = f" of {human(self.total)}" if self.total else ""
            write(f"{self.name}: {human(self.count)}{of}")

    def done(self, word: str = "") -> None:
        size = self.total or self.count
        write(f"{self.name}: {word or self.verb or 'done'}" + (f", {human(size)}" if size and not word else ""))


class Bars(Progress):
    """For a terminal: a bar for each thing, drawn by rich (imported here only: it costs more than a small pull)."""

    def __init__(self, verb: str = "") -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress as Rich, Task, TextColumn, TransferSpeedColumn
        from rich.text import Text

        class Speed(TransferSpeedColumn):
            def render(self, task: Task) -> Text:
                return super().render(task) if task.finished_speed or task.speed else Text("")  # not a ?

        self.verb = verb
        self.console = Console(stderr=True, highlight=False, markup=False)
        columns = (
            TextColumn("{task.description}", markup=False), BarColumn(bar_width=30), DownloadColumn(),
            Speed(), TextColumn("{task.fields[word]}", markup=False),
        )  # fmt: skip
        self.rich = Rich(*columns, console=self.console, redirect_stdout=False, redirect_stderr=False)
        self.rich.start()

    def start(self, name: str, total: int | None = None) -> Bar:
        return RichBar(self.rich, self.rich.add_task(name, total=total, word=""), self.verb)

    def say(self, text: str) -> None:
        self.rich.console.print(text)

    def close(self) -> None:
        self.rich.stop()


class RichBar(Bar):
    def __init__(self, rich: Any, task: Any, verb: str) -> None:
        self.rich, self.task, self.verb = rich, task, verb
        self.lock = threading.Lock()
        self.held, self.shown = 0, 0.0

    def advance(self, n: int) -> None:
        # rich takes its lock and looks at its clock at each word: tell it ten times a second, not at each 64 KiB
        with self.lock:
            self.held += n
            now = time.monotonic()
            if now - self.shown < 0.1:
                return
            self.shown, n, self.held = now, self.held, 0
        self.rich.update(self.task, advance=n)

    def done(self, word: str = "") -> None:
        task = self.rich.tasks[self.task] if self.task < len(self.rich.tasks) else None
        total = (task.total if task is not None else None) or 1
        self.rich.update(self.task, completed=total, total=total, word=word or self.verb)


def progress_for(*, quiet: bool = False, verb: str = "") -> Progress:
    """The kind that suits standard error as it is now; ``verb`` is the word of a thing that is done: "pulled"."""
    if quiet:
        return Progress()
    return Bars(verb) if os.isatty(2) and os.environ.get("TERM", "dumb") != "dumb" else Lines(verb)

"""``minirun stats``: what containers use of their limits, redrawn in place once a second.

On a terminal the picture is written over itself (ECMA-48: cursor up, erase to the end); the cursor is hidden meanwhile
and comes back however we end.  Elsewhere it is written once: whoever wants a stream for programs has ``events``.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType

from minirun.cli import picture
from minirun.cli.picture import Style
from minirun.errors import MinirunError
from minirun.facts import probe
from minirun.record import Record
from minirun.runtime import live, status
from minirun.spec.decode import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from minirun.runtime.live import Look, Reading
    from minirun.runtime.store import State, Store

HIDE, SHOW = "\033[?25l", "\033[?25h"
ERASE_LINE, ERASE_BELOW = "\033[K", "\033[J"
NOBODY = "no container is running"


class Wanted(Record):
    """The command line.  No ``ids``: whatever runs."""

    ids: tuple[str, ...]
    interval: float
    once: bool
    form: str
    names: Callable[[], dict[str, str]] | None = None  # who is meant now, and what people call them, by id


class Seen(Record):
    """A container at one moment."""

    state: State
    status: str
    look: Look


def run(store: Store, wanted: Wanted) -> int:
    """The exit code: 0 also when it is ended by Ctrl-C, which is how one leaves it."""
    before = observe(store, wanted, strict=True)
    terminal = sys.stdout.isatty()
    try:
        if terminal and not wanted.once and wanted.form == "table":
            stream(store, wanted, before)
            return 0
        while True:
            time.sleep(wanted.interval)
            now = observe(store, wanted)
            show(readings(before, now, wanted), wanted)
            before = now
            if wanted.once or not terminal or (wanted.ids and not now):
                return 0
    except KeyboardInterrupt:
        return 0


def observe(store: Store, wanted: Wanted, *, strict: bool = False) -> dict[str, Seen]:
    """A look at each.  ``strict``: one that cannot be looked at is an error, not left out."""
    found: dict[str, Seen] = {}
    ids = wanted.ids
    for container_id in ids or (wanted.names() if wanted.names else store.ids()):
        try:
            entry = store.open(container_id)
        except MinirunError:  # deleted meanwhile, or a stray name
            if strict and ids:
                raise
            continue
        state = entry.load()
        word = status.status(entry, state)
        entry.close()
        seen = live.look(state.cgroupRoot + state.cgroup) if state.cgroup and word != status.STOPPED else None
        if seen is not None:
            found[container_id] = Seen(state=state, status=word, look=seen)
        elif strict and ids:
            reason = "container not running" if word == status.STOPPED else "it has no cgroup of its own"
            raise MinirunError(f"cannot show the numbers of container {container_id}", reason=reason)
    return found


def readings(before: dict[str, Seen], now: dict[str, Seen], wanted: Wanted) -> list[Reading]:
    """What was there at both moments."""
    found = [
        live.compare(seen.state, seen.status, before[name].look, seen.look)
        for name, seen in now.items()
        if name in before
    ]
    names = wanted.names() if wanted.names else {}
    for reading in found:
        reading.id = names.get(reading.id, reading.id)
    return found


def show(found: Sequence[Reading], wanted: Wanted) -> None:
    """Once, for a file, a pipe, or --no-stream."""
    if wanted.form == "json":
        lines = [encode(picture.document(reading)) for reading in found]
    elif not found:
        lines = [NOBODY]
    else:
        style = style_of(rows=0) if sys.stdout.isatty() else Style()
        style.title = "NAME" if wanted.names else "ID"
        lines = picture.picture(found, probe().controllers, style)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def style_of(rows: int | None = None) -> Style:
    """The terminal as it is now."""
    try:
        columns, lines = os.get_terminal_size(1)
    except OSError:
        columns, lines = 80, 24
    locale = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or ""
    return Style(
        columns=columns or 80, rows=(lines or 24) if rows is None else rows,
        coloured="NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb",
        blocks="utf-8" in locale.lower() or "utf8" in locale.lower(),
    )  # fmt: skip


def stream(store: Store, wanted: Wanted, before: dict[str, Seen]) -> None:
    """Until interrupted, or until the containers asked for have ended."""
    drawn = 0
    controllers = probe().controllers
    with_signals = {signal.SIGTERM: leave, signal.SIGHUP: leave, signal.SIGTSTP: stop}
    old = {number: signal.signal(number, handler) for number, handler in with_signals.items()}
    try:
        for found in ticks(store, wanted, before):
            style = style_of()
            style.title = "NAME" if wanted.names else "ID"
            lines = picture.picture(found, controllers, style) if found else [NOBODY]
            up = f"\033[{drawn}F" if drawn else ""
            text = "".join(f"{line}{ERASE_LINE}\n" for line in lines)
            put(f"{HIDE}{up}{text}{ERASE_BELOW}")
            drawn = len(lines)
    except KeyboardInterrupt:
        put("\n")  # behind the terminal's own ^C
        raise
    finally:
        put(SHOW)
        for number, handler in old.items():
            signal.signal(number, handler)


def ticks(store: Store, wanted: Wanted, before: dict[str, Seen]) -> Iterator[list[Reading]]:
    """A list of readings every interval; the first soon, so that nobody waits for it."""
    pause = min(wanted.interval, 0.2)
    while True:
        time.sleep(pause)
        now = observe(store, wanted)
        if wanted.ids and not now:
            return
        yield readings(before, now, wanted)
        before, pause = now, wanted.interval


def put(text: str) -> None:
    """Straight to the terminal: what a signal cuts short must not be written twice."""
    data = text.encode("utf-8", "replace")
    while data:
        data = data[os.write(1, data) :]


def leave(number: int, frame: FrameType | None) -> None:
    """Ends like any program that the signal ends, but with the cursor where it was."""
    put(SHOW)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def stop(number: int, frame: FrameType | None) -> None:
    """Ctrl-Z: the shell gets its cursor back; the next picture hides it again."""
    put(SHOW)
    os.kill(os.getpid(), signal.SIGSTOP)

"""``minirun compare``: the same bundle under each isolation, in turns, side by side.

A round is one run of each kind under each isolation, one after the other, so that noise hits all alike; the first
round warms caches and is dropped.  Three kinds (``runs``): timed ones, a few that are looked at, two under strace.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from minirun.errors import MinirunError
from minirun.lab.bundles import Original
from minirun.lab.figures import Measured, Row, rows
from minirun.lab.isolations import ISOLATIONS, Isolation, chosen
from minirun.lab.machine import machine
from minirun.lab.runs import Runner
from minirun.lab.table import conditions, table
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

LOOKS = 3  # at most: each has several rounds of measurements inside
ROUNDS = 5
CALLS = (0, 2000)
COLOURS = {"title": "1", "section": "1;34", "dim": "2"}

NOTES = (
    "Comparable: times and host system calls, taken outside by one clock; costs inside, by the same static program.",
    "Not comparable: a container's kernel memory is the host's and not counted, a guest's is part of its memory. "
    "Under a VM the first byte comes through the VMM's channel, and a file of the bundle through a share: both count. "
    "A sandbox has no kernel: what it sees of one is the host's, as in a container.",
)


class Wanted(Record):
    """``say`` takes what is worth knowing while one waits."""

    program: str
    bundle: Path
    command: tuple[str, ...] = ()
    isolations: tuple[str, ...] = ()
    runs: int = 5
    say: Callable[[str], None] = print


def compare(wanted: Wanted) -> dict[str, Any]:
    """Everything that was found, as plain data.  Raises MinirunError."""
    original = Original(wanted.bundle, wanted.command)
    found: dict[str, Measured] = {}
    runners: list[Runner] = []
    with tempfile.TemporaryDirectory(prefix="minirun-compare-") as folder:
        for isolation in among(wanted.isolations):
            why = isolation.lacking()
            one = found[isolation.name] = Measured(
                name=isolation.name, title=isolation.title, lacking=why, asks=isolation.asks()
            )
            if not why:
                runners.append(Runner(wanted.program, isolation, original, Path(folder)))
                continue
            wanted.say(f"{isolation.name}: {why}")
            if isolation.bare:
                one.bare = isolation.bare(wanted.runs + 1)[1:]
        measure(runners, found, wanted)
    return summary(original, wanted, list(found.values()))


def among(names: tuple[str, ...]) -> list[Isolation]:
    try:
        return chosen(names)
    except KeyError as error:
        have = ", ".join(row.name for row in ISOLATIONS)
        raise MinirunError(f"there is no isolation {error.args[0]!r}", hint=f"there are {have}", exit_code=2) from error


def measure(runners: list[Runner], found: dict[str, Measured], wanted: Wanted) -> None:
    """Fill ``found``, round by round."""
    timed: dict[str, list[Any]] = {runner.isolation.name: [] for runner in runners}
    looks: dict[str, list[Any]] = {runner.isolation.name: [] for runner in runners}
    for number in range(wanted.runs + 1):
        for runner in runners:
            name = runner.isolation.name
            run = runner.timed()
            wanted.say(f"{name}: run {number or 'to warm up'}, {run.whole:.0f} ms")
            if number:
                timed[name].append(run)
            if 1 <= number <= LOOKS:
                looks[name].append(runner.look(ROUNDS))
    for runner in runners:
        name = runner.isolation.name
        wanted.say(f"{name}: system calls")
        traced = {calls: counted for calls in CALLS if (counted := runner.traced(calls))}
        found[name].timed, found[name].looks, found[name].traced = timed[name], looks[name], traced


def summary(original: Original, wanted: Wanted, found: list[Measured]) -> dict[str, Any]:
    """Plain data: what --json writes, and what table and page are made from."""
    outputs = {run.output for one in found for run in one.timed}
    codes = {run.code for one in found for run in one.timed}
    notes = [*NOTES, *(f"{one.name}: {one.lacking}." for one in found if one.lacking)]
    if len([one for one in found if one.timed]) > 1:
        same = len(outputs) == 1 and len(codes) == 1
        notes.insert(0, f"Output and exit code are {'the same in all runs' if same else 'NOT the same in all runs'}.")
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "bundle": str(original.path.absolute()),
        "command": " ".join(original.command),
        "runs": wanted.runs,
        "machine": machine(),
        "isolations": [plain(one) for one in found],
        "rows": [plain(row) for row in rows(found)],
        "notes": notes,
    }


def plain(value: Any) -> Any:
    """Records as dictionaries, bytes as text."""
    if isinstance(value, Record):
        return {name: plain(getattr(value, name)) for name in value.FIELDS}
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def again(data: dict[str, Any]) -> tuple[list[Measured], list[Row]]:
    """Columns and rows from plain data: so a page can be made from a file of --json, too."""
    from minirun.lab.figures import Cell

    found = [Measured(name=one["name"], title=one["title"], lacking=one["lacking"]) for one in data["isolations"]]
    made = []
    for row in data["rows"]:
        cells = {
            name: Cell(values=tuple(cell.get("values", ())), text=cell.get("text", ""))
            for name, cell in row["cells"].items()
        }
        made.append(Row(section=row["section"], name=row["name"], label=row["label"], unit=row["unit"], cells=cells))
    return found, made


def show(data: dict[str, Any], columns: int, coloured: bool) -> str:
    """The table, and what a reader must know beside it."""
    from textwrap import wrap

    def paint(kind: str, text: str) -> str:
        return f"\033[{COLOURS[kind]}m{text}\033[0m" if coloured and text else text

    found, made = again(data)
    lines = table(found, made, columns, paint)
    below = [line for text in conditions(data) for line in wrap(text, columns, subsequent_indent="  ")]
    return "\n".join([*lines, "", *(paint("dim", line) for line in below)])


def run(wanted: Wanted, *, as_json: bool, html: str) -> int:
    """Compare, then print a table or JSON, and write a page if one is asked for."""
    import shutil

    if html and (Path(html).is_dir() or not os.access(Path(html).absolute().parent, os.W_OK)):
        raise MinirunError(f"cannot write {html}", reason="no file can be made there")
    data = compare(wanted)
    if html:
        from minirun.lab.page import page

        Path(html).write_text(page(data))
        print(f"minirun: the page is in {html}", file=sys.stderr)
    if as_json:
        print(json.dumps(data, indent=2))
    else:
        width = min(shutil.get_terminal_size((100, 24)).columns, 140)
        print(show(data, width, sys.stdout.isatty() and "NO_COLOR" not in os.environ))
    return 0

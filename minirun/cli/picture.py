"""Readings as text: one line a container, or a block with bars where there is room; and why a value is missing.

Nothing here looks at the machine: width, height and what the terminal can show come in.
"""

from __future__ import annotations

from minirun.errors import printable
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from minirun.runtime.live import Reading

COLUMNS = ("ID", "STATUS", "CPU", "MEMORY", "PIDS", "READ/s", "WRITE/s", "WAITS c/m/i", "THROTTLED", "OOM")
FIRST_TO_GO = ("STATUS", "THROTTLED")  # on a narrow terminal
BAR = 20
GREEN, YELLOW, RED, DIM, BOLD = "32", "33", "31", "2", "1"
UNITS = ("B", "K", "M", "G", "T")
BLOCK = 7  # lines of a container's block, with the empty one behind it


class Style(Record):
    """What the terminal can do."""

    columns: int = 0  # 0: lines of any length
    rows: int = 0
    coloured: bool = False
    blocks: bool = False  # the bar's characters; else # and .
    title: str = "ID"  # of the first column

    def paint(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.coloured and text else text


def size(value: float | None) -> str:
    """Bytes in at most five characters: 0B, 980K, 1.5M; "-" if not known."""
    if value is None:
        return "-"
    for unit in UNITS:
        if value < 1000 or unit == UNITS[-1]:
            return f"{value:.0f}{unit}" if unit == "B" or value >= 100 else f"{value:.1f}{unit}"
        value /= 1024
    raise AssertionError(value)


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}%"


def count(value: int | None) -> str:
    return "-" if value is None else str(value)


def limit_of(known: bool, words: str) -> str:
    """A limit; "max" where there is none, "-" where nothing can be known."""
    return "-" if not known else "max" if words == "-" else words


def cpu_bound(reading: Reading) -> str:
    bound = None if reading.cpu_limit is None else reading.cpu_limit * 100
    return limit_of("cpu" not in reading.missing, percent(bound).replace(".0%", "%"))


def cells(reading: Reading) -> list[str]:
    waits = [
        f"{reading.pressure[name][0]:.0f}" if name in reading.pressure else "-" for name in ("cpu", "memory", "io")
    ]
    return [
        printable(reading.id), reading.status, of(percent(reading.cpu), cpu_bound(reading)),
        of(size(reading.memory), limit_of("memory" not in reading.missing, size(reading.memory_limit))),
        of(count(reading.pids), limit_of("pids" not in reading.missing, count(reading.pids_limit))),
        size(reading.read), size(reading.written), "/".join(waits), percent(reading.throttled),
        count(reading.oom_kills),
    ]  # fmt: skip


def of(used: str, most: str) -> str:
    """Used and limit in one cell; the limit only where there is one."""
    return used if most in ("max", "-") else f"{used}/{most}"


def table(readings: Sequence[Reading], style: Style) -> list[str]:
    """A line a container under the headings; the id is cut first where the terminal is narrow."""
    rows = [[style.title, *COLUMNS[1:]], *(cells(reading) for reading in readings)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(COLUMNS))]
    if style.columns and sum(widths) + 2 * (len(widths) - 1) > style.columns:
        kept = [index for index, name in enumerate(COLUMNS) if name not in FIRST_TO_GO]
        rows = [[row[index] for index in kept] for row in rows]
        widths = [widths[index] for index in kept]
        spare = style.columns - sum(widths[1:]) - 2 * (len(widths) - 1)
        widths[0] = max(min(widths[0], spare), 8)
    lines = []
    for row in rows:
        name = row[0] if len(row[0]) <= widths[0] else row[0][: widths[0] - 2] + ".."
        rest = [pad(cell, width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        line = "  ".join([name.ljust(widths[0]), *rest]).rstrip()
        lines.append(line[: style.columns] if style.columns else line)
    lines[0] = style.paint(BOLD, lines[0])
    return lines


def pad(cell: str, width: int) -> str:
    """Words to the left, numbers to the right."""
    return cell.ljust(width) if cell.isalpha() and (cell.islower() or cell == "STATUS") else cell.rjust(width)


def bar(used: float | None, most: float | None, style: Style) -> str:
    """How much of a limit is used; empty brackets where there is no limit."""
    full, empty = ("█", "░") if style.blocks else ("#", ".")
    if used is None or most is None:
        return f"[{' ' * BAR}]"
    share = min(used / most, 1.0) if most else 1.0
    filled = round(share * BAR)
    colour = GREEN if share < 0.7 else YELLOW if share < 0.9 else RED
    return f"[{style.paint(colour, full * filled)}{style.paint(DIM, empty * (BAR - filled))}]"


def block(reading: Reading, style: Style) -> list[str]:
    """A container in seven lines: its name, then each resource against its limit, then what it waits for."""
    bound = None if reading.cpu_limit is None else reading.cpu_limit * 100
    behind = "" if reading.throttled is None else f"throttled {reading.throttled:.0f}%"
    if reading.throttled and reading.throttled >= 1:
        behind = style.paint(YELLOW, behind)
    kills = "" if reading.oom_kills is None else f"oom kills {reading.oom_kills}"
    if reading.oom_kills:
        kills = style.paint(RED, kills)
    rows = (
        ("cpu", percent(reading.cpu), cpu_bound(reading), bar(reading.cpu, bound, style), behind),
        ("memory", size(reading.memory), limit_of("memory" not in reading.missing, size(reading.memory_limit)),
         bar(reading.memory, reading.memory_limit, style), kills),
        ("pids", count(reading.pids), limit_of("pids" not in reading.missing, count(reading.pids_limit)),
         bar(reading.pids, reading.pids_limit, style), ""),
    )  # fmt: skip
    lines = [f"{style.paint(BOLD, printable(reading.id))}  {style.paint(DIM, reading.status)}"]
    lines += [
        f"  {name:<7}{used:>8} of {most:<7} {picture}  {more}".rstrip() for name, used, most, picture, more in rows
    ]
    lines.append(f"  {'io':<7}{size(reading.read) + '/s' if reading.read is not None else '-':>8} read   "
                 f"{size(reading.written) + '/s' if reading.written is not None else '-':>8} written")  # fmt: skip
    lines.append(f"  {'waits':<7}{waits(reading, style)}")
    return [*lines, ""]


def waits(reading: Reading, style: Style) -> str:
    """Pressure: some (full) of the last ten seconds."""
    words = []
    for name in ("cpu", "memory", "io"):
        if name not in reading.pressure:
            words.append(f"{name} -")
            continue
        some, full = reading.pressure[name]
        text = f"{name} {some:.1f}% ({full:.1f}%)"
        words.append(style.paint(YELLOW, text) if some >= 10 else text)
    return "    ".join(words)


def notes(readings: Sequence[Reading], controllers: Sequence[str]) -> list[str]:
    """Why there is a "-": a line for each thing that is missing."""
    lines = []
    for name in ("cpu", "memory", "pids", "io", "pressure"):
        without = [printable(reading.id) for reading in readings if name in reading.missing]
        if not without:
            continue
        what = "cpu limits" if name == "cpu" else name
        if name == "pressure":
            lines.append(f"{what}: this kernel does not measure it (psi=1 on its command line)")
        elif name not in controllers:
            lines.append(f"{what}: cgroup v2 does not have the {name} controller on this host")
        else:
            whose = ", ".join(without[:3]) + (" ..." if len(without) > 3 else "")
            lines.append(f"{what}: not counted for {whose}, whose config.json sets no limit of it")
    return [f"- {line}" for line in lines]


def picture(readings: Sequence[Reading], controllers: Sequence[str], style: Style) -> list[str]:
    """Blocks while they fit on the screen, else the table; then the notes."""
    remarks = notes(readings, controllers)
    fits = len(readings) * BLOCK + len(remarks) < style.rows
    if readings and fits and style.columns >= 72:
        lines = [line for reading in readings for line in block(reading, style)]
        if not remarks:
            lines.pop()
    else:
        lines = table(readings, style)
    lines += [style.paint(DIM, line[: style.columns or None]) for line in remarks]
    return lines[: style.rows - 1] if style.rows else lines


def document(reading: Reading) -> dict[str, Any]:
    """For --format json; null is what cannot be known, "max" no limit."""

    def bound(known: bool, value: float | None) -> float | str | None:
        return None if not known else "max" if value is None else value

    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, 2)

    missing = reading.missing
    percents = None if reading.cpu_limit is None else reading.cpu_limit * 100
    return {
        "id": reading.id,
        "status": reading.status,
        "cpu": {
            "percent": rounded(reading.cpu), "limit": bound("cpu" not in missing, percents),
            "throttledPercent": rounded(reading.throttled),
        },
        "memory": {
            "bytes": reading.memory, "limit": bound("memory" not in missing, reading.memory_limit),
            "oomKills": reading.oom_kills,
        },
        "pids": {"current": reading.pids, "limit": bound("pids" not in missing, reading.pids_limit)},
        "io": {"readPerSecond": rounded(reading.read), "writtenPerSecond": rounded(reading.written)},
        "pressure": {name: {"some": some, "full": full} for name, (some, full) in reading.pressure.items()},
    }  # fmt: skip

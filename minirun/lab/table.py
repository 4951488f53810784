"""Rows as text: one column for each isolation, as wide as the terminal allows; long answers take several lines."""

from __future__ import annotations

from textwrap import wrap

from minirun.lab.figures import Measured, Row, ratio, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

NARROWEST = 60
RATIO = 8  # columns for "x 123"


def table(found: Sequence[Measured], rows: Sequence[Row], columns: int, paint: Callable[[str, str], str]) -> list[str]:
    """The lines; ``paint`` colours a text by what it is: title, section, dim."""
    columns = max(columns, NARROWEST)
    with_ratio = len([one for one in found if not one.lacking]) == 2
    first = min(32, columns // 3)
    rest = columns - first - (RATIO if with_ratio else 0)
    width = rest // len(found)
    base = found[0].name
    lines = [paint("title", line) for line in laid(["", *(one.title for one in found)], [first] + [width] * len(found))]
    section = ""
    for row in rows:
        if row.section != section:
            section = row.section
            lines += ["", paint("section", section)]
        cells = [shown(row.cells[one.name], row.unit) for one in found]
        times = [ratio(row.cells, one.name, base) for one in found]
        if not with_ratio:
            cells = [
                text if value is None else f"{text}, x\N{NO-BREAK SPACE}{digits(value)}"
                for text, value in zip(cells, times, strict=True)
            ]
        last = next((f"x {digits(value)}" for value in times if value is not None), "") if with_ratio else ""
        lines += laid([f"  {row.label}", *cells, last], [first] + [width] * len(found) + [RATIO])
    return lines


def digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def laid(cells: list[str], widths: list[int]) -> list[str]:
    """One row: each cell wrapped to its width, the lines side by side."""
    parts = [wrap(cell, width - 2, subsequent_indent="  ") or [""] for cell, width in zip(cells, widths, strict=False)]
    if cells[0].startswith("  "):
        parts[0] = [f"  {line}" for line in wrap(cells[0].strip(), widths[0] - 4, subsequent_indent="  ")]
    height = max(len(part) for part in parts)
    lines = []
    for number in range(height):
        texts = [part[number] if number < len(part) else "" for part in parts]
        line = "".join(text.ljust(width) for text, width in zip(texts, widths, strict=False)).rstrip()
        lines.append(line.replace("\N{NO-BREAK SPACE}", " "))
    return lines


def conditions(data: dict[str, Any]) -> list[str]:
    """What a reader must know beside the numbers."""
    host = data["machine"]
    return [
        f"{host['cpu']}, {host['cpus']} CPUs, {host['kernel']}, {host['system']}; KVM: {host['kvm']}.",
        f"{data['command']} in {data['bundle']}; {data['date']}.",
        f"Median (lowest-highest) of {data['runs']} runs in turns, one before them dropped; load {host['load']}.",
        *data["notes"],
    ]

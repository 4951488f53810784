"""Rows as one HTML page that needs nothing else: charts are inline SVG, colours follow the reader's light or dark.

Numbers become bars from zero, one for each isolation, with a dot for every sample, so that spread is seen, not told;
words become a table.  The data itself travels along, in a script element of type application/json.
"""

from __future__ import annotations

import json
from html import escape
from statistics import median

from minirun.lab.compare import again
from minirun.lab.figures import Cell, Measured, Row, number, ratio
from minirun.lab.table import conditions, digits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

WIDTH, BAR, GAP, LEFT, RIGHT = 460, 13, 9, 66, 78  # of a chart, in its own units
STYLE = """
:root { color-scheme: light dark; --page: #fcfcfb; --card: #ffffff; --line: #e2e2de; --ink: #1c1c1a; --soft: #62625c;
  --one: #2a6fdb; --two: #d9622b; --three: #2f8f5b; --dot: #1c1c1a }
@media (prefers-color-scheme: dark) { :root { --page: #151516; --card: #1e1e20; --line: #36363a; --ink: #ececea;
  --soft: #a0a09a; --one: #6ea5ff; --two: #ff9a66; --three: #6fd19c; --dot: #f4f4f2 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1080px; padding: 2.5rem 1.25rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem } h2 { font-size: 1.1rem; margin: 2.2rem 0 .8rem }
p { margin: .3rem 0; color: var(--soft) } code { font: .92em ui-monospace, monospace; color: var(--ink) }
.key { display: flex; flex-wrap: wrap; gap: .4rem 1.4rem; margin: 1rem 0 0; padding: 0; list-style: none }
.key i { display: inline-block; width: .8em; height: .8em; border-radius: 3px; margin-right: .5em }
.cards { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 30rem), 1fr)) }
figure { margin: 0; padding: .8rem 1rem; background: var(--card); border: 1px solid var(--line); border-radius: 8px }
figcaption { display: flex; justify-content: space-between; gap: 1rem; font-weight: 600 }
figcaption span { color: var(--soft); font-weight: 400; white-space: nowrap }
svg { display: block; max-width: 44rem; width: 100%; height: auto; margin-top: .5rem }
svg text { fill: var(--ink); font-size: 12px }
svg .name { fill: var(--soft) } svg circle { fill: var(--dot); fill-opacity: .55 }
.fill0 { fill: var(--one); background: var(--one) } .fill1 { fill: var(--two); background: var(--two) }
.fill2 { fill: var(--three); background: var(--three) }
.cards + .scroll { margin-top: .8rem }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; background: var(--card) }
table { border-collapse: collapse; table-layout: fixed; width: 100%; overflow-wrap: break-word; font-size: .92rem }
th, td { padding: .5rem .9rem; text-align: left;
  vertical-align: top; border-top: 1px solid var(--line) } thead th { border-top: 0 } th { font-weight: 600 }
tbody th { font-weight: 400; color: var(--soft) }
thead th:first-child { width: 24% } ul.notes { color: var(--soft); padding-left: 1.2rem }
"""


def page(data: dict[str, Any]) -> str:
    """The whole document."""
    found, rows = again(data)
    sections = list(dict.fromkeys(row.section for row in rows))
    body = [part for section in sections for part in drawn(section, found, [r for r in rows if r.section == section])]
    title = f"{data['command']}: {', '.join(one.name for one in found)}"
    return "\n".join(
        ["<!doctype html>", '<html lang="en"><head><meta charset="utf-8">',
         '<meta name="viewport" content="width=device-width, initial-scale=1">', f"<title>{escape(title)}</title>",
         f"<style>{STYLE}</style></head><body>", *head(data, found), *body, *foot(data), "</body></html>", ""]
    )  # fmt: skip


def head(data: dict[str, Any], found: Sequence[Measured]) -> list[str]:
    keys = [
        f'<li><i class="fill{index}"></i>{escape(one.title)}{escape(f" ({one.lacking})" if one.lacking else "")}</li>'
        for index, one in enumerate(found)
    ]
    return [
        "<h1>The same bundle, side by side</h1>",
        f"<p><code>{escape(data['command'])}</code> in <code>{escape(data['bundle'])}</code></p>",
        f'<ul class="key">{"".join(keys)}</ul>',
    ]


def drawn(section: str, found: Sequence[Measured], rows: Sequence[Row]) -> list[str]:
    """A section: charts for its numbers, then a table for its words."""
    numbers = [row for row in rows if any(cell.values for cell in row.cells.values())]
    words = [row for row in rows if row not in numbers]
    parts = [f"<h2>{escape(section[:1].upper() + section[1:])}</h2>"]
    if numbers:
        parts += ['<div class="cards">', *(chart(row, found) for row in numbers), "</div>"]
    if words:
        names = "".join(f"<th>{escape(one.name)}</th>" for one in found)
        parts.append(f'<div class="scroll"><table><thead><tr><th></th>{names}</tr></thead><tbody>')
        for row in words:
            cells = "".join(f"<td>{escape(row.cells[one.name].text)}</td>" for one in found)
            parts.append(f'<tr><th scope="row">{escape(row.label)}</th>{cells}</tr>')
        parts.append("</tbody></table></div>")
    return parts


def chart(row: Row, found: Sequence[Measured]) -> str:
    """One question: a bar for each isolation that has an answer."""
    answers = [(index, one, row.cells[one.name]) for index, one in enumerate(found) if row.cells[one.name].values]
    most = max(max(cell.values) for _, _, cell in answers) or 1.0
    height = len(answers) * (BAR + GAP)
    times = [ratio(row.cells, one.name, found[0].name) for one in found] if row.cells[found[0].name].values else []
    factor = ", ".join(f"x {digits(value)}" for value in times if value is not None)
    bars = [bar(index, one, cell, row.unit, most, place) for place, (index, one, cell) in enumerate(answers)]
    said = "; ".join(f"{one.name} {number(median(cell.values), row.unit)}" for _, one, cell in answers)
    return (
        f"<figure><figcaption>{escape(row.label)}<span>{factor}</span></figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(f"{row.label}: {said}")}">'
        f"{''.join(bars)}</svg></figure>"
    )


def bar(index: int, one: Measured, cell: Cell, unit: str, most: float, place: int) -> str:
    scale = (WIDTH - LEFT - RIGHT) / most
    top = place * (BAR + GAP) + GAP / 2
    middle = median(cell.values)
    length = max(2.0, middle * scale)
    ink = top + BAR * 0.78
    dots = "".join(
        f'<circle cx="{LEFT + value * scale:.1f}" cy="{top + BAR / 2:.1f}" r="2"/>' for value in cell.values
    ) if len(cell.values) > 1 else ""  # fmt: skip
    end = LEFT + max(length, max(cell.values) * scale) + 8
    return (
        f'<text class="name" x="0" y="{ink:.1f}">{escape(one.name)}</text>'
        f'<rect class="fill{index}" x="{LEFT}" y="{top:.1f}" width="{length:.1f}" height="{BAR}" rx="3"/>{dots}'
        f'<text x="{end:.1f}" y="{ink:.1f}">{escape(number(middle, unit))}</text>'
    )


def foot(data: dict[str, Any]) -> list[str]:
    """What a reader must know, and the data."""
    notes = "".join(f"<li>{escape(text)}</li>" for text in conditions(data))
    raw = json.dumps(data).replace("<", "\\u003c")  # no text in it can end the element
    return [
        "<h2>How this was measured</h2>", f'<ul class="notes">{notes}<li>Bars are medians, dots are samples.</li></ul>',
        f'<script type="application/json" id="data">{raw}</script>',
    ]  # fmt: skip

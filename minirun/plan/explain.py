"""A plan in words: the table of --explain, the trace, and the same as JSON."""

from __future__ import annotations

from minirun.plan.ops import HOST, Op

NARROW = 10  # init's column begins here where there is no room: an indent still tells the two apart
USUAL = 26  # columns that nearly every pointer fits in


def table(ops: list[Op], notes: dict[int, str] | None = None, width: int = 0) -> str:
    """Host's column, init's column, and where each step comes from; ``notes`` (step -> text) is the trace's column.

    ``width`` is the terminal's: longer lines are cut, but never the pointer. 0: as wide as it needs to be.
    """
    created = "   <- state: created"
    words = [op.describe() + (created if op.KIND == "wait" else "") for op in ops]
    rows = [(step, op.actor == HOST, words[step - 1], op.pointer) for step, op in enumerate(ops, 1)]
    # A row has one actor: a long line of the host's may run into init's column, which begins early.
    longest = {who: max([len(text) for _, host, text, _ in rows if host == who], default=4) for who in (True, False)}
    host_width = min(longest[True], NARROW if 0 < width < 100 else 30)
    pointers = min(max([len(pointer) for _, _, _, pointer in rows] + [4]), USUAL)
    lead = 5 + (10 if notes is not None else 0)
    natural = lead + max(longest[True], host_width + 2 + longest[False]) + 2
    origin = min(natural, width - pointers) if width else natural
    timed = notes is not None
    head = "  #  " + (f"{'took':>8}  " if timed else "") + "host".ljust(host_width) + "  init"
    lines = [head.ljust(origin) + "from"]
    for step, host, text, pointer in rows:
        note = f"{(notes or {}).get(step, ''):>8}  " if timed else ""
        start = f"{step:3}  {note}" + ("" if host else " " * (host_width + 2))
        last = width - len(pointer) if width else natural  # a short pointer makes way for a long text
        lines.append((start + clip(text, last - len(start) - 2) + "  ").ljust(min(origin, last)) + pointer)
    return "\n".join(line.rstrip() for line in lines)


def clip(text: str, room: int) -> str:
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= room else text[: room - 3] + "..."


def rows(ops: list[Op]) -> list[dict[str, object]]:
    """For --explain=json: every step with its fields."""
    found: list[dict[str, object]] = []
    for step, op in enumerate(ops, 1):
        fields = {name: getattr(op, name) for name in op.FIELDS[2:]}
        found.append(
            {
                "step": step,
                "actor": op.actor,
                "op": op.KIND,
                "does": op.describe(),
                "from": op.pointer,
                "fields": fields,
            }
        )
    return found

"""A plan in words: the table of --explain, the trace, and the same as JSON."""

from __future__ import annotations

from minirun.plan.ops import HOST, Op

WIDTH = 110


def table(ops: list[Op], notes: dict[int, str] | None = None, width: int = WIDTH) -> str:
    """Two columns, host and init, and where each step comes from; ``notes`` (step -> text) is the trace's column."""
    rows = [(step, op.actor == HOST, op.describe(), op.pointer) for step, op in enumerate(ops, 1)]
    host_width = max([len(text) for _, host, text, _ in rows if host], default=4)
    host_width = min(max(host_width, 4), width // 3)
    head = "  #  " + ("  took  " if notes is not None else "") + "host".ljust(host_width) + "  init"
    lines = [head.ljust(width - 4) + "from"]
    for step, host, text, pointer in rows:
        note = f"{(notes or {}).get(step, ''):>6}  " if notes is not None else ""
        start = f"{step:3}  {note}" + ("" if host else " " * (host_width + 2))
        state = "   <- state: created" if ops[step - 1].KIND == "wait" else ""
        room = width - len(start) - len(pointer) - 2
        body = clip(text + state, max(room, 24))
        lines.append((start + body).ljust(width - len(pointer)) + pointer)
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

"""--trace: the plan as it went, with the time of every step."""

from __future__ import annotations

import posix

from minirun.plan.explain import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.engine.execute import Site


def terminal_width(fd: int, columns: str = "") -> int:
    """$COLUMNS, or the terminal's on ``fd``; 0 if it is none: a file or a pipe takes lines of any length."""
    if columns.isascii() and columns.isdigit() and len(columns) < 5:
        return max(int(columns), 80)
    try:
        return max(posix.get_terminal_size(fd).columns, 80)
    except OSError:
        return 0


def show(site: Site) -> None:
    """To standard error: standard output is the container's."""
    times = dict(site.times)
    if site.init is not None:
        times |= site.init.times
    notes = {step: f"{took // 1000} us" for step, took in times.items()}
    total = sum(times.values()) // 1000
    text = table(site.ops, notes, terminal_width(2)) + f"\n{len(site.ops)} steps, {total} us in operations\n"
    posix.write(2, text.encode("utf-8", "replace"))

"""Sizes and times as docker's tables write them (go-units): 4.43MB, 2 weeks ago."""

from __future__ import annotations

MINUTE, HOUR, DAY = 60, 3600, 86400
# up to how many seconds -> what one of them is, and what it is called
STEPS = (
    (2 * DAY, HOUR, "hours"),
    (14 * DAY, DAY, "days"),
    (60 * DAY, 7 * DAY, "weeks"),
    (730 * DAY, 30 * DAY, "months"),
)


def size(count: int) -> str:
    """Decimal units, three digits."""
    value, units = float(count), ["B", "kB", "MB", "GB", "TB", "PB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    text = f"{value:.3g}"
    return (f"{value:.0f}" if "e" in text else text) + units[0]


def duration(seconds: float) -> str:
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole < MINUTE:
        return "1 second" if whole == 1 else f"{whole} seconds"
    if whole < 2 * MINUTE:
        return "About a minute"
    if whole < HOUR:
        return f"{whole // MINUTE} minutes"
    if round(whole / HOUR) == 1:
        return "About an hour"
    for limit, unit, name in STEPS:
        if whole < limit:
            return f"{whole // unit} {name}"
    return f"{whole // (365 * DAY)} years"


def ago(moment: float, now: float) -> str:
    """Docker's CREATED; nothing for a time that nobody told."""
    return f"{duration(max(now - moment, 0))} ago" if moment > 0 else "N/A"

"""The Test Anything Protocol, as bats and crun's tests write it: one line a test, what it said around it."""

from __future__ import annotations

import re
from dataclasses import dataclass

LINE = re.compile(r"^(not ok|ok) \d+ (?:- )?(.*?)(?:\s*# ?(SKIP|skip|timeout)\b ?(.*))?$")
PLAN = re.compile(r"^1\.\.(\d+)", re.MULTILINE)
PASSED, FAILED, SKIPPED, ABSENT = "ok", "fail", "skip", "-"
EARLY = "(ended early)"


@dataclass
class Outcome:
    """What became of one test; ``said`` is the reason of a skip, or a failure's output."""

    status: str
    said: str = ""


def parse(text: str) -> dict[str, Outcome]:
    """Tests by name, in order.  bats writes a failure's words below its line, crun's tests write them above it.

    A run that ended before its plan was fulfilled has failed: EARLY stands for the rest.
    """
    found: dict[str, Outcome] = {}
    planned = 0
    above: list[str] = []
    last: Outcome | None = None
    for line in text.splitlines():
        match = LINE.match(line)
        if plan := PLAN.match(line):
            planned = int(plan.group(1))
        elif match:
            verdict, name, directive, words = match.groups()
            status = FAILED if verdict == "not ok" else PASSED if directive is None else SKIPPED
            last = Outcome(status, words or ("\n".join(above) if status == FAILED else ""))
            found[name.strip()] = last
            above = []
        elif line.startswith("#") and last is not None and last.status == FAILED:
            last.said = (last.said + "\n" + line[2:]).strip()
        else:
            above.append(line)
    if len(found) < planned or (not found and not PLAN.search(text)):
        found[EARLY] = Outcome(FAILED, "\n".join(text.splitlines()[-10:]))
    return found

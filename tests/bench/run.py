"""minirun beside runc and crun, in one run: ``make bench``.

    /usr/bin/python3 tests/bench/run.py [--runs N] [--quick] [--offline] [--write docs/performance.md] [--json FILE]

Read it in this order: ``view`` (a private, pure cgroup v2 host), ``scratch`` (all that is put on the machine and
taken away again), ``stopwatch`` (how one call is timed), ``runtimes`` and ``peers`` (who takes part), ``lifecycle``
(the steps, in turns), ``report`` (medians, ratios, tables).  Only the standard library and a C compiler are used.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import report
import runtimes
import view
from lifecycle import Bench
from scratch import Scratch
from stopwatch import CommandFailed, Stopwatch

FULL_RUNS = 30
QUICK_RUNS = 10


def options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Measure minirun, runc and crun side by side.")
    parser.add_argument("--runs", type=int, metavar="N", help=f"rounds (default {FULL_RUNS}, quick {QUICK_RUNS})")
    parser.add_argument("--quick", action="store_true", help="only `run` and the memory of a waiting init")
    parser.add_argument("--offline", action="store_true", help="use a crun that is already here, fetch none")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this markdown file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures as JSON")
    chosen = parser.parse_args(argv)
    chosen.runs = chosen.runs or (QUICK_RUNS if chosen.quick else FULL_RUNS)
    if chosen.runs < 1:
        parser.error("--runs must be at least 1")
    return chosen


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Everything between the first and the last change to the machine."""
    notes: list[tuple[str, str]] = []

    def note(name: str, why: str) -> None:
        notes.append((name, why))
        print(f"bench: {name}: {why}", file=sys.stderr, flush=True)

    view.enter()
    view.adopt_orphans()
    with Scratch() as scratch:
        stopwatch = Stopwatch(scratch)
        bench = Bench(runtimes.gather(scratch, stopwatch, chosen.offline, note), stopwatch)
        if chosen.quick:
            bench.quick(chosen.runs)
        else:
            bench.full(chosen.runs)
        return report.summary(bench, chosen.runs, notes)


def main(argv: list[str]) -> int:
    chosen = options(argv)
    if os.geteuid() != 0:
        raise SystemExit("bench: needs root, for namespaces and cgroups of all runtimes")
    if chosen.write:
        report.place(chosen.write)

    # A job cancelled or a terminal closed becomes an exception, so that ``with`` blocks end as they do after Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    try:
        data = measure(chosen)
    except (CommandFailed, TimeoutError) as problem:
        raise SystemExit(f"bench: {problem}") from problem
    except KeyboardInterrupt:
        return 128 + signal.SIGINT

    print(report.as_text(data))
    if chosen.write:
        report.write(chosen.write, data)
    if chosen.json:
        chosen.json.write_text(json.dumps(data, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

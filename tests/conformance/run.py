"""The peers' suites against runc, crun and minirun in one run: ``make conformance``.

    .venv/bin/python -m tests.conformance.run [--write FILE] [--suite crun|runc] [--file NAME] [--runtime NAME]
                                              [--release CODENAME] [--verbose]

Read it in this order: ``world`` (where a suite runs), ``fetch`` (where it comes from), ``suites`` (what it needs),
``tap`` (what it says), ``reasons`` (what may fail, and why), ``table`` (the page).  Exit code 1: a defect, or a
reason that is no longer needed.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from tests.bench import peers
from tests.conformance import reasons, suites, table, tap, world
from tests.conformance.reasons import Row
from tests.conformance.suites import CrunSuite, RuncSuite, Runtime, Suite
from tests.conformance.tap import Outcome


def options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="conformance", description="Run the suites of runc and crun.")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this markdown file")
    parser.add_argument("--suite", action="append", choices=("crun", "runc"), help="only this suite")
    parser.add_argument("--file", action="append", metavar="NAME", help="only this file of a suite: exec, mounts ...")
    parser.add_argument("--runtime", action="append", choices=table.COLUMNS, help="only this runtime")
    parser.add_argument("--release", metavar="CODENAME", help="the suites of another release of the distribution")
    parser.add_argument("--verbose", action="store_true", help="what a failed test said")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    chosen = options(argv)
    if os.geteuid() != 0:
        print("conformance: the suites need root", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # through every finally
    release = chosen.release or peers.own_suite()
    names = chosen.suite or ["crun", "runc"]
    try:
        crun_suite = CrunSuite(release)
        loaded: list[Suite] = [crun_suite] if "crun" in names else []
        loaded += [RuncSuite(release)] if "runc" in names else []
    except peers.Unavailable as problem:
        print(f"conformance: {problem}", file=sys.stderr)
        return 2
    wanted = chosen.runtime or table.COLUMNS
    runtimes = [suites.runc()] if "runc" in wanted else []
    runtimes += [suites.crun(crun_suite)] if "crun" in wanted else []
    runtimes += [suites.minirun()] if "minirun" in wanted else []
    rows = collect(loaded, runtimes, chosen.file, chosen.verbose)
    known = reasons.load()
    if chosen.write:
        about = {suite.name: suite.version for suite in loaded}
        about["controllers"] = (world.cgroup2() / "cgroup.controllers").read_text().strip() or "none"
        note = "mounts_sshfs.bats (it mounts over the network)"
        note += "".join(f", {one}" for suite in loaded if isinstance(suite, RuncSuite) for one in suite.notes)
        chosen.write.write_text(table.page(rows, runtimes, known, about, note))
    return verdict(rows, known, complete=not (chosen.suite or chosen.file or chosen.runtime or chosen.release))


def collect(loaded: list[Suite], runtimes: list[Runtime], only: list[str] | None, verbose: bool) -> list[Row]:
    """Every file against every runtime, in turns: what the machine does meanwhile happens to all of them."""
    rows: list[Row] = []
    for suite in loaded:
        for file in suite.files():
            if only and file not in only:
                continue
            found = {one.name: timed(suite, file, one, verbose) for one in runtimes if not one.missing}
            rows += joined(suite.name, file, found)
    return rows


def timed(suite: Suite, file: str, runtime: Runtime, verbose: bool) -> dict[str, Outcome]:
    """One file against one runtime, with a line that says how it went."""
    begun = time.monotonic()
    outcomes = suite.run(file, runtime)
    failed = {name: outcome for name, outcome in outcomes.items() if outcome.status == tap.FAILED}
    seconds = time.monotonic() - begun
    print(f"{suite.name} {file} {runtime.name}: {len(outcomes) - len(failed)} of {len(outcomes)} in {seconds:.1f} s")
    for name, outcome in failed.items() if verbose else ():
        print("\n    ".join([f"  {name}", *outcome.said.splitlines()[:30]]))
    sys.stdout.flush()
    return outcomes


def joined(suite: str, file: str, found: dict[str, dict[str, Outcome]]) -> list[Row]:
    """Rows of all runtimes; where one ended early, that is what became of its missing tests."""
    names = list(dict.fromkeys(name for outcomes in found.values() for name in outcomes if name != tap.EARLY))
    rows = []
    for name in names or [tap.EARLY]:
        row = Row(suite, file, name, {})
        for runtime, outcomes in found.items():
            outcome = outcomes.get(name) or outcomes.get(tap.EARLY)
            if outcome:
                row.outcomes[runtime] = outcome
        rows.append(row)
    return rows


def verdict(rows: list[Row], known: list[reasons.Reason], complete: bool) -> int:
    """Say what is wrong; 1 if anything is."""
    bad = reasons.defects(rows, known)
    for row in bad:
        print(f"conformance: {row.name}: runc {row.status('runc')}, crun {row.status('crun')}, minirun"
              f" {row.status('minirun')}, and no reason", file=sys.stderr)  # fmt: skip
    old = reasons.stale(rows, known) if complete else []
    for pattern in old:
        print(f"conformance: reasons.toml: nothing that fails needs {pattern!r}", file=sys.stderr)
    passed = sum(row.status("minirun") == tap.PASSED for row in rows)
    print(f"minirun passes {passed} of {len(rows)}; {len(bad)} without a reason")
    return 1 if bad or old else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

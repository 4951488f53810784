"""How the suites' output is read, and that docs/conformance.md and reasons.toml speak of the same tests."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.conformance import reasons, run
from tests.conformance.reasons import Reason, Row
from tests.conformance.tap import EARLY, FAILED, PASSED, SKIPPED, Outcome, parse
from tests.needs import ROOT

BATS = """1..4
ok 1 runc exec
not ok 2 runc exec [exit codes]
# (in test file exec.bats, line 35)
#   `[ "$status" -eq 255 ]' failed
ok 3 runc exec (cgroup v1) # skip test requires cgroups_v1
not ok 4 events oom # timeout after 50s
"""
CRUN = """1..3
ok 1 - no-caps
{'prestart': []}
b'no such file'
not ok 2 - hook-env
ok 3 - sd-notify #SKIP
"""


def test_what_bats_says() -> None:
    found = parse(BATS)
    assert [outcome.status for outcome in found.values()] == [PASSED, FAILED, SKIPPED, FAILED]
    assert list(found)[2:] == ["runc exec (cgroup v1)", "events oom"]
    assert found["runc exec [exit codes]"].said.endswith('`[ "$status" -eq 255 ]\' failed')
    assert found["runc exec (cgroup v1)"].said == "test requires cgroups_v1"


def test_what_crun_says() -> None:
    found = parse(CRUN)
    assert {name: outcome.status for name, outcome in found.items()} == {
        "no-caps": PASSED, "hook-env": FAILED, "sd-notify": SKIPPED,
    }  # fmt: skip
    assert "no such file" in found["hook-env"].said


def test_an_early_end_is_a_failure() -> None:
    assert list(parse("1..2\nok 1 - a\n")) == ["a", EARLY]
    assert list(parse("bats: not found\n")) == [EARLY]
    assert parse("1..0\n") == {}
    rows = run.joined("crun", "x", {"runc": parse("1..2\n"), "crun": parse("1..2\nok 1 - a\nok 2 - b\n")})
    assert [(row.test, row.status("runc"), row.status("crun")) for row in rows] == [
        ("a", "fail", "ok"),
        ("b", "fail", "ok"),
    ]


def row(runc: str, crun: str, minirun: str) -> Row:
    return Row("runc", "exec", "a [b]", {"runc": Outcome(runc), "crun": Outcome(crun), "minirun": Outcome(minirun)})


def test_what_is_a_defect() -> None:
    words = Reason("words", "", ["runc exec: a [*]"])
    host = Reason("host", "", ["runc exec: *"])
    assert not reasons.defects([row(PASSED, PASSED, PASSED)], [])
    assert reasons.defects([row(FAILED, FAILED, FAILED)], [])
    assert reasons.defects([row(PASSED, FAILED, SKIPPED)], [])
    assert not reasons.defects([row(SKIPPED, SKIPPED, SKIPPED)], [])
    assert not reasons.defects([row(PASSED, PASSED, FAILED)], [words])
    assert reasons.defects([row(PASSED, PASSED, FAILED)], [host]), "what both peers pass, this machine can do"
    unused = Reason("words", "", ["runc exec: a [*]"])
    assert reasons.stale([row(PASSED, PASSED, PASSED)], [unused]) == ["runc exec: a [*]"]


def page() -> Iterator[tuple[str, str, str]]:
    """(name, minirun's cell, reason) of every row of the page."""
    title = ""
    for line in (ROOT / "docs" / "conformance.md").read_text().splitlines():
        if line.startswith("## "):
            title = line[3:].replace(": ", " ", 1)  # as Row.name has it
        elif title and line.startswith("| ") and not line.startswith("| test "):
            cells = re.split(r"(?<!\\) \| ", line.removeprefix("| ").removesuffix(" |") + " ")
            yield f"{title}: {cells[0]}".replace("\\|", "|"), cells[3], cells[4].strip()


def test_the_page_has_no_defect() -> None:
    assert [name for name, cell, why in page() if cell == "**fail**" and not why.startswith(reasons.KINDS)] == []


def test_every_reason_is_on_the_page() -> None:
    rows = list(page())
    assert len(rows) > 200
    for reason in reasons.load():
        for pattern in reason.tests:
            alone = Reason(reason.kind, reason.why, [pattern])
            assert any(alone.covers(name) and why == f"{reason.kind}: {reason.why}" for name, _, why in rows), pattern

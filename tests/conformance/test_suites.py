"""The quick part of `make conformance`: minirun passes what both peers pass.

A test that minirun fails must be in ``reasons.toml``; for any other the same file is run against runc and crun, and
it is a defect if both of them pass.
"""

from __future__ import annotations

import functools

import pytest

from tests.bench.peers import own_suite
from tests.conformance import reasons, run, suites
from tests.conformance.suites import CrunSuite, RuncSuite, Suite

pytestmark = pytest.mark.needs("root", "busybox", "suites")


@functools.cache
def loaded(name: str) -> Suite:
    return CrunSuite(own_suite()) if name == "crun" else RuncSuite(own_suite(), debian=False)


@functools.cache
def crun() -> suites.Runtime:
    suite = loaded("crun")
    assert isinstance(suite, CrunSuite)
    return suites.crun(suite)


def check(name: str, file: str) -> None:
    suite, known = loaded(name), reasons.load()
    if file not in suite.files():
        pytest.skip(f"{name} {suite.version} has no {file}")
    found = {"minirun": suite.run(file, suites.minirun())}
    assert found["minirun"], "no test was run"
    if reasons.defects(run.joined(name, file, found), known):
        for peer in (suites.runc(), crun()):
            found[peer.name] = {} if peer.missing else suite.run(file, peer)
    bad = [row for row in reasons.defects(run.joined(name, file, found), known) if row.passed_by_peers()]
    assert not bad, "\n".join(f"{row.name}\n{row.outcomes['minirun'].said}" for row in bad)


@pytest.mark.parametrize("file", CrunSuite.quick)
def test_crun(file: str) -> None:
    check("crun", file)


@pytest.mark.parametrize("file", RuncSuite.quick)
def test_runc(file: str) -> None:
    check("runc", file)

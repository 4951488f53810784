"""One behaviour test for each member of config.json: the same test under minirun, runc and crun.

``MINIRUN_MEMBERS_RUNTIME`` names another runtime's program; ``MINIRUN_MEMBERS_RESULTS`` a file that takes a JSON line
for each test.
``tests/members/table.py`` sets both, and writes docs/members.md.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MINIRUN, Bundle, Runtime
from tests.members.world import World

PROGRAM = os.environ.get("MINIRUN_MEMBERS_RUNTIME", "")
RESULTS = os.environ.get("MINIRUN_MEMBERS_RESULTS", "")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "members(*pointers): the members of config.json that the test speaks of")


@pytest.fixture
def world(rootfs_master: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """A bundle that mapped users can reach, and a runtime; minirun must also leave the host as it was."""
    if not PROGRAM:
        request.getfixturevalue("clean_host")
    place = Path(tempfile.mkdtemp(prefix="minirun-members-"))
    place.chmod(0o755)
    runtime = Runtime(place / "state", Path(PROGRAM) if PROGRAM else MINIRUN)
    yield World(runtime, Bundle(place / "bundle", rootfs_master))
    for name in runtime.used:
        runtime("delete", "--force", name)
    shutil.rmtree(place)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A line a test: its name, its members, what came of it and why."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    marker = item.get_closest_marker("members")
    if (
        not RESULTS
        or marker is None
        or (report.when != "call" and report.outcome == "passed")
        or report.when == "teardown"
    ):
        return
    why = ""
    if report.skipped:
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    elif report.failed:
        why = str(call.excinfo.value) if call.excinfo else ""
    line = {"test": item.name, "file": item.path.name, "doc": (item.function.__doc__ or "").strip(),  # type: ignore[attr-defined]
            "members": list(marker.args), "outcome": report.outcome, "why": why}  # fmt: skip
    with open(RESULTS, "a") as file:
        file.write(json.dumps(line) + "\n")

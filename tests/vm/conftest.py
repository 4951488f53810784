"""``isolated``: minirun under each isolation in turn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Bundle
from tests.vm.both import Isolated


@pytest.fixture(
    params=[
        "container",
        pytest.param("sandbox", marks=pytest.mark.needs("kvm")),
        pytest.param("vm", marks=[pytest.mark.lab, pytest.mark.needs("guest")]),
    ]
)
def isolated(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Isolated]:
    request.getfixturevalue("clean_host")
    runtime = Isolated(tmp_path / "state", request.param)
    yield runtime
    for name in runtime.used:
        runtime("delete", "--force", name)


@pytest.fixture
def running(isolated: Isolated, bundle: Bundle) -> str:
    """A container that stays."""
    return isolated.start(bundle.args("/bin/sh", "-c", "trap 'exit 9' TERM; while true; do sleep 0.1; done"))

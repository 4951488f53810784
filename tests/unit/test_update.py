"""update: what is given in part is completed from the cgroup as it is, so that nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from minirun.plan.limits import limits
from minirun.runtime.update import complete


@pytest.fixture
def cgroup(tmp_path: Path) -> str:
    (tmp_path / "cpu.max").write_text("20000 50000\n")
    (tmp_path / "memory.max").write_text("1000\n")
    return str(tmp_path)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"cpu": {"quota": 30000}}, [("cpu.max", "30000 50000")]),
        ({"cpu": {"period": 10000}}, [("cpu.max", "20000 10000")]),
        ({"cpu": {"quota": -1}}, [("cpu.max", "max 50000")]),
        ({"cpu": {"quota": 1, "period": 2}}, [("cpu.max", "1 2")]),
        ({"memory": {"swap": 3000}}, [("memory.swap.max", "2000"), ("memory.max", "1000")]),
        ({"memory": {"limit": 500}}, [("memory.max", "500")]),
        ({"pids": {"limit": 5}}, [("pids.max", "5")]),
    ],
)
def test_complete(cgroup: str, given: dict[str, object], expected: list[tuple[str, str]]) -> None:
    written = limits(complete(given, cgroup))  # type: ignore[arg-type]  # a resources document
    assert [(limit.file, limit.value) for limit in written] == expected


def test_without_the_files_nothing_is_added(tmp_path: Path) -> None:
    assert complete({"cpu": {"quota": 5}}, str(tmp_path)) == {"cpu": {"quota": 5}, "memory": {}}

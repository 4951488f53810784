"""update: what is given in part is completed from the cgroup as it is, so that nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from minirun.cgroups.limit import way_back
from minirun.errors import MinirunError
from minirun.plan.limits import limits
from minirun.plan.ops import WriteCgroup
from minirun.runtime.update import carry_out, check_usage, complete


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
        ({"cpu": {"quota": 0, "period": 0}}, []),
        ({"cpu": {"quota": 0, "period": 10000}}, [("cpu.max", "20000 10000")]),
        ({"cpu": {"quota": 30000, "period": 0}}, [("cpu.max", "30000 50000")]),
        ({"memory": {"swap": 3000}}, [("memory.swap.max", "2000"), ("memory.max", "1000")]),
        ({"memory": {"limit": 500}}, [("memory.max", "500")]),
        ({"memory": {"limit": 500, "swap": 500}}, [("memory.swap.max", "0"), ("memory.max", "500")]),
        ({"memory": {"swap": -1}}, [("memory.swap.max", "max")]),
        ({"pids": {"limit": 5}}, [("pids.max", "5")]),
    ],
)
def test_complete(cgroup: str, given: dict[str, object], expected: list[tuple[str, str]]) -> None:
    written = limits(complete(given, cgroup))  # type: ignore[arg-type]  # a resources document
    assert [(limit.file, limit.value) for limit in written] == expected


def test_without_the_files_nothing_is_added(tmp_path: Path) -> None:
    assert complete({"cpu": {"quota": 5}}, str(tmp_path)) == {"cpu": {"quota": 5}, "memory": {}}


OPS = [
    WriteCgroup(file="pids.max", value="5", pointer="/pids/limit"),
    WriteCgroup(file="io.max", value="8:0 rbps=1", pointer="/blockIO"),
    WriteCgroup(file="hugetlb.2MB.rsvd.max", value="1", pointer="/hugepageLimits/0", optional=True),
    WriteCgroup(file="io.bfq.weight", value="100", instead="io.weight", instead_value="910", pointer="/blockIO/weight"),
]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, text in (("pids.max", "max\n"), ("io.max", "8:0 rbps=7\n8:16 wbps=2\n"), ("io.weight", "default 100\n")):
        (tmp_path / name).write_text(text)
    return tmp_path


def test_every_write_finds_its_file(tmp_path: Path) -> None:
    """Here an ordinary directory: what there is no file for goes to its declared other place, or nowhere."""
    for name in ("pids.max", "io.max", "io.weight"):
        (tmp_path / name).touch()
    carry_out([*OPS], str(tmp_path), "x.json", [])
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {"pids.max": "5", "io.max": "8:0 rbps=1", "io.weight": "910"}


def test_after_a_refusal_the_old_values_are_back(files: Path) -> None:
    """The last write has nowhere to go: what the first two changed reads as before."""
    refused = WriteCgroup(file="memory.max", value="5", pointer="/memory/limit")
    with pytest.raises(MinirunError) as caught:
        carry_out([*OPS[:2], refused], str(files), "x.json", [])
    assert (caught.value.pointer, caught.value.errno_name) == ("/memory/limit", "ENOENT")
    assert "3 of 3, host, write(2)" in caught.value.step
    assert (files / "pids.max").read_text() == "max\n"
    assert (files / "io.max").read_text().startswith("8:0 rbps=7")


@pytest.mark.parametrize(
    ("file", "value", "old", "expected"),
    [
        ("memory.max", "5", "max\n", "max"),
        ("cpu.max", "1 2", "max 100000\n", "max 100000"),
        ("cpuset.cpus", "0", "\n", ""),
        ("cpuset.cpus.partition", "root", "root invalid (no CPUs)\n", "root"),
        ("io.max", "8:0 rbps=1", "8:16 rbps=2 wbps=max\n", "8:0 rbps=max wbps=max riops=max wiops=max"),
        ("io.max", "8:16 rbps=1", "8:16 rbps=2 wbps=max\n", "8:16 rbps=2 wbps=max"),
        ("io.weight", "50", "default 100\n8:0 7\n", "default 100"),
        ("io.weight", "8:0 50", "default 100\n8:0 7\n", "8:0 7"),
        ("io.bfq.weight", "8:0 50", "default 100\n", "8:0 default"),
        ("rdma.max", "mlx5_0 hca_handle=1", "", "mlx5_0 hca_handle=max hca_object=max"),
    ],
)
def test_the_way_back(file: str, value: str, old: str, expected: str) -> None:
    assert way_back(file, value, old) == expected


def test_a_limit_below_what_is_used_is_refused_if_asked(tmp_path: Path) -> None:
    (tmp_path / "memory.current").write_text("1000\n")
    check_usage({"memory": {"limit": 500}}, str(tmp_path), "x")
    check_usage({"memory": {"limit": 1001, "swap": -1, "checkBeforeUpdate": True}}, str(tmp_path), "x")
    for member in ("limit", "swap"):
        with pytest.raises(MinirunError, match="1000 bytes are in use") as caught:
            check_usage({"memory": {member: 1000, "checkBeforeUpdate": True}}, str(tmp_path), "x")  # type: ignore[misc]
        assert caught.value.pointer == f"/linux/resources/memory/{member}"

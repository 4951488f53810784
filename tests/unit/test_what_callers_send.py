"""Configurations as ctr, docker and podman write them, where their words mean something else than they say."""

from __future__ import annotations

import pytest

from minirun.errors import MinirunError
from minirun.plan.ops import Exec, WriteCgroup
from tests.unit.documents import default, host, planned, put


def test_what_is_so_without_a_controller_needs_none() -> None:
    """ctr and docker send cpu.shares = 1024, podman the -1 of --pids-limit; a real limit is still refused."""
    poor = host(controllers=("hugetlb",))
    document = put(default(), "/linux/resources", {"cpu": {"shares": 1024}, "pids": {"limit": -1}})
    assert [op for op in planned(document, poor).ops if op.KIND == "write_cgroup"] == []
    assert len([op for op in planned(document).ops if op.KIND == "write_cgroup"]) == 2
    put(document, "/linux/resources/cpu/shares", 1025)
    with pytest.raises(MinirunError) as refused:
        planned(document, poor)
    assert refused.value.pointer == "/linux/resources/cpu/shares"


@pytest.mark.parametrize(
    ("version", "manager", "written"),
    [("1.0.2-dev", "libpod", "max"), ("1.3.0", "libpod", "1"), ("1.0.2", "", "1"), ("1.2.1", "other", "1")],
)
def test_no_processes_as_podman_says_it(version: str, manager: str, written: str) -> None:
    document = put(default(), "/linux/resources", {"pids": {"limit": 0}})
    document |= {"ociVersion": version, "annotations": {"io.container.manager": manager}}
    (write,) = (op for op in planned(document).ops if isinstance(op, WriteCgroup))
    assert (write.file, write.value) == ("pids.max", written)


def test_an_empty_home_is_none() -> None:
    document = put(default(), "/process/env", ["HOME=", "A="])
    last = planned(document).ops[-1]
    assert isinstance(last, Exec) and last.env == ["A="]

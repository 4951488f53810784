"""Resources: config.json's numbers (cgroup v1's in part) to the files of cgroup v2."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from minirun.plan.limits import io_weight, limits, weight

MEGA = 1 << 20


def written(resources: Any) -> list[tuple[str, str]]:
    return [(limit.file, limit.value) for limit in limits(resources)]


# runc 1.3.2 and crun 1.23 agree on these: the two ends, the default, and what docker's --cpu-shares give.
@pytest.mark.parametrize(("shares", "expected"), [(2, 1), (1024, 100), (262144, 10000), (1, 1), (512, 59), (2048, 174)])
def test_cpu_weight(shares: int, expected: int) -> None:
    assert weight(shares) == expected


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_cpu_weight_is_in_range_and_keeps_the_order(a: int, b: int) -> None:
    low, high = sorted((a, b))
    assert 1 <= weight(low) <= weight(high) <= 10000


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        ({"limit": 64 * MEGA}, [("memory.max", "67108864")]),
        ({"limit": -1}, [("memory.swap.max", "max"), ("memory.max", "max")]),
        ({"limit": -1, "swap": 5}, [("memory.swap.max", "5"), ("memory.max", "max")]),
        ({"limit": MEGA, "swap": 0}, [("memory.max", "1048576")]),
        ({"reservation": 0}, []),
        ({"limit": 0}, []),
        ({"reservation": MEGA}, [("memory.low", "1048576")]),
        ({"reservation": -1}, [("memory.low", "max")]),
        ({"limit": MEGA, "swap": 3 * MEGA}, [("memory.swap.max", "2097152"), ("memory.max", "1048576")]),
        ({"limit": MEGA, "swap": MEGA}, [("memory.swap.max", "0"), ("memory.max", "1048576")]),
        ({"limit": MEGA, "swap": -1}, [("memory.swap.max", "max"), ("memory.max", "1048576")]),
        ({"swap": -1}, [("memory.swap.max", "max")]),
        ({"limit": -1, "swap": -1}, [("memory.swap.max", "max"), ("memory.max", "max")]),
        ({"swap": 0, "limit": MEGA}, [("memory.max", "1048576")]),
        ({"swappiness": 10, "disableOOMKiller": True, "kernel": 5}, []),
    ],
)
def test_memory(memory: Any, expected: list[tuple[str, str]]) -> None:
    """Swap is memory plus swap in config.json, swap alone in v2."""
    assert written({"memory": memory}) == expected


@pytest.mark.parametrize(
    ("cpu", "expected"),
    [
        ({"shares": 1024}, [("cpu.weight", "100")]),
        ({"shares": 0}, []),
        ({"quota": 50000}, [("cpu.max", "50000 100000")]),
        ({"quota": 50000, "period": 20000}, [("cpu.max", "50000 20000")]),
        ({"quota": -1}, [("cpu.max", "max 100000")]),
        ({"quota": 0, "period": 20000}, [("cpu.max", "max 20000")]),
        ({"quota": 0, "period": 0, "shares": 0}, []),
        ({"quota": 50000, "period": 0}, [("cpu.max", "50000 100000")]),
        ({"quota": 50000, "burst": 9}, [("cpu.max", "50000 100000"), ("cpu.max.burst", "9")]),
        ({"quota": 50000, "burst": 0}, [("cpu.max.burst", "0"), ("cpu.max", "50000 100000")]),
        ({"idle": 1, "shares": 1024}, [("cpu.weight", "100"), ("cpu.idle", "1")]),
        ({"idle": 0, "shares": 1024}, [("cpu.idle", "0"), ("cpu.weight", "100")]),
        ({"period": 20000}, [("cpu.max", "max 20000")]),
        ({"burst": 1000}, [("cpu.max.burst", "1000")]),
        ({"idle": 1}, [("cpu.idle", "1")]),
        ({"cpus": "0-3,7", "mems": "0"}, [("cpuset.cpus", "0-3,7"), ("cpuset.mems", "0")]),
        ({"cpus": "", "mems": ""}, []),
    ],
)
def test_cpu(cpu: Any, expected: list[tuple[str, str]]) -> None:
    assert written({"cpu": cpu}) == expected


@pytest.mark.parametrize(
    ("now", "first"), [(0, "cpu.max"), (8, "cpu.max"), (9, "cpu.max.burst"), (99, "cpu.max.burst")]
)
def test_burst_is_never_above_the_quota_on_the_way(now: int, first: str) -> None:
    assert limits({"cpu": {"quota": 50, "burst": 9}}, now)[0].file == first


@pytest.mark.parametrize(("limit", "expected"), [(100, "100"), (-1, "max"), (0, "1"), (1, "1"), (-7, "max")])
def test_pids(limit: int, expected: str) -> None:
    """0 is a real limit since runtime-spec 1.3, and 1 is what runc makes of it; docker and podman send -1 for none."""
    assert written({"pids": {"limit": limit}}) == [("pids.max", expected)]


@pytest.mark.parametrize(("given", "expected"), [(10, 1), (1000, 10000), (500, 4950), (100, 910)])
def test_io_weight(given: int, expected: int) -> None:
    """The straight line of runc and crun."""
    assert io_weight(given) == expected


def test_what_a_kernel_may_lack_is_declared() -> None:
    """Where to, or that it may be left out: decided here, not on the way."""
    made = limits(
        {
            "blockIO": {"weight": 500, "weightDevice": [{"major": 8, "minor": 0, "weight": 10}]},
            "memory": {"limit": 5, "swap": 5},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 7}],
        }
    )
    found = [(limit.file, limit.instead, limit.instead_value, limit.optional) for limit in made]
    assert found == [
        ("memory.swap.max", "", "", True), ("memory.max", "", "", False),
        ("io.bfq.weight", "io.weight", "4950", False), ("io.bfq.weight", "io.weight", "8:0 1", False),
        ("hugetlb.2MB.max", "", "", False), ("hugetlb.2MB.rsvd.max", "", "", True),
    ]  # fmt: skip
    assert not limits({"memory": {"limit": 5, "swap": 6}})[0].optional, "a limit on swap that nobody counts is none"


def test_a_value_of_several_lines_is_several_writes() -> None:
    assert written({"unified": {"io.max": "8:0 rbps=1\n8:16 rbps=2\n", "cpuset.cpus": ""}}) == [
        ("io.max", "8:0 rbps=1"), ("io.max", "8:16 rbps=2"), ("cpuset.cpus", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"weight": 500}, [("io.bfq.weight", "500")]),
        ({"weight": 0}, []),
        ({"weightDevice": [{"major": 8, "minor": 0, "weight": 300}]}, [("io.bfq.weight", "8:0 300")]),
        ({"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 9}]}, [("io.max", "8:0 rbps=9")]),
        ({"throttleWriteBpsDevice": [{"major": 8, "minor": 1, "rate": 9}]}, [("io.max", "8:1 wbps=9")]),
        ({"throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 9}]}, [("io.max", "8:0 riops=9")]),
        ({"throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 0}]}, [("io.max", "8:0 wiops=max")]),
    ],
)
def test_block_io(block: Any, expected: list[tuple[str, str]]) -> None:
    assert written({"blockIO": block}) == expected


def test_the_rest() -> None:
    assert written({"hugepageLimits": [{"pageSize": "2MB", "limit": 7}]}) == [
        ("hugetlb.2MB.max", "7"),
        ("hugetlb.2MB.rsvd.max", "7"),
    ]
    assert written({"rdma": {"mlx5_0": {"hcaHandles": 3, "hcaObjects": 4}}}) == [
        ("rdma.max", "mlx5_0 hca_handle=3 hca_object=4")
    ]
    assert written({"rdma": {"mlx5_0": {"hcaObjects": 4}}}) == [("rdma.max", "mlx5_0 hca_object=4")]
    assert written({"rdma": {"mlx5_0": {}}}) == [] == written({})


def test_unified_comes_last_and_so_wins() -> None:
    """config-linux.md, Unified: written as it is, after what was converted."""
    assert written({"memory": {"limit": 5}, "unified": {"memory.max": "7", "memory.high": "6"}}) == [
        ("memory.max", "5"), ("memory.max", "7"), ("memory.high", "6"),
    ]  # fmt: skip


def test_every_write_knows_its_place_and_its_controller() -> None:
    made = limits(
        {
            "memory": {"limit": 5, "swap": 6, "reservation": 1},
            "cpu": {"shares": 2, "quota": 5, "cpus": "0"},
            "pids": {"limit": 3},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 7}],
            "blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 9}]},
            "unified": {"misc.max": "x 1"},
        }
    )
    assert [(limit.pointer.removeprefix("/linux/resources"), limit.controller) for limit in made] == [
        ("/memory/swap", "memory"), ("/memory/limit", "memory"), ("/memory/reservation", "memory"),
        ("/cpu/shares", "cpu"), ("/cpu/quota", "cpu"), ("/cpu/cpus", "cpuset"),
        ("/pids/limit", "pids"),
        ("/blockIO/throttleReadBpsDevice/0", "io"),
        ("/hugepageLimits/0", "hugetlb"), ("/hugepageLimits/0", "hugetlb"),
        ("/unified/misc.max", "misc"),
    ]  # fmt: skip

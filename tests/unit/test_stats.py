"""events --stats: the files of a cgroup, as a kernel with every controller shows them, in runc's JSON shape."""

from __future__ import annotations

from pathlib import Path

import pytest

from minirun.cgroups.stats import UNLIMITED, numbers, stats

FILES = {
    "cpu.stat": "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 5\nnr_throttled 2\nthrottled_usec 7\n"
    "nr_bursts 1\nburst_usec 4\n",
    "cpu.pressure": "some avg10=0.12 avg60=1.00 avg300=2.50 total=12345\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=6\n",
    "cpuset.cpus.effective": "0-2,7\n", "cpuset.mems.effective": "0\n",
    "memory.stat": "anon 100\nfile 50\nkernel 30\nsock 3\n",
    "memory.current": "180\n", "memory.max": "1000\n", "memory.peak": "200\n",
    "memory.events": "low 0\nhigh 0\nmax 4\noom 1\noom_kill 1\noom_group_kill 0\n",
    "memory.swap.current": "20\n", "memory.swap.max": "500\n", "memory.swap.events": "high 0\nmax 2\nfail 0\n",
    "pids.current": "3\n", "pids.max": "max\n",
    "io.stat": "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n"
    "253:1 rbytes=9 wbytes=0 rios=8 wios=0 dbytes=0 dios=0"
    " cost.usage=77\n",
    "hugetlb.2MB.current": "0\n", "hugetlb.2MB.rsvd.current": "4194304\n", "hugetlb.2MB.events": "max 3\n",
    "hugetlb.1GB.current": "0\n", "hugetlb.1GB.events": "max 0\n",
    "rdma.current": "mlx5_0 hca_handle=2 hca_object=3\n", "rdma.max": "mlx5_0 hca_handle=max hca_object=9\n",
    "misc.current": "sev 4\n", "misc.max": "sev max\n",
}  # fmt: skip


@pytest.fixture
def cgroup(tmp_path: Path) -> str:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return str(tmp_path)


def test_cpu(cgroup: str) -> None:
    """Nanoseconds; averages of the pressure in per cent."""
    found = stats(cgroup)
    assert found["cpu"] == {
        "usage": {"total": 30000, "kernel": 10000, "user": 20000},
        "throttling": {"periods": 5, "throttledPeriods": 2, "throttledTime": 7000},
        "burst": {"periods": 1, "time": 4000},
        "psi": {
            "some": {"avg10": 0.12, "avg60": 1.0, "avg300": 2.5, "total": 12345},
            "full": {"avg10": 0.0, "avg60": 0.0, "avg300": 0.0, "total": 6},
        },
    }
    assert found["cpuset"]["cpus"] == [0, 1, 2, 7] and found["cpuset"]["mems"] == [0]
    assert found["cpuset"]["cpu_exclusive"] == 0


def test_memory(cgroup: str) -> None:
    """Swap is shown together with the memory, as v1 counted it."""
    found = stats(cgroup)["memory"]
    assert found["cache"] == 50 and found["raw"]["anon"] == 100 and found["events"]["oom_kill"] == 1
    assert found["usage"] == {"limit": 1000, "usage": 180, "max": 200, "failcnt": 4}
    assert found["swap"] == {"limit": 1500, "usage": 200, "max": 0, "failcnt": 2}
    assert found["kernel"]["usage"] == 30 and found["kernelTCP"]["usage"] == 3


@pytest.mark.parametrize(("name", "limit"), [("memory.swap.max", UNLIMITED), ("memory.max", UNLIMITED)])
def test_no_limit(cgroup: str, name: str, limit: int) -> None:
    (Path(cgroup) / name).write_text("max\n")
    assert stats(cgroup)["memory"]["swap"]["limit"] == limit


def test_the_rest(cgroup: str) -> None:
    found = stats(cgroup)
    assert found["pids"] == {"current": 3, "limit": 0}
    assert found["hugetlb"] == {"2MB": {"usage": 4194304, "failcnt": 3}, "1GB": {"usage": 0, "failcnt": 0}}
    assert found["rdma"] == {
        "mlx5_0": {"current": {"hca_handle": 2, "hca_object": 3}, "max": {"hca_handle": UNLIMITED, "hca_object": 9}}
    }
    assert found["misc"] == {"sev": {"current": {"count": 4}, "max": {"count": UNLIMITED}}}
    assert found["intel_rdt"] == {} and found["network_interfaces"] is None


def test_io(cgroup: str) -> None:
    """By kind, a row for each device and direction."""
    found = stats(cgroup)["blkio"]
    rows = {member: [(r["major"], r["minor"], r["op"], r["value"]) for r in listed] for member, listed in found.items()}
    assert rows == {
        "ioServiceBytesRecursive": [
            (8, 0, "Read", 1), (8, 0, "Write", 2), (8, 0, "Discard", 5),
            (253, 1, "Read", 9), (253, 1, "Write", 0), (253, 1, "Discard", 0),
        ],
        "ioServicedRecursive": [
            (8, 0, "Read", 3), (8, 0, "Write", 4), (8, 0, "Discard", 6),
            (253, 1, "Read", 8), (253, 1, "Write", 0), (253, 1, "Discard", 0),
        ],
        "ioCostUsage": [(253, 1, "Count", 77)],
    }  # fmt: skip


def test_without_any_controller(tmp_path: Path) -> None:
    """Every member is there and 0; what would be empty is left out."""
    found = stats(str(tmp_path))
    assert found["memory"]["usage"] == {"limit": 0, "usage": 0, "max": 0, "failcnt": 0}
    assert found["blkio"] == {} == found["hugetlb"] and "rdma" not in found and "psi" not in found["cpu"]
    assert found["pids"] == {"current": 0, "limit": 0}


@pytest.mark.parametrize(("listed", "expected"), [("", []), ("0", [0]), ("0-1", [0, 1]), ("1,3-4,9", [1, 3, 4, 9])])
def test_numbers(listed: str, expected: list[int]) -> None:
    assert numbers(listed) == expected

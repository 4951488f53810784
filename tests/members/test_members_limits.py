"""/linux/resources: one test a member.  What a limit does is tested in tests/lab; here, that the member arrives."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Json
from tests.members.world import World

pytestmark = pytest.mark.needs("root", "busybox")
members = pytest.mark.members
lab = pytest.mark.lab
MEGA = 1 << 20
DISK = os.environ.get("MINIRUN_LAB_DISK", "")


def written(world: World, **sections: Any) -> Path:
    """The cgroup of a container with these limits."""
    world.resources(**sections)
    return world.group(world.started())


def read(group: Path, file: str) -> str:
    return (group / file).read_text().strip()


@members("/linux/resources/devices/allow", "/linux/resources/devices/type", "/linux/resources/devices/major",
         "/linux/resources/devices/minor", "/linux/resources/devices/access")  # fmt: skip
def test_device_rules(world: World) -> None:
    """Nothing may be made or opened but what a rule allows; the last one that speaks decides."""
    rule = {"type": "c", "major": 10, "minor": 229, "access": "m"}
    world.resources(
        devices=[{"allow": False, "access": "rwm"}, {"allow": True, **rule}, {"allow": False, **rule, "access": "r"}]
    )
    world.capabilities("CAP_MKNOD")
    world.mount("/tmp", "tmpfs", kind="tmpfs")
    assert world.ask("mknod /tmp/fuse c 10 229", "openrw /tmp/fuse")[1] == "EPERM"
    world.resources(devices=[{"allow": False, "access": "rwm"}, {"allow": True, **rule, "access": "rwm"}])
    assert world.ask("mknod /tmp/fuse c 10 229", "openrw /tmp/fuse")[1] == "ok"


@lab
@members("/linux/resources/memory/limit", "/linux/resources/memory/reservation", "/linux/resources/memory/swap")
def test_memory(world: World) -> None:
    """memory.max, memory.low, and swap alone in memory.swap.max."""
    group = written(world, memory={"limit": 64 * MEGA, "reservation": 32 * MEGA, "swap": 80 * MEGA})
    assert [read(group, f"memory.{name}") for name in ("max", "low", "swap.max")] == [
        str(n * MEGA) for n in (64, 32, 16)
    ]


@lab
@members("/linux/resources/memory/checkBeforeUpdate")
def test_memory_check_before_update(world: World) -> None:
    """A limit below what is in use is refused, and the old one stays."""
    world.resources(memory={"limit": 64 * MEGA})
    name = world.started("/probe", "memhog", str(16 * MEGA), "--", "pause")
    group = world.group(name)
    while int(read(group, "memory.current")) < 16 * MEGA:
        pass
    file = world.place / "resources.json"
    file.write_text('{"memory": {"limit": 4194304, "checkBeforeUpdate": true}}')
    assert world.runtime("update", "--resources", file, name).returncode != 0
    assert read(group, "memory.max") == str(64 * MEGA)


@members("/linux/resources/memory/useHierarchy")
def test_memory_hierarchy(world: World) -> None:
    """v2 always is one: there is nothing to do."""
    world.resources(memory={"useHierarchy": True})
    assert world.ask("pid") == ["1"]


V1: dict[str, Json] = {
    "/linux/resources/memory/kernel": {"memory": {"kernel": MEGA}},
    "/linux/resources/memory/kernelTCP": {"memory": {"kernelTCP": MEGA}},
    "/linux/resources/memory/swappiness": {"memory": {"swappiness": 10}},
    "/linux/resources/memory/disableOOMKiller": {"memory": {"disableOOMKiller": True}},
    "/linux/resources/cpu/realtimeRuntime": {"cpu": {"realtimeRuntime": 950000}},
    "/linux/resources/cpu/realtimePeriod": {"cpu": {"realtimePeriod": 1000000}},
    "/linux/resources/blockIO/leafWeight": {"blockIO": {"leafWeight": 300}},
    "/linux/resources/network": {"network": {"classID": 5, "priorities": [{"name": "lo", "priority": 5}]}},
}


@pytest.mark.parametrize("pointer", [pytest.param(name, marks=members(name), id=name.split("/", 3)[3]) for name in V1])
def test_of_cgroup_v1_alone(world: World, pointer: str) -> None:
    """A limit that v2 does not have is refused, not forgotten."""
    world.resources(**V1[pointer])
    world.refused(pointer)


@lab
@members("/linux/resources/cpu/shares", "/linux/resources/cpu/quota", "/linux/resources/cpu/period")
def test_cpu(world: World) -> None:
    """cpu.weight by the curve of runc 1.3.2 and crun 1.23, cpu.max."""
    group = written(world, cpu={"shares": 1024, "quota": 20000, "period": 50000})
    assert [read(group, "cpu.weight"), read(group, "cpu.max")] == ["100", "20000 50000"]


@lab
@members("/linux/resources/cpu/burst")
def test_cpu_burst(world: World) -> None:
    """cpu.max.burst, within the quota."""
    group = written(world, cpu={"quota": 20000, "period": 50000, "burst": 7000})
    assert read(group, "cpu.max.burst") == "7000"


@lab
@members("/linux/resources/cpu/idle")
def test_cpu_idle(world: World) -> None:
    """cpu.idle."""
    assert read(written(world, cpu={"idle": 1}), "cpu.idle") == "1"


@lab
@members("/linux/resources/cpu/cpus", "/linux/resources/cpu/mems")
def test_cpuset(world: World) -> None:
    """One CPU of two, the only memory node."""
    group = written(world, cpu={"cpus": "1", "mems": "0"})
    assert [read(group, "cpuset.cpus"), read(group, "cpuset.mems")] == ["1", "0"]


@lab
@pytest.mark.parametrize(("limit", "shown"), [(7, "7"), (-1, "max")])
@members("/linux/resources/pids/limit")
def test_pids(world: World, limit: int, shown: str) -> None:
    """pids.max; a negative number is none."""
    assert read(written(world, pids={"limit": limit}), "pids.max") == shown


@lab
@members("/linux/resources/blockIO/weight")
def test_block_weight(world: World) -> None:
    """io.weight, on its own scale, where the kernel has no io.bfq.weight."""
    assert read(written(world, blockIO={"weight": 500}), "io.weight").startswith("default 4950")


@lab
@pytest.mark.skipif(not DISK, reason="no disk in MINIRUN_LAB_DISK")
@members("/linux/resources/blockIO/weightDevice")
def test_block_weight_of_a_device(world: World) -> None:
    """io.weight of one device, or an error where only the BFQ scheduler could have one."""
    device = os.stat(DISK).st_dev
    numbers = {"major": os.major(device), "minor": os.minor(device)}
    world.resources(blockIO={"weightDevice": [{**numbers, "weight": 100}]})
    if world.ends("/probe", "pid").returncode:
        world.refused("/linux/resources/blockIO/weightDevice")
    else:
        shown = read(world.group(world.started()), "io.weight")
        assert f"{numbers['major']}:{numbers['minor']} 910" in shown


@lab
@pytest.mark.skipif(not DISK, reason="no disk in MINIRUN_LAB_DISK")
@members(
    *(f"/linux/resources/blockIO/throttle{kind}Device" for kind in ("ReadBps", "WriteBps", "ReadIOPS", "WriteIOPS"))
)
def test_block_throttle(world: World) -> None:
    """All four in one line of io.max."""
    device = os.stat(DISK).st_dev
    numbers = {"major": os.major(device), "minor": os.minor(device)}
    kinds = {"ReadBps": MEGA, "WriteBps": 2 * MEGA, "ReadIOPS": 30, "WriteIOPS": 40}
    group = written(
        world, blockIO={f"throttle{kind}Device": [{**numbers, "rate": rate}] for kind, rate in kinds.items()}
    )
    assert "rbps=1048576 wbps=2097152 riops=30 wiops=40" in read(group, "io.max")


@members("/linux/resources/hugepageLimits/pageSize", "/linux/resources/hugepageLimits/limit")
def test_hugepages(world: World) -> None:
    """hugetlb.2MB.max."""
    assert read(written(world, hugepageLimits=[{"pageSize": "2MB", "limit": 4 * MEGA}]), "hugetlb.2MB.max") == str(
        4 * MEGA
    )


@lab
@members("/linux/resources/rdma")
def test_rdma(world: World) -> None:
    """A device that is not there cannot be limited: the kernel's word, as an error."""
    world.resources(rdma={"mlx5_9": {"hcaHandles": 3, "hcaObjects": 10000}})
    world.refused("/linux/resources/rdma")


@lab
@members("/linux/resources/unified")
def test_unified(world: World) -> None:
    """The file of that name, whose controller is switched on for it."""
    group = written(world, unified={"memory.high": str(40 * MEGA), "pids.max": "77"})
    assert [read(group, "memory.high"), read(group, "pids.max")] == [str(40 * MEGA), "77"]

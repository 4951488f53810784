"""CPU limits, by what they do: shares of one CPU, measured by the kernel; which CPU; who stands still."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.conftest import Bundle, Json, Runtime
from tests.integration.seen import status_of, wait_for
from tests.lab.groups import during, exit_code, started, usage, value

pytestmark = [pytest.mark.lab, pytest.mark.needs("root", "busybox")]

SPIN = ("/probe", "spin", "600")
SECONDS = 3.0


def test_quota_halves(minirun: Runtime, bundle: Bundle) -> None:
    """Half of a period, then wait; an unlimited one on the other CPU does not."""
    pinned: Json = {"cpu": {"cpus": "0", "quota": 50000, "period": 100000}}
    _, limited = started(minirun, bundle, pinned, *SPIN)
    _, free = started(minirun, bundle, {"cpu": {"cpus": "1"}}, *SPIN)
    wait_for(lambda: usage(limited) > 100000 and usage(free) > 100000)
    half, whole = during(SECONDS, limited, free)
    assert 0.35 < half < 0.65 < whole
    assert value(limited, "cpu.stat", "nr_throttled") > 5


def test_weight_divides(minirun: Runtime, bundle: Bundle) -> None:
    """Two on one CPU, their weights 1 to 3."""
    shares: list[Json] = [{"cpus": "1", "shares": 1024}, {"cpus": "1"}]
    (_, one), (_, three) = (
        started(minirun, bundle, {"cpu": cpu, "unified": unified}, *SPIN)
        for cpu, unified in zip(shares, ({}, {"cpu.weight": "300"}), strict=True)
    )
    wait_for(lambda: usage(one) > 100000 and usage(three) > 100000)
    small, large = during(SECONDS, one, three)
    assert 3 * 0.8 < large / small < 3 * 1.2


def test_idle_stands_back(minirun: Runtime, bundle: Bundle) -> None:
    name, idle = started(minirun, bundle, {"cpu": {"cpus": "1", "idle": 1, "shares": 1024}}, *SPIN)
    _, busy = started(minirun, bundle, {"cpu": {"cpus": "1"}}, *SPIN)
    wait_for(lambda: usage(busy) > 100000)
    most, least = during(SECONDS, busy, idle)
    assert least < 0.15 and most > 0.7
    assert minirun("update", "--cpu-idle=0", "--cpu-share=1024", name).returncode == 0
    assert (idle / "cpu.idle").read_text() == "0\n" and value(idle, "cpu.weight") == 100


def test_burst_and_quota_in_any_direction(minirun: Runtime, bundle: Bundle) -> None:
    """The burst may never be above the quota, not even between two writes."""
    name, group = started(minirun, bundle, {"cpu": {"quota": 20000, "burst": 20000}}, "/probe", "pause")
    for quota, burst in ((90000, 90000), (60000, 5)):
        done = minirun("update", f"--cpu-quota={quota}", f"--cpu-burst={burst}", name)
        assert done.returncode == 0, done.stderr
        assert (group / "cpu.max").read_text() == f"{quota} 100000\n" and value(group, "cpu.max.burst") == burst
    assert minirun("update", "--cpu-period=50000", name).returncode == 0
    assert (group / "cpu.max").read_text() == "60000 50000\n"
    assert minirun("update", "--cpu-quota=-1", name).returncode == 0
    assert (group / "cpu.max").read_text() == "max 50000\n"


def test_cpuset_pins(minirun: Runtime, bundle: Bundle) -> None:
    code, text = exit_code(minirun, bundle, {"cpu": {"cpus": "1", "mems": "0"}}, "/probe", "status")
    assert code == 0 and status_of(text)["Cpus_allowed_list"] == "1"


def test_partition(minirun: Runtime, bundle: Bundle) -> None:
    """The kernel takes the word and calls it invalid, since the directory above is no partition: refused, explained."""
    limits: Json = {"cpu": {"cpus": "1"}, "unified": {"cpuset.cpus.partition": "root"}}
    bundle.config["linux"]["resources"] = limits
    done = minirun.run(bundle)
    assert done.returncode == 125 and "a partition needs CPUs of its own" in done.stderr
    assert "/linux/resources/unified/cpuset.cpus.partition" in done.stderr and "EINVAL" in done.stderr
    bundle.config["linux"]["cgroupsPath"] = "/minirun-partition"  # below the root, which always is one
    name = minirun.start(bundle.args("/probe", "pause"))
    group = Path("/sys/fs/cgroup/minirun-partition")
    assert (group / "cpuset.cpus.partition").read_text() == "root\n"
    others = Path("/sys/fs/cgroup/cpuset.cpus.effective")
    assert others.read_text() == "0\n", "nobody else's any more"
    minirun("delete", "--force", name)
    wait_for(lambda: others.read_text() == "0-1\n")  # the kernel takes a removed cgroup offline when it comes to it


def test_pause_stops_and_resume_goes_on(minirun: Runtime, bundle: Bundle) -> None:
    name, group = started(minirun, bundle, {}, *SPIN)
    wait_for(lambda: usage(group) > 0)
    assert minirun("pause", name).returncode == 0
    still = usage(group)
    time.sleep(1)
    assert usage(group) == still
    assert minirun("resume", name).returncode == 0
    wait_for(lambda: usage(group) > still)

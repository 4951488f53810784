"""Processes, disks, huge pages and devices: limits, by what they do."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Bundle, Json, Runtime
from tests.integration.seen import ask, ask_in, mark, wait_for
from tests.lab.groups import MEGA, exit_code, started, value

pytestmark = [pytest.mark.lab, pytest.mark.needs("root", "busybox")]

DISK = os.environ.get("MINIRUN_LAB_DISK", "")
TWO_MB = 2 * MEGA


@pytest.mark.parametrize(("limit", "made"), [(10, "9\n"), (1, "0\n"), (0, "0\n"), (-1, "30\n")])
def test_pids(minirun: Runtime, bundle: Bundle, limit: int, made: str) -> None:
    """The program itself is one of them; none at all lets it in and no other."""
    assert exit_code(minirun, bundle, {"pids": {"limit": limit}}, "/probe", "forkbomb", "30") == (0, made)


def test_pids_of_a_running_one(minirun: Runtime, bundle: Bundle) -> None:
    """update, and an exec that finds no room."""
    mark(bundle)
    name, group = started(minirun, bundle, {}, "/probe", "pause")
    assert minirun("update", "--pids-limit=3", name).returncode == 0
    assert ask_in(minirun, name, "forkbomb 9") == ["1"]
    assert minirun("update", "--pids-limit=1", name).returncode == 0
    done = minirun("exec", name, "/probe", "true")
    assert done.returncode != 0 and "EAGAIN" in done.stderr and "pids.max" in done.stderr
    assert value(group, "pids.current") == 1


def test_kill_frees_a_thousand_at_once(minirun: Runtime, bundle: Bundle) -> None:
    name, group = started(minirun, bundle, {}, "/probe", "forkbomb", "999", "--", "pause")
    wait_for(lambda: value(group, "pids.current") == 1000 if (group / "pids.current").exists() else
             len((group / "cgroup.procs").read_text().split()) == 1000, 50)  # fmt: skip
    began = time.monotonic()
    assert minirun("kill", "--all", name, "KILL").returncode == 0
    wait_for(lambda: "populated 0" in (group / "cgroup.events").read_text(), 30)
    assert time.monotonic() - began < 20
    assert minirun("delete", name).returncode == 0 and not group.exists()


@pytest.mark.skipif(not DISK, reason="no disk in MINIRUN_LAB_DISK")
def test_io_max_throttles(minirun: Runtime, bundle: Bundle) -> None:
    """Two MiB at half a MiB a second; what io.stat counts is in the numbers of events."""
    device = os.stat(DISK).st_dev
    numbers = {"major": os.major(device), "minor": os.minor(device)}
    bundle.config["mounts"].append({"destination": "/disk", "source": DISK, "type": "bind", "options": ["bind"]})
    write = ("/probe", "diskwrite", "/disk/file", str(2 * MEGA))
    code, free = exit_code(minirun, bundle, {}, *write)
    assert code == 0
    slow: Json = {"blockIO": {"throttleWriteBpsDevice": [{**numbers, "rate": MEGA // 2}]}}
    code, throttled = exit_code(minirun, bundle, slow, *write)
    assert code == 0 and int(throttled) > 3000 > int(free), f"{free} ms unlimited, {throttled} ms throttled"
    Path(DISK, "file").unlink()


def test_io_weight_without_bfq(minirun: Runtime, bundle: Bundle) -> None:
    """The lab's kernel has no io.bfq.weight: the other file takes it, on its own scale."""
    name, group = started(minirun, bundle, {"blockIO": {"weight": 500}}, "/probe", "pause")
    assert not (group / "io.bfq.weight").exists() and (group / "io.weight").read_text() == "default 4950\n"
    assert minirun("update", "--blkio-weight=10", name).returncode == 0
    assert (group / "io.weight").read_text() == "default 1\n"


@pytest.fixture
def pages() -> Iterator[None]:
    pool = Path("/proc/sys/vm/nr_hugepages")
    pool.write_text("8")
    yield
    pool.write_text("0")


def test_hugetlb(minirun: Runtime, bundle: Bundle, pages: None) -> None:
    """The reservation is refused, so nobody gets a SIGBUS later."""
    limits: Json = {"hugepageLimits": [{"pageSize": "2MB", "limit": 2 * TWO_MB}]}
    assert exit_code(minirun, bundle, limits, "/probe", "hugepage", "2") == (0, "touched\n")
    assert exit_code(minirun, bundle, limits, "/probe", "hugepage", "3") == (0, "ENOMEM\n")
    assert exit_code(minirun, bundle, {}, "/probe", "hugepage", "3") == (0, "touched\n")


@pytest.mark.skipif(not DISK, reason="no disk in MINIRUN_LAB_DISK")
def test_devices(minirun: Runtime, bundle: Bundle) -> None:
    """A real disk: out of reach, until a rule says otherwise."""
    device = os.stat(DISK).st_dev
    major, minor = os.major(device), os.minor(device)
    bundle.config["process"]["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), ["CAP_MKNOD"])
    for mount in bundle.config["mounts"]:
        if mount["destination"] == "/dev/shm":
            mount["options"].remove("nodev")
    tried = (f"mknod /dev/shm/disk b {major} {minor}", "openrw /dev/shm/disk")
    assert ask(minirun, bundle, *tried)[1] == "EPERM"
    rule = {"allow": True, "type": "b", "major": major, "minor": minor, "access": "rw"}
    bundle.config["linux"]["resources"]["devices"].append(rule)
    assert ask(minirun, bundle, *tried)[1] == "ok"


def test_every_controller_comes_along(minirun: Runtime, bundle: Bundle) -> None:
    """Without a limit: statistics have memory, and what the container makes below itself has all there is."""
    name, group = started(minirun, bundle, {}, "/probe", "pause")
    offered = Path("/sys/fs/cgroup/cgroup.controllers").read_text()
    assert (group / "cgroup.controllers").read_text() == offered and "memory" in offered
    stats = json.loads(minirun("events", "--stats", name).stdout)
    assert stats["data"]["memory"]["usage"]["usage"] > 0

"""The lab is what it says: pure cgroup v2 with every controller, a KVM, a disk, and a root that forgets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import Bundle, Runtime

pytestmark = [pytest.mark.lab, pytest.mark.needs("root", "busybox")]


def test_what_the_lab_has() -> None:
    controllers = Path("/sys/fs/cgroup/cgroup.controllers").read_text().split()
    assert {"cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"} <= set(controllers)
    assert os.access("/dev/kvm", os.R_OK | os.W_OK)
    assert os.path.ismount(os.environ["MINIRUN_LAB_DISK"])


def test_a_container_with_limits(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    bundle.config["linux"]["resources"] |= {
        "memory": {"limit": 64 << 20, "swap": 64 << 20}, "cpu": {"shares": 1024}, "pids": {"limit": 20},
    }  # fmt: skip
    name = minirun.start(bundle.args("/probe", "pause"))
    group = Path("/sys/fs/cgroup/minirun") / name
    files = {"memory.max": "67108864", "memory.swap.max": "0", "cpu.weight": "100", "pids.max": "20"}
    assert {file: (group / file).read_text().strip() for file in files} == files
    assert minirun("delete", "--force", name).returncode == 0

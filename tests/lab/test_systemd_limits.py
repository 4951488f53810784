"""--systemd-cgroup where every controller is there: a limit is a file and a property of the unit, and stays both.

What needs no controller is tested on any host, in tests/integration/test_systemd_driver.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.conftest import Bundle, Json, Runtime
from tests.integration.booted import Booted
from tests.integration.test_systemd_driver import (  # noqa: F401 (fixtures)
    directory,
    minirun,
    systemd,
    until,
)

pytestmark = [pytest.mark.lab_systemd, pytest.mark.needs("root", "busybox", "systemd")]

LIMITS: Json = {
    "memory": {"limit": 64 << 20, "swap": 96 << 20, "reservation": 32 << 20},
    "cpu": {"shares": 512, "quota": 25000, "period": 50000, "cpus": "0", "mems": "0"},
    "pids": {"limit": 50},
    "blockIO": {"throttleReadBpsDevice": [{"major": 254, "minor": 0, "rate": 1 << 20}]},
    "unified": {"memory.high": "62914560"},
}
FILES = {
    "memory.max": "67108864", "memory.swap.max": "33554432", "memory.low": "33554432", "memory.high": "62914560",
    "cpu.weight": "59", "cpu.max": "25000 50000", "cpuset.cpus": "0", "cpuset.mems": "0", "pids.max": "50",
    "io.max": "254:0 rbps=1048576 wbps=max riops=max wiops=max",
}  # fmt: skip
PROPERTIES = {
    "MemoryMax": "67108864", "MemorySwapMax": "33554432", "MemoryLow": "33554432", "MemoryHigh": "62914560",
    "CPUWeight": "59", "CPUQuotaPerSecUSec": "500ms", "CPUQuotaPeriodUSec": "50ms", "AllowedCPUs": "0",
    "AllowedMemoryNodes": "0", "TasksMax": "50",
}  # fmt: skip


def files(home: Path, names: Iterable[str]) -> dict[str, str]:
    return {name: (home / name).read_text().strip() for name in names}


def properties(systemd: Booted, name: str, names: Iterable[str]) -> dict[str, str]:  # noqa: F811
    wanted = ",".join(names)
    lines = systemd("systemctl", "show", "-p", wanted, f"minirun-{name}.scope").stdout.splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_limits_are_files_and_properties(systemd: Booted, minirun: Runtime, bundle: Bundle) -> None:  # noqa: F811
    """And systemd, reloaded, does not take back what has no property."""
    bundle.config["linux"]["resources"] |= LIMITS
    name = minirun.start(bundle.args("/probe", "pause"))
    home = directory(systemd, name)
    assert files(home, FILES) == FILES
    assert properties(systemd, name, PROPERTIES) == PROPERTIES
    systemd("systemctl", "daemon-reload")
    assert files(home, FILES) == FILES


def test_update_tells_systemd(systemd: Booted, minirun: Runtime, bundle: Bundle) -> None:  # noqa: F811
    name = minirun.start(bundle.args("/probe", "pause"))
    home = directory(systemd, name)
    flags = ("--memory", "134217728", "--pids-limit", "-1", "--cpu-quota", "20000", "--cpuset-cpus", "1")
    done = minirun("update", *flags, name)
    assert done.returncode == 0, done.stderr
    expected = {"memory.max": "134217728", "pids.max": "max", "cpu.max": "20000 100000", "cpuset.cpus": "1"}
    told = {"MemoryMax": "134217728", "TasksMax": "infinity", "CPUQuotaPerSecUSec": "200ms", "AllowedCPUs": "1"}
    assert files(home, expected) == expected
    assert properties(systemd, name, told) == told
    systemd("systemctl", "daemon-reload")
    assert files(home, expected) == expected


def test_a_refused_update_is_taken_back_from_systemd_too(systemd: Booted, minirun: Runtime, bundle: Bundle) -> None:  # noqa: F811
    bundle.config["linux"]["resources"]["pids"] = {"limit": 50}
    name = minirun.start(bundle.args("/probe", "pause"))
    wrong = {"pids": {"limit": 7}, "unified": {"memory.high": "much"}}
    done = minirun("update", "-r", "-", name, stdin=None, input=json.dumps(wrong))
    assert done.returncode == 125 and "/linux/resources/unified/memory.high" in done.stderr
    assert files(directory(systemd, name), ["pids.max"]) == {"pids.max": "50"}
    assert properties(systemd, name, ["TasksMax"]) == {"TasksMax": "50"}


def test_killed_for_memory_and_made_again(systemd: Booted, minirun: Runtime, bundle: Bundle) -> None:  # noqa: F811
    """systemd remembers that the scope failed (oom-kill); delete makes it forget, so that the name is free again."""
    bundle.config["linux"]["resources"]["memory"] = {"limit": 16 << 20, "swap": 16 << 20}
    name = minirun.start(bundle.args("/bin/sh", "-c", "x=1234567890123456; while :; do x=$x$x; done"))
    assert until(lambda: minirun.state(name)["status"] == "stopped", 30)
    assert minirun("delete", name).returncode == 0
    assert not systemd.loaded(f"minirun-{name}.scope")
    again = minirun("run", "-b", bundle.args("/bin/echo", "again").write(), name)
    assert (again.returncode, again.stdout) == (0, "again\n"), again.stderr

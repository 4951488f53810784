"""A limit of the CPU holds under every isolation: the kernel of the host holds back the program, or its machine.

In the lab for both, because this takes a cgroup with the cpu controller.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Bundle
from tests.integration.seen import wait_for
from tests.vm.both import Isolated

pytestmark = [pytest.mark.lab, pytest.mark.needs("root", "busybox")]


def test_cpu_quota(isolated: Isolated, bundle: Bundle) -> None:
    bundle.config["linux"].setdefault("resources", {})["cpu"] = {"quota": 20000, "period": 100000}
    name = isolated.start(bundle.args("/bin/sh", "-c", "while :; do :; done"))
    cgroup = Path("/sys/fs/cgroup/minirun") / name
    assert (cgroup / "cpu.max").read_text() == "20000 100000\n"

    def held_back() -> bool:
        stat = dict(line.split() for line in (cgroup / "cpu.stat").read_text().splitlines())
        return int(stat["nr_throttled"]) > 0

    wait_for(held_back)
    assert isolated("kill", name, "KILL").returncode == 0

"""A limit of the CPU holds under every isolation: the program sees it, and is held back by it.

In the lab for both, because this takes a cgroup with the cpu controller.
"""

from __future__ import annotations

import pytest

from tests.conftest import Bundle
from tests.vm.both import Isolated

pytestmark = [pytest.mark.lab, pytest.mark.needs("root", "busybox")]
BUSY = "cat /sys/fs/cgroup/cpu.max; n=0; while [ $n -lt 20000 ]; do n=$((n + 1)); done; cat /sys/fs/cgroup/cpu.stat"


def test_cpu_quota(isolated: Isolated, bundle: Bundle) -> None:
    bundle.config["linux"].setdefault("resources", {})["cpu"] = {"quota": 20000, "period": 100000}
    bundle.config["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup2", "source": "cgroup2"})
    done = isolated.run(bundle.args("/bin/sh", "-c", BUSY))
    assert done.returncode == 0, done.stderr
    first, *stat = done.stdout.splitlines()
    assert first == "20000 100000"
    assert int(dict(line.split() for line in stat)["nr_throttled"]) > 0

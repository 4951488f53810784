"""The memory and the processes of a sandbox's program are counted where a container's are: in its cgroup.

In the lab, because this takes a cgroup with the memory and pids controllers.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Bundle
from tests.vm.both import Isolated

pytestmark = [pytest.mark.lab, pytest.mark.needs("root", "busybox", "kvm")]


def test_memory_of_the_program_is_counted(tmp_path: Path, bundle: Bundle) -> None:
    """Its page tables, too; and more than there may be is the end of the program, not of anybody else."""
    runtime = Isolated(tmp_path / "state", "sandbox")
    bundle.config["linux"].setdefault("resources", {})["memory"] = {"limit": 96 << 20, "swap": 96 << 20}
    assert runtime.run(bundle.args("/probe", "memhog", str(8 << 20))).returncode == 0
    assert runtime.run(bundle.args("/probe", "memhog", str(256 << 20))).returncode == 137


def test_a_fork_bomb_meets_its_limit(tmp_path: Path, bundle: Bundle) -> None:
    runtime = Isolated(tmp_path / "state", "sandbox")
    bundle.config["linux"].setdefault("resources", {})["pids"] = {"limit": 12}
    script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do sleep 5 & done; echo end"
    done = runtime.run(bundle.args("/bin/sh", "-c", script))
    assert "can't fork: Resource temporarily unavailable" in done.stderr, done

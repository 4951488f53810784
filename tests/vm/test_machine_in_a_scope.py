"""A machine under systemd: its VMM is the scope's process, the limits are those of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Bundle
from tests.vm.both import Isolated

pytestmark = [pytest.mark.lab_systemd, pytest.mark.needs("root", "busybox", "compiler", "guest")]
MEGA = 1 << 20


def test_the_scope_is_around_the_vmm(tmp_path: Path, bundle: Bundle) -> None:
    """It exists before its cgroup does, and touches no memory until that has its limits."""
    machine = Isolated(tmp_path / "state", "vm")
    bundle.config["linux"]["resources"]["memory"] = {"limit": 64 * MEGA}
    name = machine.name()
    bundle.args("/bin/sleep", "1000").write()
    with open(bundle.path / "out", "wb") as out:
        words = ("--systemd-cgroup", "run", "-d", "-b", bundle.path, name)
        done = machine(*words, capture_output=False, stdout=out, stderr=out)
    try:
        assert done.returncode == 0, (bundle.path / "out").read_text()
        path = Path(f"/proc/{machine.state(name)['pid']}/cgroup").read_text().strip().partition("0::")[2]
        assert path == f"/system.slice/minirun-{name}.scope"
        assert int(Path(f"/sys/fs/cgroup{path}/memory.max").read_text()) == (64 + 96 + 96) * MEGA
        assert int(Path(f"/sys/fs/cgroup{path}/memory.current").read_text()) > 32 * MEGA, "the guest's is counted"
        assert machine("exec", name, "/bin/cat", "/sys/fs/cgroup/memory.max").stdout == f"{64 * MEGA}\n"
        assert machine("pause", name).returncode == 0 and machine.state(name)["status"] == "paused"
        assert machine("resume", name).returncode == 0
    finally:
        assert machine("delete", "--force", name).returncode == 0

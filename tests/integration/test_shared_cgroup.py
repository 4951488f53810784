"""Two containers with the same cgroupsPath: the second is refused, and whatever happens to it, the first lives."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from minirun.cgroups import tree
from minirun.facts import find_cgroup_root
from tests.conftest import Bundle, Runtime
from tests.integration.seen import wait_for

pytestmark = pytest.mark.needs("root", "busybox")


def shared(bundle: Bundle, path: str) -> Path:
    bundle.args("/probe", "pause").config["linux"]["cgroupsPath"] = path
    return Path(find_cgroup_root() + path)


def test_second_is_refused(minirun: Runtime, bundle: Bundle) -> None:
    path = f"/minirun-test-{os.getpid()}/one"
    directory = shared(bundle, path)
    first = minirun.start(bundle)
    done = minirun("create", "-b", bundle.write(), minirun.name())
    assert done.returncode == 125 and "/linux/cgroupsPath" in done.stderr
    assert minirun.state(first)["status"] == "running"
    assert tree.owner(str(directory)) == str(minirun.root / first)
    minirun("delete", "--force", first)
    assert not directory.parent.exists()


def test_a_stopped_one_keeps_its_claim(minirun: Runtime, bundle: Bundle) -> None:
    """Its cgroup is empty, but its delete is still to come: it must not hit somebody who moved in."""
    shared(bundle, f"/minirun-test-{os.getpid()}/two")
    first = minirun.start(bundle)
    minirun("kill", first, "KILL")
    wait_for(lambda: minirun.state(first)["status"] == "stopped")
    done = minirun("create", "-b", bundle.write(), minirun.name())
    assert done.returncode == 125 and "belongs to another container" in done.stderr
    minirun("delete", first)
    second = minirun.start(bundle)
    assert minirun.state(second)["status"] == "running"


def test_delete_of_a_killed_create_spares_the_owner(minirun: Runtime, bundle: Bundle) -> None:
    """A create that was killed had only written down which cgroup it was going to take."""
    path = f"/minirun-test-{os.getpid()}/three"
    directory = shared(bundle, path)
    first = minirun.start(bundle)
    ghost = minirun.name()
    entry = minirun.root / ghost
    entry.mkdir(mode=0o700)
    state = json.loads((minirun.root / first / "state.json").read_text())
    state |= {"id": ghost, "claim": str(entry), "pid": 0, "startTime": 0, "complete": False}
    (entry / "creating.json").write_text(json.dumps(state))
    assert minirun("delete", "--force", ghost).returncode == 0
    assert not entry.exists() and directory.exists()
    assert minirun.state(first)["status"] == "running"


def test_a_cgroup_with_strangers_is_refused(minirun: Runtime, bundle: Bundle) -> None:
    """Somebody's processes are in it: neither limited nor, later, killed."""
    directory = shared(bundle, f"/minirun-test-{os.getpid()}")
    directory.mkdir()
    stranger = subprocess.Popen(["sleep", "100"])
    try:
        (directory / "cgroup.procs").write_text(str(stranger.pid))
        done = minirun("create", "-b", bundle.write(), minirun.name())
        assert done.returncode == 125 and "has processes" in done.stderr
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
        tree.wait_event(str(directory), "populated 0", 5)
        directory.rmdir()

"""Memory limits, by what they do: who is killed, who is slowed down, who is told."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Bundle, Json, Runtime, run
from tests.integration.seen import wait_for
from tests.lab.groups import MEGA, exit_code, started, value

pytestmark = [pytest.mark.lab, pytest.mark.needs("root", "busybox")]

HOG = ("/probe", "memhog", str(64 * MEGA))
# The hog is a child: init lives on, and can be looked at.
CHILD = ("/bin/sh", "-c", "/bin/sleep 1; /probe memhog 67108864; /probe pause")


def test_max_kills(minirun: Runtime, bundle: Bundle) -> None:
    assert exit_code(minirun, bundle, {"memory": {"limit": 32 * MEGA}}, *HOG) == (137, "")
    assert exit_code(minirun, bundle, {"memory": {"limit": 96 * MEGA}}, *HOG) == (0, "touched\n")


def test_events_tells_at_once(minirun: Runtime, bundle: Bundle) -> None:
    """With an hour between two looks at the clock: it is the kernel that wakes it."""
    name, group = started(minirun, bundle, {"memory": {"limit": 32 * MEGA}}, *CHILD)
    argv = [str(minirun.program), "--root", str(minirun.root), "events", "--interval", "1h", name]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as events:
        assert events.stdout is not None
        assert select.select([events.stdout], [], [], 30)[0], "no line in half a minute"
        assert json.loads(events.stdout.readline()) == {"type": "oom", "id": name}
        assert value(group, "memory.events", "oom_kill") == 1
        assert minirun.state(name)["status"] == "running"
        row = json.loads(minirun("events", "--stats", name).stdout)["data"]["memory"]
        assert row["events"]["oom_kill"] == 1 and row["usage"]["limit"] == 32 * MEGA and row["usage"]["failcnt"] > 0
        minirun("kill", name, "KILL")
        assert events.wait(30) == 0


def test_oom_group_kills_all(minirun: Runtime, bundle: Bundle) -> None:
    limits: Json = {"memory": {"limit": 32 * MEGA}, "unified": {"memory.oom.group": "1"}}
    name, _ = started(minirun, bundle, limits, *CHILD)
    wait_for(lambda: minirun.state(name)["status"] == "stopped", 30)


def test_high_slows_down(minirun: Runtime, bundle: Bundle) -> None:
    """Beyond memory.high nobody is killed, but everybody waits: the hog is not through when others long are."""
    name, group = started(minirun, bundle, {"unified": {"memory.high": str(16 * MEGA)}}, *HOG, "--", "pause")
    wait_for(lambda: value(group, "memory.events", "high"), 30)
    time.sleep(1)
    assert value(group, "memory.current") < 48 * MEGA
    assert value(group, "memory.events", "oom_kill") == 0 and minirun.state(name)["status"] == "running"


@pytest.fixture
def swap() -> Iterator[None]:
    """A swap file on the lab's disk."""
    if "MINIRUN_LAB_DISK" not in os.environ:
        pytest.skip("no disk")
    file = Path(os.environ["MINIRUN_LAB_DISK"]) / "swap"
    for words in (("fallocate", "-l", "128M", file), ("chmod", "600", file), ("mkswap", file), ("swapon", file)):
        done = run(*words, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        assert done.returncode == 0, done.stderr
    yield
    run("/sbin/swapoff", file)
    file.unlink()


def test_swap(minirun: Runtime, bundle: Bundle, swap: None) -> None:
    """Memory plus swap is what is given: the same as the memory is no swap at all."""
    some: Json = {"memory": {"limit": 32 * MEGA, "swap": 128 * MEGA}}
    name, group = started(minirun, bundle, some, *HOG, "--", "pause")
    wait_for(lambda: value(group, "memory.swap.current") > 16 * MEGA, 30)
    assert minirun.state(name)["status"] == "running"
    minirun("delete", "--force", name)
    assert exit_code(minirun, bundle, {"memory": {"limit": 32 * MEGA, "swap": 32 * MEGA}}, *HOG) == (137, "")


def test_update(minirun: Runtime, bundle: Bundle) -> None:
    """Up, down, unlimited; the kernel takes every order; below what is in use only if nobody asked to check."""
    name, group = started(minirun, bundle, {"memory": {"limit": 96 * MEGA, "swap": 96 * MEGA}}, *HOG, "--", "pause")
    wait_for(lambda: "touched" in (bundle.path / "out").read_text(), 30)

    def after(*flags: str) -> tuple[str, str]:
        done = minirun("update", *flags, name)
        assert done.returncode == 0, done.stderr
        return (group / "memory.max").read_text().strip(), (group / "memory.swap.max").read_text().strip()

    assert after("--memory=128m", "--memory-swap=256m") == (str(128 * MEGA), str(128 * MEGA))
    assert after("--memory=80m", "--memory-swap=80m") == (str(80 * MEGA), "0")
    assert after("--memory-swap=100m") == (str(80 * MEGA), str(20 * MEGA)), "completed from the limit in force"
    assert after("--memory=-1") == ("max", "max")
    assert after("--memory=100m", "--memory-reservation=50m") == (str(100 * MEGA), "max")
    assert (group / "memory.low").read_text() == f"{50 * MEGA}\n"
    (bundle.path / "check").write_text(json.dumps({"memory": {"limit": 32 * MEGA, "checkBeforeUpdate": True}}))
    done = minirun("update", "-r", bundle.path / "check", name)
    assert done.returncode == 125 and "are in use" in done.stderr
    assert (group / "memory.max").read_text() == f"{100 * MEGA}\n" and minirun.state(name)["status"] == "running"
    assert minirun("update", "--memory=32m", name).returncode == 0
    wait_for(lambda: minirun.state(name)["status"] == "stopped", 30)

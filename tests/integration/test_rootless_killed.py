"""Many of an ordinary user's containers at once, and whatever kills his processes: nothing of them is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.citizens import Citizen, until
from tests.integration.people import Account

pytestmark = pytest.mark.needs("root", "busybox", "userns", "uidmap")


@pytest.fixture(scope="module")
def settled(account: Account) -> Iterator[Citizen]:
    place = Path(tempfile.mkdtemp(prefix="minirun-test-"))
    place.chmod(0o755)
    made = Citizen(place, account)
    done = made("image", "build-rootfs", "busybox")
    assert done.returncode == 0, done.stderr
    yield made
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def he(settled: Citizen) -> Iterator[Citizen]:
    yield settled
    settled.clear()
    settled.nothing_left()


def test_twenty_at_once(he: Citizen) -> None:
    words = ("container", "run", "--rm", "--net", "none", "busybox", "sh", "-c")
    several = [he.begin(*words, f"echo {number}; exit {number}") for number in range(20)]
    for number, process in enumerate(several):
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out) == (number, f"{number}\n"), err


@pytest.mark.parametrize("remove", [False, True], ids=["kept", "--rm"])
def test_a_monitor_that_was_killed(he: Citizen, remove: bool) -> None:
    """Nobody holds the namespace then but what is left of the container: the next verb finds in, and clears up."""
    flags = ["--rm"] if remove else []
    he.container("run", "-d", *flags, "--name", "lost", "--net", "none", "busybox", "sleep", "1000")
    (monitor,) = os.listdir(he.root / ".holders")
    pid = he.inspect("lost")["State"]["Pid"]
    os.kill(int(monitor), signal.SIGKILL)
    until(lambda: [name for name in [monitor] if alive(int(name))], [])
    found = json.loads("[" + ",".join(he.container("ps", "-a", "--format", "json").split("\n")).strip(",") + "]")
    assert not alive(pid)
    if remove:
        assert found == []
    else:
        assert "Exited (137)" in str(found)
        he.container("start", "lost")
        assert he.container("exec", "lost", "id", "-u") == "0\n"
        he.container("rm", "-f", "lost")


@pytest.mark.parametrize("seconds", [0.05, 0.15, 0.3])
def test_everything_is_killed(he: Citizen, seconds: float) -> None:
    """Verbs, monitors, programs, in the middle of whatever they do: prune finds what is left."""
    several = [he.begin("container", "run", "--rm", "--net", "none", "busybox", "sleep", "1000") for _ in range(5)]
    time.sleep(seconds)
    end = time.monotonic() + 10
    while he.find_processes() and time.monotonic() < end:
        for line in he.find_processes():
            with suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)
    for process in several:
        process.communicate(timeout=20)
    done = he("system", "prune", "-f")
    assert done.returncode == 0, done.stderr
    he.nothing_left()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False

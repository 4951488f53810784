"""Restart policies, and the truth after kill -9 of monitors and clients."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import run
from tests.integration.shop import IMAGE, Shop

pytestmark = pytest.mark.needs("root", "busybox")
NONE = ("--net", "none")


def test_on_failure_is_tried_so_many_times(shop: Shop) -> None:
    shop.background("sh", "-c", "echo try; exit 3", name="fail", flags=("--restart", "on-failure:2"))
    shop.until("fail", "exited")
    found = shop.status("fail")
    assert (found["restarts"], found["exitCode"]) == (2, 3)
    assert shop.out("logs", "fail").split() == ["try"] * 3


def test_on_failure_is_content_with_success(shop: Shop) -> None:
    shop.background("true", name="fine", flags=("--restart", "on-failure"))
    assert shop.until("fine", "exited")["restarts"] == 0


def test_always_goes_on_until_it_is_stopped(shop: Shop) -> None:
    shop.background("sh", "-c", "sleep 0.05", name="always", flags=("--restart", "always"))
    end = time.monotonic() + 10
    while shop.status("always")["restarts"] < 2:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert "always" in shop.out("ps", "--format", "json")
    shop.out("stop", "always")
    found = shop.status("always")
    assert found["status"] == "exited" and found["stopped"]
    time.sleep(0.5)
    assert shop.status("always") == found
    assert shop("start", "--all-restartable").stdout == "always\n", "as a service at boot would"
    shop.out("kill", "always")
    shop.until("always", "exited")


def gone(pid: int) -> bool:
    try:
        return ") Z" in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def killed(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    while not gone(pid):
        time.sleep(0.01)


def test_a_killed_monitor_is_noticed_and_cleared_up(shop: Shop) -> None:
    shop.background("sleep", "100", name="orphan")
    found = shop.status("orphan")
    killed(found["monitor"])
    assert "Exited (137)" in shop.out("ps", "-a")
    assert gone(found["pid"]) and not shop.mounts()
    assert shop.status("orphan")["error"] == "its monitor was killed"
    shop.out("start", "orphan")
    assert shop.out("exec", "orphan", "echo", "again") == "again"


def test_a_killed_monitor_of_a_container_that_was_to_be_removed(shop: Shop) -> None:
    shop.background("sleep", "100", name="gone", flags=("--rm",))
    killed(shop.status("gone")["monitor"])
    assert shop.out("ps", "-aq") == ""
    assert not any(shop.left().values())


def test_the_name_of_one_that_was_to_be_removed_is_free(shop: Shop) -> None:
    """No other verb comes between."""
    shop.background("sleep", "100", name="again", flags=("--rm",))
    killed(shop.status("again")["monitor"])
    assert shop.out("run", "--rm", "--name", "again", *NONE, IMAGE, "echo", "mine") == "mine"
    shop.background("sleep", "100", name="live")
    assert "is taken" in shop("run", "--name", "live", *NONE, IMAGE, "true").stderr


def test_what_is_half_made_goes(shop: Shop) -> None:
    """A create or rm that was killed leaves a directory without a record, and perhaps a name."""
    half = "ab" * 32
    folder = shop.storage / "containers" / half
    (folder / "upper" / "deep").mkdir(parents=True)
    (shop.storage / "names").mkdir(exist_ok=True)
    (shop.storage / "names" / "half").symlink_to(half)
    assert shop.out("ps", "-aq") == "" and not folder.exists()
    assert shop.out("run", "--rm", "--name", "half", *NONE, IMAGE, "echo", "free") == "free"


def test_both_killed_in_the_foreground(shop: Shop) -> None:
    process = shop.start("run", "--rm", "--net", "none", "--name", "both", IMAGE, "sh", "-c", "echo up; sleep 100")
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    monitor = shop.status("both")["monitor"]
    process.kill()
    killed(monitor)
    process.communicate()
    assert shop.out("prune", "-f") == "" and not any(shop.left().values())


def test_a_client_says_so_when_its_monitor_is_killed(shop: Shop) -> None:
    process = shop.start("run", "--net", "none", "--name", "lost", IMAGE, "sh", "-c", "echo up; sleep 100")
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    killed(shop.status("lost")["monitor"])
    _, err = process.communicate(timeout=10)
    assert process.returncode == 125 and b"out of reach" in err


@pytest.mark.parametrize("which", ["client", "monitor", "both"])
def test_killed_at_any_moment(shop: Shop, which: str) -> None:
    """The whole of `run -d` is some 30 ms: kill at moments spread over it; then everything is true, and removable."""
    for step in range(10):
        process = subprocess.Popen(
            shop.command("run", "-d", "--net", "none", "--name", f"k{step}", IMAGE, "sleep", "100"),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(0.012 + 0.003 * step)
        monitors = children(process.pid)
        if which != "monitor":
            process.kill()
        if which != "client":
            for pid in monitors:
                kill_quietly(pid)
        process.wait()
    time.sleep(0.3)
    shop.out("ps", "-a")
    for line in shop.out("ps", "--format", "json").splitlines():
        assert '"State":"running"' in line
    running = shop.out("ps", "-q").split()
    assert all(shop.out("exec", word, "echo", "yes") == "yes" for word in running)
    assert shop.out("run", "--rm", "--net", "none", "--name", "after", IMAGE, "echo", "well") == "well"


def test_interrupted_at_any_moment(shop: Shop) -> None:
    """A start that is interrupted is undone; later the signal is the program's."""
    for step in range(12):
        process = shop.start("run", "--rm", *NONE, "--init", IMAGE, "sleep", "0.2")
        time.sleep(0.005 * step)
        process.send_signal(signal.SIGINT)
        said = str(process.communicate(timeout=10)[1])
        python_s_own_start = process.returncode == 1 and "Fatal Python error" in said  # nothing of ours runs yet
        assert process.returncode in (0, 130, -signal.SIGINT) or python_s_own_start, (step, said)
    shop.out("ps", "-a")
    assert not any(shop.left().values())


def test_a_caller_that_ignores_its_children(shop: Shop) -> None:
    line = f"trap '' CHLD; exec {' '.join(shop.command('run', '--rm', *NONE, IMAGE, 'sh', '-c'))} 'exit 6'"
    assert run("bash", "-c", line).returncode == 6


def test_a_monitor_killed_at_every_step(shop: Shop) -> None:
    """From its first system call to its last, of a start and of an end: what the next verb finds is consistent."""
    killer = Path(__file__).with_name("killed_monitor.py")
    for number in range(1, 1000, 7):
        flags = ["--storage", str(shop.storage), "--root", str(shop.root)]
        argv = [*flags, "container", "run", "--name", "it", *NONE, IMAGE, "true"]
        done = run(sys.executable, killer, str(number), *argv)
        shop.out("ps", "-a")
        left = shop.left()
        assert not left["mounts"] and not left["runtime"], number
        assert shop.status("it")["status"] in ("created", "exited"), number
        shop.out("rm", "it")
        if done.returncode == 0:
            break
    assert 20 < number < 999


def test_a_monitor_killed_before_it_has_begun(shop: Shop) -> None:
    """Nothing is written down of it yet: the client removes what --rm would have."""
    killer = Path(__file__).with_name("killed_monitor.py")
    flags = ["--storage", str(shop.storage), "--root", str(shop.root)]
    done = run(sys.executable, killer, "1", *flags, "container", "run", "--rm", *NONE, IMAGE, "true")
    assert done.returncode == 125 and "its monitor was killed" in done.stderr
    assert not any(shop.left().values())


def children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def kill_quietly(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def test_a_reboot_is_told_from_the_boot_id(shop: Shop) -> None:
    """What status.json of another boot says of processes is no longer so."""
    shop.background("sleep", "0.1", name="old")
    shop.until("old", "exited")
    path = shop.directory("old") / "status.json"
    text = path.read_text().replace('"status":"exited"', '"status":"running"')
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    path.write_text(text.replace(boot, "0" * 36).replace('"pid":0,"startTime":0', '"pid":1,"startTime":1'))
    assert "Exited (137)" in shop.out("ps", "-a")
    assert shop.status("old")["error"] == "the host went down"

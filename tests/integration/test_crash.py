"""kill -9, everywhere: of minirun after every system call of every verb, of init meanwhile, at any moment.

What must hold afterwards: ``list`` tells the truth, ``delete`` (or ``delete --force``) removes everything, and the host
is as it was before.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MINIRUN, ROOT, Bundle, Json, Runtime

pytestmark = pytest.mark.needs("root", "busybox")

KILLED = -signal.SIGKILL
LAST = 400  # more system calls than any verb has


def strike(minirun: Runtime, bundle: Bundle, number: int, who: str, *argv: str) -> subprocess.CompletedProcess[bytes]:
    """The verb, with SIGKILL to ``who`` at the Nth call; its stdio are files, for an orphan may hold them."""
    with open(bundle.path / "out", "wb") as out, open(bundle.path / "err", "wb") as err:
        return subprocess.run(
            [
                sys.executable,
                Path(__file__).with_name("killed.py"),
                str(number),
                who,
                "--root",
                str(minirun.root),
                *argv,
            ],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            timeout=30,
            env={"PYTHONPATH": str(ROOT)},
        )


def listed(minirun: Runtime) -> list[Json]:
    done = minirun("list", "-f", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) or []


def until_done(minirun: Runtime, bundle: Bundle, name: str, *argv: str) -> Iterator[int]:
    """Strike one call later each time, until the verb gets to its end."""
    for number in range(1, LAST):
        done = strike(minirun, bundle, number, "self", *argv)
        yield number
        if done.returncode != KILLED:
            assert done.returncode == 0, (bundle.path / "err").read_text()
            return
    raise AssertionError("the verb has no end")


def honest(minirun: Runtime, row: Json) -> None:
    """The status against what can be seen from outside."""
    word, pid = row["status"], row["pid"]
    if word in ("running", "created"):
        program = os.readlink(f"/proc/{pid}/exe")
        assert ("minirun-init" in program) == (word == "created"), (word, program)
    else:
        assert word == "stopped", row


def remove(minirun: Runtime, name: str, *, force: bool) -> None:
    done = minirun("delete", *(["--force"] if force else []), name)
    assert done.returncode == 0, done.stderr
    assert listed(minirun) == [] and os.listdir(minirun.root) == []


@pytest.fixture
def slow(bundle: Bundle) -> Bundle:
    """With host limits, hooks on both sides, a sysctl, devices: every kind of step."""
    for name in ("createRuntime", "createContainer", "startContainer", "poststart", "poststop"):
        path = "/bin/true"
        bundle.config.setdefault("hooks", {})[name] = [{"path": path}]
    bundle.config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
    bundle.config["process"]["oomScoreAdj"] = 100
    return bundle.args("/probe", "pause")


def test_create(minirun: Runtime, slow: Bundle, clean_host: None) -> None:
    name = minirun.name()
    path = str(slow.write())
    for number in until_done(minirun, slow, name, "create", "-b", path, name):
        rows = listed(minirun)
        for row in rows:
            honest(minirun, row)
        if rows:
            remove(minirun, name, force=rows[0]["status"] == "created" or number % 2 == 0)
        if minirun.root.exists():
            assert os.listdir(minirun.root) == []
    assert number > 20


def test_foreground_run(minirun: Runtime, slow: Bundle, clean_host: None) -> None:
    """Whoever dies while the container runs leaves it running: it is listed, can be killed, can be deleted."""
    name = minirun.name()
    slow.args("/probe", "sleep", "3" if "MINIRUN_IN_LAB" in os.environ else "0.1")  # long enough to be seen
    seen = set()
    for number in until_done(minirun, slow, name, "run", "-b", str(slow.write()), name):
        for row in listed(minirun):
            seen.add(row["status"])
            honest(minirun, row)
            if row["status"] == "running":
                done = minirun("kill", name, "KILL")  # it may have ended by itself since
                assert done.returncode == 0 or "container not running" in done.stderr
            remove(minirun, name, force=number % 2 == 0 or row["status"] == "running")
    assert seen == {"running", "stopped"}


def test_start(minirun: Runtime, slow: Bundle, clean_host: None) -> None:
    """Before the gate: created, and start can be tried again. After it: running. Never a lie."""
    seen = set()
    for number in range(1, LAST):
        name = minirun.create(slow)
        done = strike(minirun, slow, number, "self", "start", name)
        time.sleep(0.01)
        row = minirun.state(name)
        seen.add(row["status"])
        honest(minirun, row)
        again = minirun("start", name)
        if row["status"] == "created":
            assert again.returncode == 0, again.stderr
            assert minirun.state(name)["status"] == "running"
        else:
            assert again.returncode == 125 and ("not created" in again.stderr or "nobody waits" in again.stderr), (
                again.stderr
            )
            assert minirun.state(name)["status"] == row["status"], "a second start must not touch it"
        remove(minirun, name, force=True)
        if done.returncode != KILLED:
            assert done.returncode == 0
            break
    assert seen == {"created", "running"}


def test_exec(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """The container does not care; what exec began goes with it."""
    name = minirun.start(bundle.args("/probe", "pause"))
    for _ in until_done(minirun, bundle, name, "exec", name, "/probe", "sleep", "0.05"):
        assert minirun.state(name)["status"] == "running"
    assert minirun("exec", name, "/probe", "cwd").stdout == "/\n"
    remove(minirun, name, force=True)


def test_delete(minirun: Runtime, slow: Bundle, clean_host: None) -> None:
    """Deleting can be done again from wherever it was interrupted."""
    for number in range(1, LAST):
        name = minirun.start(slow)
        done = strike(minirun, slow, number, "self", "delete", "--force", name)
        for row in listed(minirun):
            honest(minirun, row)
            remove(minirun, name, force=row["status"] != "stopped")
        assert os.listdir(minirun.root) == []
        if done.returncode != KILLED:
            break


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_pause_and_resume(minirun: Runtime, bundle: Bundle, clean_host: None, verb: str) -> None:
    for number in range(1, LAST):
        name = minirun.start(bundle.args("/probe", "pause"))
        if verb == "resume":
            assert minirun("pause", name).returncode == 0
        done = strike(minirun, bundle, number, "self", verb, name)
        assert minirun.state(name)["status"] in ("running", "paused")
        remove(minirun, name, force=True)
        if done.returncode != KILLED:
            break


# -- init is killed ---------------------------------------------------------------------------------------------------


def test_init_is_killed_while_it_is_made(minirun: Runtime, slow: Bundle, clean_host: None) -> None:
    """create says so, in one error, and leaves nothing; or it had all but finished, and the container is stopped."""
    path = str(slow.write())
    struck = 0
    for number in range(1, LAST):
        name = minirun.name()
        done = strike(minirun, slow, number, "child", "create", "-b", path, name)
        said = (slow.path / "err").read_text()
        rows = listed(minirun)
        if done.returncode == 0:
            assert [row["status"] for row in rows] in (["created"], ["stopped"])
            remove(minirun, name, force=True)
            if rows[0]["status"] == "created" and struck:
                break  # the verb is over before the call is reached
            continue
        struck += 1
        assert done.returncode == 125, said
        assert "a case it does not know" not in said and "Traceback" not in said, said
        assert said.startswith("minirun: ") and ("killed by signal 9" in said or "hook" in said or "No such" in said), (
            said
        )
        assert rows == [] and os.listdir(minirun.root) == []
    assert struck > 5


def test_init_is_killed_while_it_starts(minirun: Runtime, slow: Bundle, clean_host: None) -> None:
    for number in range(1, 60):
        name = minirun.create(slow)
        done = strike(minirun, slow, number, str(minirun.state(name)["pid"]), "start", name)
        said = (slow.path / "err").read_text()
        assert done.returncode in (0, 125), said
        assert "a case it does not know" not in said and "Traceback" not in said, said
        time.sleep(0.01)
        word = minirun.state(name)["status"]
        remove(minirun, name, force=word != "stopped")
        if word == "running":
            break  # the verb was over before the call was reached


def test_init_is_killed_while_exec_joins(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    for number in range(1, LAST):
        name = minirun.start(bundle.args("/probe", "pause"))
        pid = str(minirun.state(name)["pid"])
        done = strike(minirun, bundle, number, pid, "exec", name, "/bin/true")
        said = (bundle.path / "err").read_text()
        assert "a case it does not know" not in said and "Traceback" not in said, said
        assert done.returncode in (0, 125, 137), (done.returncode, said)
        alive = minirun.state(name)["status"] == "running"
        remove(minirun, name, force=alive)
        if alive:
            break


# -- at any moment ----------------------------------------------------------------------------------------------------


def test_killed_at_any_moment(minirun: Runtime, slow: Bundle, clean_host: None) -> None:
    """The real command, killed after 1 to 40 ms."""
    chance = random.Random(1)
    path = slow.write()
    for turn in range(60):
        name = minirun.name()
        verb = ("create", "run")[turn % 2]
        with open(slow.path / "out", "wb") as out:
            process = subprocess.Popen(
                [MINIRUN, "--root", minirun.root, verb, "-b", path, name],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
            time.sleep(chance.uniform(0.001, 0.040))
            process.kill()
            process.wait(timeout=20)
        time.sleep(0.005)
        for row in listed(minirun):
            if row["status"] != "running":  # before START init waits for a word that will not come: it ends at once
                honest(minirun, row)
            remove(minirun, name, force=row["status"] != "stopped")


# -- the gate ---------------------------------------------------------------------------------------------------------


def knock(minirun: Runtime, name: str, *words: bytes) -> None:
    """A client at the gate that says something, or nothing, and is gone."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    folder = os.open(minirun.root / name, os.O_RDONLY)
    link.connect(f"/proc/self/fd/{folder}/gate")
    with contextlib.suppress(BrokenPipeError):  # shown the door at the first wrong word
        for word in words:
            link.send(word)
    link.close()
    os.close(folder)


@pytest.mark.parametrize(
    "words", [(), (b"",), (b"\0",), (b"\3\0\0",), (b"\2\0\0\0",), (b"x" * 4096,), (b"\1\0\0\0", b"\3\0\0\0")]
)
def test_who_dies_at_the_gate_does_not_open_it(
    minirun: Runtime, bundle: Bundle, clean_host: None, words: tuple[bytes, ...]
) -> None:
    name = minirun.create(bundle.args("/probe", "pause"))
    for _ in range(20):
        knock(minirun, name, *words)
    time.sleep(0.02)
    assert minirun.state(name)["status"] == "created"
    assert minirun("start", name).returncode == 0
    assert minirun.state(name)["status"] == "running"
    remove(minirun, name, force=True)

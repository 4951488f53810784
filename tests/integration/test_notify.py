"""sd_notify(3): what a program says to the service manager arrives there, and nothing else does."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Bundle, Runtime
from tests.integration.seen import wait_for

pytestmark = pytest.mark.needs("root", "busybox")


class Manager:
    """The service manager's end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(10)
        self.env = {**os.environ, "NOTIFY_SOCKET": str(path)}

    def heard(self) -> str:
        return self.socket.recv(4096).decode()

    def silent(self) -> bool:
        self.socket.setblocking(False)
        try:
            self.socket.recv(4096)
        except BlockingIOError:
            return True
        return False


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "manager")
    yield made
    made.socket.close()


def test_run_passes_messages_on(minirun: Runtime, bundle: Bundle, manager: Manager, clean_host: None) -> None:
    script = "/probe notify READY=1 && /probe notify 'STATUS=at work' && env | grep NOTIFY && ls -ld $NOTIFY_SOCKET"
    done = minirun.run(bundle.args("/bin/sh", "-c", script.replace("grep", "/bin/busybox grep")), env=manager.env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"NOTIFY_SOCKET={manager.path}/notify\nsrw-rw-rw-"), done.stdout
    assert [manager.heard(), manager.heard()] == ["READY=1", "STATUS=at work"]


def test_what_a_container_may_not_say(minirun: Runtime, bundle: Bundle, manager: Manager) -> None:
    """MAINPID would have the manager kill another process; the directory is not the container's to fill."""
    script = "/probe notify 'MAINPID=1\nREADY=1\nFDSTORE=1' && /probe notify NOTIFYACCESS=all; touch ${NOTIFY_SOCKET}2"
    done = minirun.run(bundle.args("/bin/sh", "-c", script), env=manager.env)
    assert "Read-only file system" in done.stderr
    assert manager.heard() == "READY=1" and manager.silent()


def test_detached_run_returns_when_the_program_is_ready(minirun: Runtime, bundle: Bundle, manager: Manager) -> None:
    bundle.args("/bin/sh", "-c", "/bin/sleep 0.5; /probe notify READY=1; exec /probe pause")
    name = minirun.name()
    begun = time.monotonic()
    with open(bundle.path / "out", "wb") as out:
        code = subprocess.call(
            [str(minirun.program), "--root", str(minirun.root), "run", "-d", "-b", str(bundle.write()), name],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=manager.env, timeout=30,
        )  # fmt: skip
    assert code == 0 and time.monotonic() - begun > 0.5
    assert manager.heard() == "READY=1"
    assert manager.heard() == f"MAINPID={minirun.state(name)['pid']}"
    assert minirun("kill", name, "KILL").returncode == 0
    wait_for(lambda: minirun.state(name)["status"] == "stopped")
    assert minirun("delete", name).returncode == 0
    assert not (minirun.root / name).exists()


def test_start_waits_and_others_may_go_on(minirun: Runtime, bundle: Bundle, manager: Manager) -> None:
    """create makes the place, start the socket; meanwhile the container is not locked."""
    name = minirun.name()
    bundle.args(
        "/bin/sh", "-c", "until [ -e /tmp/go ]; do /bin/sleep 0.05; done; /probe notify READY=1; exec /probe pause"
    )
    bundle.config["root"]["readonly"] = False
    with open(bundle.path / "out", "wb") as out:
        words = [str(minirun.program), "--root", str(minirun.root)]
        files: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": out, "env": manager.env}
        assert subprocess.call([*words, "create", "-b", str(bundle.write()), name], timeout=30, **files) == 0
        starting = subprocess.Popen([*words, "start", name], **files)
    wait_for(lambda: minirun.state(name)["status"] == "running")
    assert starting.poll() is None
    assert minirun("exec", name, "/bin/busybox", "touch", "/tmp/go").returncode == 0
    assert starting.wait(10) == 0
    assert manager.heard() == "READY=1"


@pytest.mark.parametrize("told", ["@minirun-nobody-listens", "/nowhere/at/all"])
def test_nobody_listens(minirun: Runtime, bundle: Bundle, told: str) -> None:
    """A manager that is gone keeps no container from running; a start whose program ends unready returns."""
    done = minirun.run(bundle.args("/probe", "notify", "READY=1"), env={**os.environ, "NOTIFY_SOCKET": told})
    assert done.returncode == 0, done.stderr
    detached = minirun.run(bundle.args("/probe", "pid"), "--detach", env={**os.environ, "NOTIFY_SOCKET": told})
    assert detached.returncode == 0


def test_without_it_nothing_is_there(minirun: Runtime, bundle: Bundle) -> None:
    env = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
    done = minirun.run(bundle.args("/bin/sh", "-c", "env; ls /run"), env=env)
    assert "NOTIFY" not in done.stdout

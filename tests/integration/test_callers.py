"""The command lines of containerd and podman, word for word as their sources make them.

containerd's go-runc begins every call with ``--root R --log F --log-format json``; podman's conmon passes no global
option and an environment scrubbed empty.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import MINIRUN, Bundle, Json, Runtime, run
from tests.integration.seen import wait_for

pytestmark = pytest.mark.needs("root", "busybox")


class Containerd:
    """The shim's calls (containerd 1.6 and 2.1)."""

    def __init__(self, root: Path, task: Path) -> None:
        self.root, self.task = root, task
        self.log = task / "log.json"

    def __call__(self, *words: str | Path, **more: object) -> subprocess.CompletedProcess[str]:
        return run(MINIRUN, "--root", self.root / "k8s.io", "--log", self.log, "--log-format", "json", *words, **more)

    def detached(self, *words: str | Path) -> int:
        """With files for stdio: what a shim gives are fifos that the process keeps."""
        with open(self.task / "out", "ab") as out:
            return self(*words, capture_output=False, stdout=out, stderr=out).returncode

    def last_error(self) -> str:
        rows = [json.loads(line) for line in self.log.read_text().splitlines()]
        found: str = [row for row in rows if row["level"] == "error"][-1]["msg"]
        return found


@pytest.fixture
def containerd(tmp_path: Path, bundle: Bundle) -> Containerd:
    return Containerd(tmp_path / "runc", bundle.path)


def process_file(path: Path, *args: str, **more: object) -> Path:
    process: Json = {
        "user": {"uid": 0, "gid": 0}, "args": [*args], "env": ["PATH=/bin"], "cwd": "/",
        "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]}, **more,
    }  # fmt: skip
    path.write_text(json.dumps(process))
    return path


def test_containerd(containerd: Containerd, bundle: Bundle, clean_host: None) -> None:
    call, task = containerd, bundle.args("/probe", "pause").write()
    assert call.detached("create", "--bundle", task, "--pid-file", task / "init.pid", "web") == 0
    pid = int((task / "init.pid").read_text())
    assert json.loads(call("state", "web").stdout)["pid"] == pid
    assert call("start", "web").returncode == 0
    file = process_file(task / "runc-process1", "/probe", "sleep", "30")
    assert call.detached("exec", "--process", file, "--detach", "--pid-file", task / "x1.pid", "web") == 0
    second = int((task / "x1.pid").read_text())
    assert json.loads(call("ps", "--format", "json", "web").stdout) == sorted([pid, second])
    assert call("pause", "web").returncode == 0
    assert json.loads(call("state", "web").stdout)["status"] == "paused"
    assert call("resume", "web").returncode == 0
    with open(process_file(task / "r.json"), "w+") as document:
        document.write('{"devices": null, "unified": {}}')
        document.seek(0)
        assert call("update", "--resources=-", "web", stdin=document).returncode == 0
    assert json.loads(call("events", "--stats", "web").stdout)["type"] == "stats"
    assert [row["id"] for row in json.loads(call("list", "--format=json").stdout)] == ["web"]
    assert call("kill", "web", "15").returncode == 0
    wait_for(lambda: json.loads(call("state", "web").stdout)["status"] == "stopped")
    assert call("kill", "--all", "web", "9").returncode == 0
    assert call("delete", "web").returncode == 0
    assert call("delete", "--force", "web").returncode == 0, "gone already must not fail the caller"


def test_what_containerd_reads_in_errors(containerd: Containerd, bundle: Bundle) -> None:
    """It looks for these words in the last error of the log."""
    containerd("kill", "web", "9")
    assert "does not exist" in containerd.last_error()
    task = bundle.args("/no/such/program").write()
    assert containerd.detached("create", "--bundle", task, "--pid-file", task / "p", "web") != 0
    assert "/no/such/program" in containerd.last_error() and "no such file or directory" in containerd.last_error()
    assert not (task / "p").exists()
    bundle.args("/probe", "pid").write()
    assert containerd.detached("create", "--bundle", task, "--pid-file", task / "p", "web") == 0
    containerd("start", "web")
    wait_for(lambda: json.loads(containerd("state", "web").stdout)["status"] == "stopped")
    assert containerd("kill", "web", "9").returncode != 0
    assert "container not running" in containerd.last_error()
    containerd("delete", "--force", "web")


def test_podman(bundle: Bundle, minirun: Runtime, tmp_path: Path, clean_host: None) -> None:
    """No --root: the default store; an environment of nothing."""
    name = minirun.name()
    conmon: Json = {"env": {}, "cwd": "/"}
    task = bundle.args("/probe", "pause").write()
    assert "minirun version" in run(MINIRUN, "--version", **conmon).stdout
    assert json.loads(run(MINIRUN, "features", **conmon).stdout)["ociVersionMax"]

    def detached(*words: str | Path) -> int:
        with open(tmp_path / "out", "ab") as out:
            return run(MINIRUN, *words, capture_output=False, stdout=out, stderr=out, **conmon).returncode

    try:
        assert detached("create", "--bundle", task, "--pid-file", tmp_path / "pidfile", name) == 0
        assert run(MINIRUN, "start", name, **conmon).returncode == 0
        file = process_file(tmp_path / "exec-process", "/probe", "id", terminal=False)
        assert detached("exec", "--pid-file", tmp_path / "x", "--process", file, "--detach", name) == 0
        wait_for(lambda: "uid=0 gid=0" in (tmp_path / "out").read_text())
        assert run(MINIRUN, "pause", name, **conmon).returncode == 0
        assert run(MINIRUN, "resume", name, **conmon).returncode == 0
        (tmp_path / "resources").write_text("{}")
        assert run(MINIRUN, "update", f"--resources={tmp_path}/resources", name, **conmon).returncode == 0
        assert run(MINIRUN, "checkpoint", "--help", **conmon).returncode == 0
        assert run(MINIRUN, "kill", name, "9", **conmon).returncode == 0
    finally:
        assert run(MINIRUN, "delete", "--force", name, **conmon).returncode == 0
    assert not os.path.exists(f"/run/minirun/{name}")

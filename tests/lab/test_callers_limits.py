"""podman's and docker's limits, where every controller is: what their options become, at the start and by update.

The lab is thrown away: they run on it as on a host.  They are slow in here, so each is asked little.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MINIRUN, run
from tests.integration.busybox_image import NAME, write_image

pytestmark = [pytest.mark.lab, pytest.mark.needs("root", "busybox")]

FILES = ("memory.max", "cpu.max", "pids.max")
READ = ("sh", "-c", "cd /sys/fs/cgroup; cat " + " ".join(FILES))
MEGA = 1 << 20


def ok(*argv: str | Path, **more: object) -> str:
    done = run(*argv, **{"timeout": 120, **more})
    assert done.returncode == 0, f"{argv}: {done.stderr}{done.stdout}"
    return done.stdout


@pytest.mark.needs("podman")
def test_podman(tmp_path: Path) -> None:
    """--pids-limit=-1 is written as 0 by podman, and means none."""
    config = tmp_path / "containers.conf"
    config.write_text(
        '[containers]\ndefault_ulimits = []\n[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
    )
    env = {**os.environ, "CONTAINERS_CONF": str(config)}
    podman = ("podman", "--root", tmp_path / "root", "--runroot", tmp_path / "run", "--runtime", MINIRUN)
    ok(*podman, "load", "--quiet", "--input", write_image(tmp_path / "image.tar"), env=env)
    limits = ("--memory", "32m", "--cpus", "0.5", "--pids-limit", "-1")
    try:
        ok(
            *podman,
            "run",
            "--detach",
            "--network",
            "none",
            "--name",
            "web",
            *limits,
            NAME,
            "sleep",
            "1000",
            env=env,
        )
        assert ok(*podman, "exec", "web", *READ, env=env).splitlines() == [str(32 * MEGA), "50000 100000", "max"]
        ok(*podman, "update", "--cpus", "1", "--memory", "48m", "web", env=env)
        assert ok(*podman, "exec", "web", *READ, env=env).splitlines() == [str(48 * MEGA), "100000 100000", "max"]
    finally:
        ok(*podman, "rm", "--all", "--force", "--time", "0", env=env)


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[tuple[str, ...]]:
    socket = f"unix://{tmp_path}/docker.sock"
    settings = {
        "data-root": str(tmp_path / "data"),
        "exec-root": str(tmp_path / "run"),
        "pidfile": str(tmp_path / "pid"),
        "hosts": [socket],
        "runtimes": {"minirun": {"path": str(MINIRUN)}},
        "default-runtime": "minirun",
        "bridge": "none",
        "iptables": False,
    }
    (tmp_path / "daemon.json").write_text(json.dumps(settings))
    client = ("/usr/bin/docker", "--host", socket)
    with open(tmp_path / "log", "wb") as log:
        daemon = subprocess.Popen(["dockerd", "--config-file", tmp_path / "daemon.json"], stdout=log, stderr=log)
    try:
        end = time.monotonic() + 90
        while run(*client, "version").returncode != 0:
            assert daemon.poll() is None and time.monotonic() < end, (tmp_path / "log").read_text()[-1000:]
            time.sleep(0.5)
        yield client
    finally:
        daemon.terminate()
        daemon.wait(60)


@pytest.mark.needs("docker")
def test_docker(docker: tuple[str, ...], tmp_path: Path) -> None:
    """update goes through containerd's shim, as ``update --resources=-``; who is killed for its memory is told."""
    ok(*docker, "load", "--quiet", "--input", write_image(tmp_path / "image.tar"))
    limits = ("--memory", "32m", "--cpus", "0.5", "--pids-limit", "20")
    ok(*docker, "run", "--detach", "--network", "none", "--name", "web", *limits, NAME, "sleep", "1000")
    assert ok(*docker, "exec", "web", *READ).splitlines() == [str(32 * MEGA), "50000 100000", "20"]
    ok(*docker, "update", "--cpus", "1", "--memory", "48m", "--memory-swap", "96m", "web")
    assert ok(*docker, "exec", "web", *READ).splitlines() == [str(48 * MEGA), "100000 100000", "20"]
    ok(*docker, "rm", "--force", "web")
    hog = ("dd", "if=/dev/zero", "of=/dev/null", f"bs={64 * MEGA}", "count=1")
    done = run(*docker, "run", "--network", "none", "--name", "hog", "--memory", "16m", NAME, *hog, timeout=120)
    assert done.returncode == 137
    assert ok(*docker, "inspect", "--format", "{{.State.OOMKilled}}", "hog") == "true\n"
    ok(*docker, "rm", "hog")

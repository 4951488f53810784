"""The thinnest slice: a bundle runs, and what it prints and returns comes out."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.needs("root", "busybox")


def test_output_and_exit_code(minirun, bundle, clean_host):
    done = minirun.run(bundle.args("/bin/sh", "-c", "echo hello; exit 7"))
    assert (done.stdout, done.returncode) == ("hello\n", 7), done.stderr


def test_create_start_kill_delete(minirun, bundle, clean_host):
    name = minirun.create(bundle.args("/probe", "pause"))
    assert minirun.state(name)["status"] == "created"
    assert minirun("start", name).returncode == 0
    assert minirun.state(name)["status"] == "running"
    assert minirun("exec", name, "/probe", "pid").stdout == "2\n"
    assert minirun("kill", name, "KILL").returncode == 0
    assert minirun("delete", "--force", name).returncode == 0
    assert "does not exist" in minirun("state", name).stderr

"""Ended while something is half-built: a signal to minirun undoes what was begun, hooks included."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from tests.conftest import MINIRUN, Bundle, Runtime
from tests.integration.seen import wait_for

pytestmark = pytest.mark.needs("root", "busybox")


@pytest.mark.parametrize("verb", ["run", "create"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_during_a_hook(minirun: Runtime, bundle: Bundle, clean_host: None, verb: str, number: int) -> None:
    started = bundle.path / "started"
    script = f"echo $$ > {started}; exec sleep 60"
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    name = minirun.name()
    words = [str(word) for word in (MINIRUN, "--root", minirun.root, verb, "-b", bundle.write(), name)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    wait_for(lambda: started.exists() and started.read_text().strip() != "")
    process.send_signal(number)
    _, error = process.communicate(timeout=10)
    assert process.returncode == 128 + number
    assert f"signal {number}" in error
    assert "does not exist" in minirun("state", name).stderr
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)


def test_what_the_caller_ignores_stays_ignored(minirun: Runtime, bundle: Bundle) -> None:
    """nohup: SIGHUP during create changes nothing."""
    started = bundle.path / "started"
    script = f"echo > {started}; sleep 1"
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    given = bundle.args("/probe", "pid").write()
    arguments = (MINIRUN, "--root", minirun.root, "run", "-b", given, minirun.name())
    words = ["nohup", *map(str, arguments)]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    wait_for(started.exists)
    process.send_signal(signal.SIGHUP)
    out, error = process.communicate(timeout=10)
    assert (process.returncode, out) == (0, "1\n"), error

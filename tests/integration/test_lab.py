"""The lab VM seen from the host: it gives back output and exit code, forgets what it wrote, and never stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, run
from tests.integration.seen import wait_for

pytestmark = pytest.mark.needs("lab")

LAB = ROOT / "rootfs" / "lab" / "lab.py"
RUNS = ROOT / ".cache" / "lab"


def machines() -> list[int]:
    """QEMU processes whose shared folder is this checkout's."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"path={RUNS}".encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.fixture
def nothing_stays() -> Iterator[None]:
    assert not machines()
    yield
    wait_for(lambda: not machines())


def test_output_code_and_forgetting(nothing_stays: None) -> None:
    """Also bytes that no terminal would leave alone, and a word with spaces and quotes."""
    mark = ROOT / f"mark-{os.getpid()}"
    line = f"printf 'a\\nb\\r\\t\\0c'; pwd >&2; : > {mark.name}; ls {mark.name}; exit 7"
    done = run(sys.executable, LAB, "--", line, cwd=ROOT, timeout=120)
    assert (done.returncode, done.stdout.encode()) == (7, f"a\nb\n\t\0c{ROOT}\n{mark.name}\n".encode())
    assert not mark.exists()
    assert not list(RUNS.glob("run-*"))


def test_several_words_are_a_command(nothing_stays: None) -> None:
    done = run(sys.executable, LAB, "--", "printf", "%s|", "a b", "it's", cwd=ROOT, timeout=120)
    assert (done.returncode, done.stdout) == (0, "a b|it's|")


def start(line: str) -> subprocess.Popen[str]:
    """A lab that has got as far as to say something; it hears SIGINT, even if we are a shell's background job."""
    process = subprocess.Popen(
        [sys.executable, LAB, "--", f"echo ready; {line}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL, text=True, cwd=ROOT, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_killed_lab_leaves_nothing(number: int, nothing_stays: None) -> None:
    with start("sleep 1000") as process:
        assert len(machines()) == 1
        process.send_signal(number)
        process.wait(10)
        wait_for(lambda: not machines())
    assert number == signal.SIGKILL or not list(RUNS.glob("run-*"))


def test_the_lab_dies_with_its_caller(nothing_stays: None) -> None:
    """make, say: killed, it leaves an orphan, which must not run on."""
    script = f"import subprocess, sys; subprocess.run([sys.executable, {str(LAB)!r}, '--', 'echo ready; sleep 1000'])"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout is not None and caller.stdout.readline() == "ready\n"
        caller.kill()
        wait_for(lambda: not machines())


def test_too_late_is_said(nothing_stays: None) -> None:
    began = time.monotonic()
    done = run(sys.executable, LAB, "--timeout", "2", "--", "true", cwd=ROOT, timeout=60)
    assert done.returncode == 125 and "took longer than 2 s" in done.stderr and time.monotonic() - began < 30


def test_a_lab_that_says_nothing_more_is_given_up(nothing_stays: None) -> None:
    done = run(sys.executable, LAB, "--silence", "8", "--", "echo begun; sleep 100", cwd=ROOT, timeout=300)
    assert done.returncode == 125 and "nothing was heard from the lab for 8 s" in done.stderr and "begun" in done.stdout

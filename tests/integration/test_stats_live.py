"""minirun stats: live on a terminal, once elsewhere; the cursor comes back however it ends."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import Bundle, Runtime

pytestmark = pytest.mark.needs("root", "busybox")
HIDE, SHOW = b"\x1b[?25l", b"\x1b[?25h"


@pytest.fixture
def busy(minirun: Runtime, bundle: Bundle) -> str:
    return minirun.start(bundle.args("/bin/sh", "-c", "while :; do :; done"))


@contextmanager
def screen(minirun: Runtime, *words: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    ours, theirs = pty.openpty()
    argv = [str(minirun.program), "--root", str(minirun.root), "stats", *words]
    process = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(fd: int, wanted: bytes, seconds: float = 20) -> bytes:
    data, end = b"", time.monotonic() + seconds
    while wanted not in data:
        ready, _, _ = select.select([fd], [], [], max(end - time.monotonic(), 0))
        assert ready, data
        try:
            data += os.read(fd, 65536)
        except OSError:  # the other side is closed
            break
    return data


def test_once_where_nobody_watches(minirun: Runtime, busy: str, clean_host: None) -> None:
    done = minirun("stats", "--no-stream", "--interval", "200ms", busy)
    assert done.returncode == 0 and "\x1b" not in done.stdout
    heading, row = (line.split() for line in done.stdout.splitlines()[:2])
    assert heading[:3] == ["ID", "STATUS", "CPU"] and row[:2] == [busy, "running"]
    assert float(row[2].partition("%")[0]) > 20, "a busy loop"
    document = json.loads(minirun("stats", "--no-stream", "--format", "json", "--interval", "200ms").stdout)
    assert document["id"] == busy and document["cpu"]["percent"] > 20


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, -15), (signal.SIGHUP, -1)])
def test_the_cursor_comes_back(minirun: Runtime, busy: str, number: int, code: int) -> None:
    with screen(minirun, "--interval", "200ms", busy) as (process, terminal):
        first = read_until(terminal, b"\x1b[J")
        assert HIDE in first and busy.encode() in first
        second = read_until(terminal, b"\x1b[J")
        assert b"F" in second.partition(HIDE)[2][:6], "drawn over the first: cursor up"
        process.send_signal(number)
        assert SHOW in read_until(terminal, SHOW)
        assert process.wait(10) == code


def test_it_ends_with_its_container(minirun: Runtime, busy: str) -> None:
    with screen(minirun, "--interval", "100ms", busy) as (process, terminal):
        read_until(terminal, b"\x1b[J")
        minirun("delete", "--force", busy)
        assert SHOW in read_until(terminal, SHOW)
        assert process.wait(10) == 0


def test_bad_words(minirun: Runtime, bundle: Bundle) -> None:
    missing = minirun("stats", "--no-stream", "nobody")
    assert missing.returncode == 125 and "container nobody does not exist" in missing.stderr
    created = minirun.create(bundle)
    assert minirun("stats", "--no-stream", "--interval", "50ms", created).returncode == 0
    minirun("kill", created, "KILL")
    stopped = minirun("stats", "--no-stream", created)
    assert stopped.returncode == 125 and "not running" in stopped.stderr
    for words in (("--interval", "soon"), ("--format", "xml")):
        done = minirun("stats", *words)
        assert done.returncode == 2 and words[1] in done.stderr

"""What integration tests share: asking the probe many things in one container, and reading what the kernel shows.

A container costs some 25 ms, a further question in it nothing: so a test asks all it wants to know at once.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.conftest import Bundle, Runtime

MARK = "\x1e\n"  # between two answers; no verb prints it


def questions(*asked: str) -> list[str]:
    """``"id", "cat /x"`` -> the probe's command line, with a mark between two verbs."""
    words = ["/probe"]
    for index, question in enumerate(asked):
        if index:
            words += ["--", "cat", "/.mark", "--"]
        words += shlex.split(question)
    return words


def answers(text: str) -> list[str]:
    """One string a question, without its last newline."""
    return [part.removesuffix("\n") for part in text.split(MARK)]


def mark(bundle: Bundle) -> None:
    (bundle.rootfs / ".mark").write_text(MARK)


def ask(minirun: Runtime, bundle: Bundle, *asked: str) -> list[str]:
    """Run the probe as the container's process; it must end well."""
    mark(bundle)
    return answers(minirun.output(bundle, *questions(*asked)))


def ask_in(minirun: Runtime, name: str, *asked: str, flags: tuple[str, ...] = ()) -> list[str]:
    """The same by ``exec`` in a running container (whose bundle has the mark)."""
    done = minirun("exec", *flags, name, *questions(*asked))
    assert done.returncode == 0, f"exit {done.returncode}: {done.stderr}"
    return answers(done.stdout)


class Mount(NamedTuple):
    """A line of mountinfo (proc_pid_mountinfo(5))."""

    target: str
    fstype: str
    source: str
    options: frozenset[str]
    superblock: frozenset[str]
    propagation: tuple[str, ...]  # "shared", "master", "unbindable"; () is private
    root: str


def mounts(text: str) -> dict[str, Mount]:
    """By target; of several on one target the last, which is on top."""
    found = {}
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, (fstype, source, superblock) = left.split(), right.split()
        words = tuple(field.partition(":")[0] for field in fields[6:])
        options, more = frozenset(fields[5].split(",")), frozenset(superblock.split(","))
        found[fields[4]] = Mount(fields[4], fstype, source, options, more, words, fields[3])
    return found


def status_of(text: str) -> dict[str, str]:
    """/proc/PID/status as a dictionary."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: " ".join(value.split()) for name, _, value in pairs}


def outside(pid: int, name: str) -> str:
    """A file of /proc/PID on the host."""
    return Path(f"/proc/{pid}/{name}").read_text()


def wait_for(condition: Callable[[], object], seconds: float = 10) -> None:
    """Poll until ``condition`` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def warnings(stderr: str) -> list[str]:
    return re.findall(r"^minirun: warning: (.*)$", stderr, re.MULTILINE)

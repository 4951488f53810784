"""Running pasta and slirp4netns: what they write to standard error is the reason when they fail."""

from __future__ import annotations

import posix

from minirun.engine.hooks import spawn, wait
from minirun.errors import MinirunError
from minirun.facts import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SECONDS = 20


def run(path: str, words: list[str], log: str) -> None:
    """Until it has ended, or gone to the background.  Raises MinirunError."""
    try:
        child, kept = spawn(path, words, environment(), actions(log))
    except OSError as error:
        raise failed(words[0], error.strerror or "") from error
    status = wait(child, SECONDS, kept)
    if status is None:
        raise failed(words[0], f"no answer after {SECONDS} s")
    if status:
        raise failed(words[0], said(log) or f"it ended with status {status}")


def environment() -> dict[str, str]:
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def actions(log: str) -> list[Any]:
    """Standard input and output are nothing; a pipe for errors would end it by SIGPIPE when nobody reads any more."""
    return [
        (posix.POSIX_SPAWN_OPEN, 0, "/dev/null", posix.O_RDONLY, 0),
        (posix.POSIX_SPAWN_OPEN, 1, "/dev/null", posix.O_WRONLY, 0),
        (posix.POSIX_SPAWN_OPEN, 2, log, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_APPEND, 0o600),
    ]


def said(log: str) -> str:
    lines = [line.strip() for line in read(log).splitlines()]
    return "; ".join(line for line in lines if line and "syslog" not in line and not line.startswith("WARNING"))[:500]


def failed(name: str, reason: str) -> MinirunError:
    hint = "--net none does without; docs/rootless.md"
    if "tun" in reason.lower() or "tap" in reason.lower():
        hint = "/dev/net/tun must be open to everybody: modprobe tun; chmod 0666 /dev/net/tun"
    return MinirunError(f"cannot connect the container by {name}", reason=reason, hint=hint)

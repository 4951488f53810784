"""The question of the verbs called ``prune``; a script says --force, or pipes ``y`` in, as with docker."""

from __future__ import annotations

import posix

from minirun.cli.parse import usage
from minirun.errors import MinirunError


def confirm(what: str) -> None:
    """Comes back after a yes only."""
    posix.write(2, f"This removes {what}. Go on? [y/N] ".encode())
    answer = posix.read(0, 100)
    if not answer.endswith(b"\n"):
        posix.write(2, b"\n")
    if not answer:
        raise usage("there is nobody to ask", "--force does not ask")
    if answer.strip().lower() not in (b"y", b"yes"):
        raise MinirunError("nothing was removed", reason="nobody said yes", hint="--force does not ask", exit_code=1)

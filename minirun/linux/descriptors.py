"""close_range(2) for a process that is about to live on by itself: what it keeps is a list, all else is closed."""

from __future__ import annotations

import posix
import sys


def bundle() -> list[int]:
    """The start-up bundle's descriptors: modules are still to come from there."""
    return [finder.fd for finder in sys.meta_path if hasattr(finder, "fd")]


def close_others(kept: list[int]) -> None:
    """All but ``kept``, which is in ascending order."""
    at = 0
    for fd in kept:
        if at < fd:  # an empty range would be taken for all (close_range(2), last = -1)
            posix.closerange(at, fd)
        at = fd + 1
    posix.closerange(at, 1 << 20)

"""What a monitor does once it is clear that it will stay for a while: be small, have a name, be no OOM killer's choice.

The program was started long ago: it keeps the score that its own configuration gave it.
"""

from __future__ import annotations

import posix

TYPE_CHECKING = False

SCORE = "-1000"  # as conmon's: the container is what should go, not the one who would tell of it


def settle(name: str) -> str:
    """Returns the score that was."""
    import gc

    from minirun.facts import read
    from minirun.linux.prctl import settle as set_name

    set_name(name)
    gc.enable()
    gc.freeze()
    before = read("/proc/self/oom_score_adj").strip()
    score(SCORE)
    return before


def score(value: str) -> None:
    """Only root may lower it; without, nothing is lost but the preference."""
    try:
        fd = posix.open("/proc/self/oom_score_adj", posix.O_WRONLY | posix.O_CLOEXEC)
        try:
            posix.write(fd, value.encode())
        finally:
            posix.close(fd)
    except OSError:
        return

"""Being ended while something is half-built: a signal becomes an error, and an error is undone.

From the beginning of create to the moment the container's own life begins, SIGTERM, SIGHUP and SIGINT raise a
MinirunError wherever we are: hooks are not waited for any more, init is killed, mounts, cgroup and state go.
"""

from __future__ import annotations

from _signal import SIG_DFL, SIG_IGN, getsignal, signal

from minirun.errors import MinirunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

SIGHUP, SIGINT, SIGTERM = 1, 2, 15


def stop(number: int, frame: FrameType | None) -> None:
    """Once: a second signal must not interrupt the undoing."""
    for each in (SIGHUP, SIGINT, SIGTERM):
        signal(each, SIG_IGN)
    raise MinirunError("interrupted", reason=f"signal {number} came; what was begun is undone", exit_code=128 + number)


def raise_on_signals() -> None:
    """A signal that our caller ignores (nohup) stays ignored."""
    for number in (SIGHUP, SIGINT, SIGTERM):
        if getsignal(number) is not SIG_IGN:
            signal(number, stop)


def nothing_to_undo() -> None:
    """The container's own life has begun: what ends us from now on ends us alone."""
    for number in (SIGHUP, SIGINT, SIGTERM):
        if getsignal(number) is stop:
            signal(number, SIG_DFL)

"""signalfd(2): signals as something to poll, so that no handler runs in the middle of anything."""

from __future__ import annotations

from minirun.linux import lib, oserror


def signalfd(signals: range | tuple[int, ...]) -> int:
    """Block ``signals`` for this process and return a non-blocking descriptor that tells of them."""
    mask = 0
    for number in signals:
        mask |= 1 << (number - 1)
    fd: int = lib.minirun_signalfd(mask)
    if fd < 0:
        raise oserror("signalfd")
    return fd


def read_signal(fd: int) -> int:
    """The next signal's number; 0 if none waits."""
    number: int = lib.minirun_signalfd_read(fd)
    return max(number, 0)

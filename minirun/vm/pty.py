"""The host's half of a terminal: a pty whose master the caller gets, and whose slave we pass on as it is.

The guest has a pty of its own, which does all that a terminal does (echo, ^C, line editing).  So ours is raw: bytes go
through it both ways, and nothing happens to them.  See termios(3), pty(7), ioctl_tty(2).
"""

from __future__ import annotations

import fcntl  # not later: in its cell the VMM finds no module any more
import posix

from minirun.vm.channel import SIZE

TIOCGWINSZ, TIOCSCTTY = 0x5413, 0x540E


def open_pty() -> tuple[int, int]:
    """(master, slave), the slave raw and non-blocking: it is ours alone.  Needs /dev/ptmx: before any confinement."""
    master, slave = posix.openpty()
    make_raw(slave)
    posix.set_blocking(slave, False)
    return master, slave


def make_raw(fd: int) -> None:
    """cfmakeraw(3)."""
    import termios as t

    mode = t.tcgetattr(fd)
    mode[0] &= ~(t.IGNBRK | t.BRKINT | t.PARMRK | t.ISTRIP | t.INLCR | t.IGNCR | t.ICRNL | t.IXON)
    mode[1] &= ~t.OPOST
    mode[2] = mode[2] & ~(t.CSIZE | t.PARENB) | t.CS8
    mode[3] &= ~(t.ECHO | t.ECHONL | t.ICANON | t.ISIG | t.IEXTEN)
    mode[6][t.VMIN], mode[6][t.VTIME] = 1, 0
    t.tcsetattr(fd, t.TCSANOW, mode)


def size_of(fd: int) -> bytes:
    """struct winsize as the guest takes it; none after a hang-up."""
    try:
        return fcntl.ioctl(fd, TIOCGWINSZ, bytes(SIZE.size))
    except OSError:
        return bytes(SIZE.size)


def control(fd: int) -> None:
    """Make it the terminal of our session, if we lead one without: then a change of its size is SIGWINCH for us."""
    try:
        fcntl.ioctl(fd, TIOCSCTTY, 0)
    except OSError:
        return

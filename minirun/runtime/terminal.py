"""The terminal: handing the pty's master to a console socket, or carrying its bytes in the foreground."""

from __future__ import annotations

import posix
import select
from _struct import Struct

from minirun.errors import MinirunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.engine.init import Init

WINSIZE = Struct("<4H")
CHUNK = 65536


def send_master(path: str, master: int) -> None:
    """The descriptor as SCM_RIGHTS over an AF_UNIX stream, its name as the data (runc's docs/terminals.md)."""
    send(path, master, b"/dev/ptmx", "terminal")


def send_pidfd(path: str, pidfd: int) -> None:
    """--pidfd-socket: the process's pidfd, in the same way."""
    send(path, pidfd, b"pidfd", "pidfd")


def send(path: str, fd: int, name: bytes, what: str) -> None:
    from minirun.linux import unix

    try:
        link = unix.connect(path, stream=True)
        try:
            unix.send(link, name, fd)
        finally:
            posix.close(link)
    except OSError as error:
        raise MinirunError(f"cannot hand over the {what}", reason=f"{path}: {error.strerror}") from error


def keep_master(master: int) -> None:
    """The foreground, before anything is written: no carriage returns for a file or a pipe, as with runc.

    A terminal of the user's is in raw mode, and gets them from the container's.
    """
    if posix.isatty(1):
        return
    import termios

    mode: list[Any] = list(termios.tcgetattr(master))
    mode[1] &= ~termios.ONLCR
    termios.tcsetattr(master, termios.TCSANOW, mode)


def last_words(init: Init | None) -> None:
    """What the terminal of a container that came to nothing has: a hook's reason, say."""
    if init is None or init.terminal < 0:
        return
    posix.set_blocking(init.terminal, False)
    try:
        while data := posix.read(init.terminal, CHUNK):
            to_user(data)
    except OSError:  # all is read (EAGAIN), or the other side is closed (EIO)
        return


def to_user(data: bytes) -> None:
    """All of it to standard output, which a caller may have made non-blocking: what finds no room waits for it."""
    while data:
        try:
            data = data[posix.write(1, data) :]
        except BlockingIOError:
            room = select.poll()
            room.register(1, select.POLLOUT)
            room.poll()
        except OSError:  # nobody reads our output any more: the container may go on
            return


def make_raw() -> list[Any]:
    """Our own terminal, as cfmakeraw(3), but output processing stays with the inner one; returns how it was."""
    import termios

    saved: list[Any] = termios.tcgetattr(0)
    mode = list(saved)
    mode[0] &= ~(
        termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP
        | termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON
    )  # fmt: skip
    mode[1] &= ~termios.OPOST
    mode[2] = mode[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    mode[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    termios.tcsetattr(0, termios.TCSANOW, mode)
    return saved


def give_back(saved: list[Any]) -> None:
    """The terminal as it was."""
    import termios

    termios.tcsetattr(0, termios.TCSADRAIN, saved)


class Relay:
    """stdin -> master and master -> stdout, with our own terminal in raw mode meanwhile.

    Never wait for the one while the other has something: a program that echoes stops reading when nobody takes its
    echo.  So the master is non-blocking, and what it does not take yet is ``pending``.
    """

    def __init__(self, master: int) -> None:
        self.master = master
        self.saved: list[Any] | None = None
        self.input_open = self.output_open = True
        self.pending = b""
        self.last = b"\n"  # the last byte that was typed
        posix.set_blocking(master, False)
        if posix.isatty(0):
            self.saved = make_raw()
            self.resize()

    def resize(self) -> None:
        """Our window's size is the container's (SIGWINCH)."""
        import fcntl
        import termios

        try:
            size = fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(WINSIZE.size))
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, size)
        except OSError:
            return

    def wanted(self) -> dict[int, int]:
        """What to poll for now: descriptor -> events."""
        events = {}
        if self.input_open and len(self.pending) < CHUNK:
            events[0] = select.POLLIN
        if self.output_open:
            events[self.master] = select.POLLIN | (select.POLLOUT if self.pending else 0)
        return events

    def from_user(self) -> None:
        """Read what was typed.  A pipe that ended is Ctrl-D: twice in the middle of a line, where one only sends it."""
        try:
            data = posix.read(0, CHUNK)
        except OSError:
            data = b""
        if data:
            self.pending += data
            self.last = data[-1:]
        else:
            self.input_open = False
            if self.saved is None:
                self.pending += b"\x04" if self.last == b"\n" else b"\x04\x04"

    def ready(self, events: int) -> None:
        """The master can be written to, or read from, or (EIO) the last slave is closed."""
        if events & select.POLLOUT:
            try:
                self.pending = self.pending[posix.write(self.master, self.pending) :]
            except BlockingIOError:
                pass
            except OSError:
                self.pending = b""
        if events & ~select.POLLOUT:
            self.output_open = self.copy_out()

    def copy_out(self) -> bool:
        """Once; False at the end."""
        try:
            data = posix.read(self.master, CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        to_user(data)
        return bool(data)

    def drain(self) -> None:
        """What is left after the process ended."""
        while True:
            try:
                data = posix.read(self.master, CHUNK)
            except OSError:
                return
            if not data:
                return
            to_user(data)

    def restore(self) -> None:
        if self.saved is not None:
            give_back(self.saved)
            self.saved = None

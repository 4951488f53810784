"""The terminal: handing the pty's master to a console socket, or carrying its bytes in the foreground."""

from __future__ import annotations

import posix
from _struct import Struct

from minirun.errors import MinirunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WINSIZE = Struct("<4H")
CHUNK = 65536


def send_master(path: str, master: int) -> None:
    """The descriptor as SCM_RIGHTS over an AF_UNIX stream, its name as the data (runc's docs/terminals.md)."""
    from minirun.linux import unix

    try:
        link = unix.connect(path, stream=True)
        try:
            unix.send(link, b"/dev/ptmx", master)
        finally:
            posix.close(link)
    except OSError as error:
        raise MinirunError("cannot hand over the terminal", reason=f"{path}: {error.strerror}") from error


class Relay:
    """stdin -> master and master -> stdout, with our own terminal in raw mode meanwhile."""

    def __init__(self, master: int) -> None:
        self.master = master
        self.saved: list[Any] | None = None
        self.input_open = True
        self.pending = b""
        if posix.isatty(0):
            import termios

            self.saved = termios.tcgetattr(0)
            self.raw()
            self.resize()

    def raw(self) -> None:
        """As cfmakeraw(3), but output processing stays with the inner terminal."""
        import termios

        assert self.saved is not None
        mode: list[Any] = list(termios.tcgetattr(0))
        mode[0] &= ~(
            termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP
            | termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON
        )  # fmt: skip
        mode[1] &= ~termios.OPOST
        mode[2] = mode[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        mode[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        termios.tcsetattr(0, termios.TCSANOW, mode)

    def resize(self) -> None:
        """Our window's size is the container's (SIGWINCH)."""
        import fcntl
        import termios

        try:
            size = fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(WINSIZE.size))
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, size)
        except OSError:
            return

    def from_user(self) -> bool:
        """Read what was typed; False at its end."""
        try:
            data = posix.read(0, CHUNK)
        except OSError:
            data = b""
        if not data:
            self.input_open = False
            self.pending += b"" if self.saved else b"\x04"  # a pipe that ended is Ctrl-D on the terminal
            return False
        self.pending += data
        return True

    def to_container(self) -> None:
        try:
            self.pending = self.pending[posix.write(self.master, self.pending) :]
        except OSError:
            self.pending = b""

    def from_container(self) -> bool:
        """Copy what the container wrote; False when the last slave is closed (EIO)."""
        try:
            data = posix.read(self.master, CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        while data:
            try:
                data = data[posix.write(1, data) :]
            except OSError:
                return bool(data)
        return True

    def drain(self) -> None:
        """What is left after the process ended."""
        posix.set_blocking(self.master, False)
        while True:
            try:
                data = posix.read(self.master, CHUNK)
            except OSError:
                return
            if not data:
                return
            while data:
                data = data[posix.write(1, data) :]

    def restore(self) -> None:
        if self.saved is not None:
            import termios

            termios.tcsetattr(0, termios.TCSADRAIN, self.saved)
            self.saved = None

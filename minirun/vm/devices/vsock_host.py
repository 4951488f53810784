"""A unix socket of the host's, and those beside it, when the path to them is gone.

bind(2) and connect(2) have no variants that take a directory.  So the directory is kept open, and is the current one
for a moment: nothing in the VMM uses that otherwise, and a name without a path is short enough for any sun_path.
"""

from __future__ import annotations

import _socket
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FLAGS = _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC


class Place:
    """``path`` is where to listen; whom to call is listening at ``path`` and a suffix.

    ``folder``: its directory, open already (and ours from now on), if not -1; ``path`` is a name then.
    """

    def __init__(self, path: str, folder: int = -1) -> None:
        above, slash, self.name = path.rpartition("/")
        self.folder = folder if folder >= 0 else posix.open(above or slash or ".", posix.O_PATH | posix.O_CLOEXEC)

    def listen(self) -> int:
        try:
            return self.here(lambda: listening(self.name))
        except OSError as error:
            posix.close(self.folder)
            raise OSError(error.errno, error.strerror, self.name) from None

    def connect(self, suffix: str) -> int:
        """Non-blocking, as the call is: somebody whose backlog is full is nobody."""
        return self.here(lambda: connected(self.name + suffix))

    def close(self) -> None:
        try:
            posix.unlink(self.name, dir_fd=self.folder)
        except OSError:
            pass
        posix.close(self.folder)

    def here(self, act: Callable[[], int]) -> int:
        before = posix.open(".", posix.O_PATH | posix.O_CLOEXEC)
        posix.fchdir(self.folder)
        try:
            return act()
        finally:
            posix.fchdir(before)
            posix.close(before)


def connected(name: str) -> int:
    end = _socket.socket(_socket.AF_UNIX, FLAGS)
    try:
        end.connect(name)
        return end.detach()
    finally:
        end.close()


def listening(name: str) -> int:
    """At ``name``; a socket that nobody answers at any more makes way."""
    end = _socket.socket(_socket.AF_UNIX, FLAGS)
    mask = posix.umask(0o177)
    try:
        try:
            end.bind(name)
        except OSError:
            if not abandoned(name):
                raise
            posix.unlink(name)
            end.bind(name)
        end.listen(64)
        return end.detach()
    finally:
        posix.umask(mask)
        end.close()


def abandoned(name: str) -> bool:
    try:
        posix.close(connected(name))
    except ConnectionRefusedError:
        return True
    except OSError:
        pass
    return False

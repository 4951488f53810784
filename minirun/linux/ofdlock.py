"""fcntl(2), open file description locks: a byte of a file locked for as long as the descriptor is open.

One file has room for the locks of everything that has a number, so no lock file need ever be removed (and raced for).
They end with the descriptor, that is with the process at the latest.
"""

from __future__ import annotations

import fcntl
from _struct import pack

F_OFD_SETLKW = 38
F_WRLCK = 1


def lock(fd: int, number: int) -> None:
    """Wait for byte ``number`` of the file; EINTR is retried by Python."""
    fcntl.fcntl(fd, F_OFD_SETLKW, pack("hhqqi4x", F_WRLCK, 0, number, 1, 0))

"""One who is connected to a monitor: what it asked for, and what it has still to take."""

from __future__ import annotations

import posix
import time

from minirun.linux import unix

TYPE_CHECKING = False

HIGH = 256 << 10  # bytes waiting for a client above which the container's output is not read
PATIENCE = 5.0  # seconds without taking anything until one who is not a pipe's end is sent away


class Client:
    """``wants`` is empty until its A has come."""

    def __init__(self, fd: int, wants: str = "") -> None:
        self.fd = fd
        self.wants = wants
        self.queue: list[bytes] = []
        self.queued = 0
        self.since = 0.0  # when it last took something, while something waits
        self.leaving = False  # its last record is in the queue
        posix.set_blocking(fd, False)

    def give(self, record: bytes) -> None:
        if self.fd < 0 or self.leaving:
            return
        if not self.queue:
            self.since = time.monotonic()
        self.queue.append(record)
        self.queued += len(record)

    def nudge(self, record: bytes) -> None:
        """Only if nothing waits: it says nothing new."""
        if not self.queue:
            self.give(record)

    def flush(self) -> bool:
        """Send what goes; False if nobody is there any more."""
        while self.queue:
            try:
                unix.send(self.fd, self.queue[0])
            except BlockingIOError:
                return True
            except OSError:
                return False
            self.queued -= len(self.queue.pop(0))
            self.since = time.monotonic()
        return not self.leaving

    def full(self) -> bool:
        return self.queued > HIGH

    def stuck(self) -> bool:
        """Others wait for it, it takes nothing, and is nobody to wait for.  A log follower that sleeps is not stuck."""
        if "p" in self.wants or not (self.full() or (self.leaving and self.queue)):
            return False
        return time.monotonic() - self.since > PATIENCE

    def close(self) -> None:
        if self.fd >= 0:
            posix.close(self.fd)
            self.fd = -1

"""One epoll(7) loop for everything in the VMM that is not a vCPU: descriptors in, callbacks out.

``lock`` is held while a callback runs; the vCPU threads take it while they are in a device.  So devices in Python are
never entered twice, and need no lock of their own.
"""

from __future__ import annotations

import select
from _thread import RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

IN, OUT, HUP, ERR = select.EPOLLIN, select.EPOLLOUT, select.EPOLLHUP, select.EPOLLERR


class Loop:
    """``add`` a descriptor with a callback that takes the events that came."""

    def __init__(self) -> None:
        self.epoll = select.epoll(flags=select.EPOLL_CLOEXEC)
        self.callbacks: dict[int, Callable[[int], None]] = {}
        self.lock = RLock()
        self.running = False

    def add(self, fd: int, callback: Callable[[int], None], events: int = IN) -> None:
        """Raises PermissionError for a regular file or directory: those are always ready."""
        self.epoll.register(fd, events)
        self.callbacks[fd] = callback

    def change(self, fd: int, events: int) -> None:
        self.epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """To be called before the descriptor is closed; nothing happens if it is not there."""
        if self.callbacks.pop(fd, None) is not None:
            self.epoll.unregister(fd)

    def run(self) -> None:
        """Until ``stop``."""
        self.running = True
        while self.running:
            events = self.epoll.poll()
            with self.lock:
                for fd, event in events:
                    callback = self.callbacks.get(fd)  # an earlier one may have removed it
                    if callback is not None:
                        callback(event)

    def stop(self) -> None:
        """From a callback: ``run`` returns after this round."""
        self.running = False

    def close(self) -> None:
        """When nobody will wait any more."""
        self.callbacks.clear()
        self.epoll.close()

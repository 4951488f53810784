"""The gate of a created container, where ``start`` comes (native/init/sync.c, ``open_gate``, does it on the host).

A connection may say START, or close again: ``state`` only wants to see whether anybody is there, and a start may have
been killed.  So connections wait side by side, and the first START is the one.
"""

from __future__ import annotations

import posix

from minirun.engine.protocol import START
from minirun.linux import unix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.vm.loop import Loop

MOST = 16  # connections at the same time


class Gate:
    """``fd`` is the listening socket; ``opened`` takes the connection, and what came with START."""

    def __init__(self, loop: Loop, fd: int, opened: Callable[[int, int], None]) -> None:
        self.loop = loop
        self.fd = fd
        self.opened = opened
        self.callers: list[int] = []

    def listen(self) -> None:
        posix.set_blocking(self.fd, False)
        self.loop.add(self.fd, self.knock)

    def knock(self, events: int) -> None:
        try:
            caller = unix.accept(self.fd)
        except OSError:
            return
        if len(self.callers) >= MOST:
            posix.close(caller)
            return
        self.callers.append(caller)
        self.loop.add(caller, lambda events: self.word(caller))

    def word(self, caller: int) -> None:
        """START, or the end of the connection."""
        try:
            data, passed = unix.receive(caller, 4)
        except BlockingIOError:
            return
        except OSError:
            data, passed = b"", -1
        self.callers.remove(caller)
        self.loop.remove(caller)
        if data == START:
            self.close()
            self.opened(caller, passed)
        else:
            posix.close(caller)
        if passed >= 0:
            posix.close(passed)

    def close(self) -> None:
        for fd in [*self.callers, self.fd]:
            if fd >= 0:
                self.loop.remove(fd)
                posix.close(fd)
        self.callers, self.fd = [], -1

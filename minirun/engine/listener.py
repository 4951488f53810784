"""The listener of a filter that asks somebody (seccomp_unotify(2)): out of init's hands, without a word from init.

Init has told us of a page that we both see (``protocol.PAGE``) and loads its filter.  From that moment on it makes no
system call; what happens next is read from the page, the listener is taken by its number, and init goes on only once
somebody has it who answers.
"""

from __future__ import annotations

import posix
import select
import time

from minirun.engine.protocol import GO_ON, LOADED, PAGE
from minirun.errors import MinirunError
from minirun.linux import unix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MOMENT = 50e-6  # seconds between two looks at the page; loading takes some ten of them at most


def hand_over(page: int, pidfd: int, link: int, deliver: Callable[[int], None]) -> None:
    """Wait until the filter is loaded, give the listener to ``deliver``, let init go on; ``page`` is closed.

    Returns early when init has something to say on ``link`` (the kernel refused the filter), or is gone: whoever reads
    from there next learns of it.  Raises what ``deliver`` raises, init then still waits and has to be killed; and
    MinirunError if it took so long that init is gone.
    """
    try:
        number = loaded(page, pidfd, link)
        if number < 0:
            return
        listener = unix.take_fd(pidfd, number)
        try:
            deliver(listener)
        finally:
            posix.close(listener)
        posix.pwrite(page, PAGE.pack(GO_ON, number), 0)
        if ended(pidfd):
            raise MinirunError(
                "cannot go on", reason="init is gone: it waits some seconds for the agent, and no longer"
            )
    finally:
        posix.close(page)


def ended(pidfd: int) -> bool:
    end = select.poll()
    end.register(pidfd, select.POLLIN)
    return bool(end.poll(0))


def loaded(page: int, pidfd: int, link: int) -> int:
    """The listener's number in init; -1 if there will be none."""
    ends = select.poll()
    for fd in (pidfd, link):
        ends.register(fd, select.POLLIN)
    while True:
        over = ends.poll(0)  # before the look: init may have loaded it and died since
        state, number = PAGE.unpack(posix.pread(page, PAGE.size, 0))
        if state == LOADED and not over:
            return int(number)
        if over:
            return -1
        time.sleep(MOMENT)

"""The program's standard descriptors: pipes, a terminal, /dev/null, or the caller's own (--log-driver passthrough).

They are put in the monitor's own places 0, 1 and 2 for the moment of the start, because that is where every isolation
takes them from; behind it the monitor has /dev/null there again.
"""

from __future__ import annotations

import posix

from minirun.container.hub import Ends

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.container.record import Container
    from minirun.runtime.create import Created


def passes(container: Container) -> bool:
    """The program has the caller's own descriptors: nothing goes through us."""
    return container.logDriver == "passthrough" and not container.tty


def make_ends(container: Container) -> Ends:
    ends = Ends()
    if passes(container) or container.tty:
        return ends
    if container.stdin:
        reads, ends.stdin = posix.pipe2(posix.O_CLOEXEC)
        posix.set_blocking(ends.stdin, False)
        put(reads, 0)
    for place, letter in ((1, "O"), (2, "R")):
        ours, writes = posix.pipe2(posix.O_CLOEXEC)
        posix.set_blocking(ours, False)
        ends.outputs[ours] = letter
        put(writes, place)
    return ends


def put(fd: int, place: int) -> None:
    posix.dup2(fd, place)
    posix.close(fd)


def to_null() -> None:
    null = posix.open("/dev/null", posix.O_RDWR | posix.O_CLOEXEC)
    for fd in (0, 1, 2):
        posix.dup2(null, fd)
    if null > 2:
        posix.close(null)


def after_start(container: Container, ends: Ends, created: Created) -> None:
    """The program has its ends: ours are /dev/null again, and a terminal's master is known."""
    if not passes(container):
        to_null()
    init = created.site.init
    if container.tty and init is not None and init.terminal >= 0:
        posix.set_blocking(init.terminal, False)
        ends.terminal = ends.stdin = init.terminal
        ends.outputs[init.terminal] = "O"

"""What a monitor is made from, its first steps as a process of its own, and how it speaks to whoever waits for it."""

from __future__ import annotations

import posix
from _signal import SIG_DFL, SIG_SETMASK, SIGCHLD, pthread_sigmask, signal

from minirun.container import protocol
from minirun.container.ends import passes, to_null
from minirun.errors import MinirunError
from minirun.linux import unix
from minirun.linux.descriptors import bundle, close_others
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.container.life import Attach, Place
    from minirun.container.record import Container
    from minirun.container.shelf import Held, Shelf
    from minirun.runtime.create import Created


class Parts(Record):
    shelf: Shelf
    place: Place
    container: Container
    held: Held
    channel: int  # to whoever starts it
    attach: Attach | None
    size: bytes = b""  # of the client's terminal
    wants: str = ""  # the first client's letters


def say(channel: int, error: BaseException) -> None:
    told = error if isinstance(error, MinirunError) else MinirunError(
        "the monitor met a case it does not know", reason=words(error)
    )  # fmt: skip
    try:
        unix.send(channel, protocol.pack(told))
    except (OSError, ValueError):
        return


def words(error: BaseException) -> str:
    """What the host refuses is no defect of ours."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"{error.__class__.__name__}: {error}"


def detach(parts: Parts) -> None:
    """A session of its own; nothing of the parent's stays open."""
    posix.setsid()
    signal(SIGCHLD, SIG_DFL)  # or there would be nobody to wait for
    posix.chdir("/")
    if not passes(parts.container):
        to_null()
    close_others(sorted({0, 1, 2, parts.channel, parts.held.fd, *bundle()}))


def hear() -> None:
    """Signals come through from here on: the mask was the client's, who collects them to pass them on."""
    pthread_sigmask(SIG_SETMASK, ())


def listen(directory: int) -> int:
    """monitor.sock; a monitor that was killed left its own."""
    try:
        posix.unlink(protocol.SOCKET, dir_fd=directory)
    except FileNotFoundError:
        pass
    return unix.listen(protocol.address(directory))


def out_of_memory(created: Created) -> bool:
    """memory.events counts the kills of the container's own limit."""
    from minirun.facts import read

    if not created.state.cgroup:
        return False
    words = read(f"{created.state.cgroupRoot}{created.state.cgroup}/memory.events").split()
    return "oom_kill" in words and words[words.index("oom_kill") + 1] != "0"

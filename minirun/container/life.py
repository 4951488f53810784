"""A container's life, as the verbs see it: start, stop, kill, wait, pause, remove; and the truth about it.

Every start forks a monitor (``monitor``), which holds what must live as long as the container does and writes down how
it ended.  The verbs talk to the kernel and to the monitor's socket; they never believe ``status.json`` alone.
"""

from __future__ import annotations

from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.container.record import Container, Status
    from minirun.container.shelf import Shelf


class Place(Record):
    """Where containers live and who asks: --storage, --root, and the caller's environment."""

    storage: str
    root: str  # of the runtime's store; networks' leases are below it
    env: dict[str, str]
    cwd: str = "/"
    warn: Callable[[str], None]


class Attach(Record):
    """What a foreground client does with a container's ends."""

    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    tty: bool = False
    sig_proxy: bool = True
    detach_keys: str = "ctrl-p,ctrl-q"


def start(shelf: Shelf, place: Place, container: Container, attach: Attach | None = None) -> int:
    """Start it.  Without ``attach`` returns 0 once the program runs; with it, the exit code once it has ended (or 0
    after the detach keys).  Raises MinirunError (exit code 125, 126 or 127) when it did not come to run; a container
    with ``remove`` is gone then, any other is left as exited.
    """
    raise NotImplementedError


def stop(shelf: Shelf, place: Place, container: Container, seconds: int | None = None, number: int = 0) -> None:
    """Its stop signal (or ``number``), ``seconds`` of patience, then KILL.  No policy restarts it."""
    raise NotImplementedError


def kill(shelf: Shelf, place: Place, container: Container, number: int) -> None:
    raise NotImplementedError


def wait(shelf: Shelf, place: Place, container: Container) -> int:
    """Its exit code, once it has ended."""
    raise NotImplementedError


def remove(shelf: Shelf, place: Place, container: Container, *, force: bool = False, volumes: bool = False) -> None:
    """Undo create.  ``volumes``: with its anonymous volumes."""
    raise NotImplementedError


def truth(shelf: Shelf, place: Place, container: Container) -> Status:
    """Its status, checked against the processes; what is wrong is mended (see ``repair``)."""
    raise NotImplementedError


def repair(shelf: Shelf, place: Place) -> list[str]:
    """Containers whose monitor died, whose host rebooted, or that were left half made: made true, mounts and leases
    released.  Returns what was done, in words."""
    raise NotImplementedError

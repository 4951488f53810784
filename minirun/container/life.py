"""A container's life, as the verbs see it: start, stop, kill, wait, pause, remove.

Every start forks a monitor (``monitor``), which holds what must live as long as the container does and writes down how
it ended.  The verbs talk to the kernel and to the monitor's socket; they never believe ``status.json`` alone
(``truth``).
"""

from __future__ import annotations

import posix
import select
from time import monotonic

from minirun.container import protocol
from minirun.container.record import CREATED, EXITED, PAUSED, RESTARTING, RUNNING
from minirun.container.truth import mended, monitored, repair, truth
from minirun.errors import MinirunError
from minirun.linux import unix
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.container.record import Container, Status
    from minirun.container.shelf import Shelf

__all__ = ["Attach", "Place", "kill", "pause", "remove", "repair", "start", "stop", "truth", "wait"]
TERM, KILL = 15, 9
GRACE = 10.0  # seconds for a killed container to be cleared up


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

    def letters(self) -> str:
        return "o" * self.stdout + "e" * self.stderr + "i" * self.stdin


def start(shelf: Shelf, place: Place, container: Container, attach: Attach | None = None) -> int:
    """Start it.  Without ``attach`` returns 0 once the program runs; with it, the exit code once it has ended (or 0
    after the detach keys).  Raises MinirunError (exit code 125, 126 or 127) when it did not come to run; a container
    with ``remove`` is gone then, any other is left as exited.
    """
    from minirun.container import client_side, monitor
    from minirun.container.parts import Parts

    if attach is not None:
        client_side.detach_keys(attach.detach_keys)  # a wrong word starts nothing
    held = shelf.hold(container.id)
    try:
        status = mended(shelf, place, container)
        if monitored(status) and status.status not in (CREATED, EXITED):
            raise MinirunError(f"cannot start container {container.name}", reason=f"it is {status.status} already")
        ours, theirs = unix.pair()
        size = client_side.window() if attach is not None and attach.tty else b""
        letters = attach.letters() + "p" if attach is not None else ""
        signals = client_side.watch(attach)
        pid = posix.fork()
        if pid == 0:
            monitor.live(
                Parts(
                    shelf=shelf, place=place, container=container, held=held, channel=theirs, attach=attach,
                    size=size, wants=letters,
                )
            )  # fmt: skip
        posix.close(theirs)
    finally:
        held.close()
    try:
        client_side.until_it_runs(ours, pid, signals, place.warn)
    except MinirunError:
        if container.remove:  # a monitor that was killed did not come to it
            remove(shelf, place, container, force=True, volumes=True)
        raise
    if attach is None:
        posix.close(ours)
        return 0
    return client_side.follow(ours, attach, signals)


def link_to(shelf: Shelf, container: Container, letters: str = "") -> int:
    """A connection to its monitor; -1 if there is none (any more)."""
    try:
        return protocol.connect(shelf.directory(container.id), letters)
    except OSError:
        return -1


class Stopping(Record):
    """One that was asked to end: the connection to its monitor, and until when it is waited for (None: for ever)."""

    container: Container
    link: int
    until: float | None


def stop(shelf: Shelf, place: Place, container: Container, seconds: int | None = None, number: int = 0) -> None:
    """Its stop signal (or ``number``), ``seconds`` of patience, then KILL.  No policy restarts it."""
    asked = ask_to_stop(shelf, place, container, seconds, number)
    if asked is not None:
        see_stopped(place, asked)


def ask_to_stop(shelf: Shelf, place: Place, container: Container, seconds: int | None, number: int) -> Stopping | None:
    """None if it has ended already.  ``see_stopped`` is to follow: several can be asked first."""
    status = truth(shelf, place, container)
    link = link_to(shelf, container) if status.status in (RUNNING, PAUSED, RESTARTING) else -1
    if link < 0:
        truth(shelf, place, container)
        return None
    try:
        ask(link, b"T", b"K")
        if status.status in (RUNNING, PAUSED):
            signal(place, container, number or stop_signal(container))
            if status.status == PAUSED:
                thaw(place, container)
    except BaseException:
        posix.close(link)
        raise
    patience = container.stopTimeout if seconds is None else seconds
    return Stopping(container=container, link=link, until=None if patience < 0 else monotonic() + patience)


def see_stopped(place: Place, asked: Stopping) -> None:
    container = asked.container
    try:
        if until_end(asked.link, asked.until) is None:
            signal(place, container, KILL)
            if until_end(asked.link, monotonic() + GRACE) is None:
                raise MinirunError(f"cannot stop container {container.name}", reason="it does not end (D state?)")
    finally:
        posix.close(asked.link)


def stop_signal(container: Container) -> int:
    if not container.stopSignal:
        return TERM
    from minirun.runtime.signals import signal_number

    return signal_number(container.stopSignal)


def ask(link: int, order: bytes, answer: bytes) -> None:
    """Say something and hear that it was understood (or that all is over)."""
    try:
        unix.send(link, order)
        while (data := receive(link)) and data[:1] != answer:
            continue
    except OSError:
        return


def receive(link: int) -> bytes:
    return unix.receive(link, protocol.LARGEST)[0]


def until_end(link: int, until: float | None) -> int | None:
    """Its exit code; -1 if the monitor was killed; None if the time is over first."""
    poller = select.poll()
    poller.register(link, select.POLLIN)
    while True:
        left = None if until is None else max(until - monotonic(), 0) * 1000
        if not poller.poll(left):
            return None
        try:
            data = receive(link)
        except OSError:
            data = b""
        if not data:
            return -1
        if data[:1] == b"X":
            return int(data[1:])


def signal(place: Place, container: Container, number: int) -> bool:
    """To the program; False if it is gone."""
    from minirun.runtime import lifecycle
    from minirun.runtime.store import Store

    try:
        lifecycle.kill(Store(place.root), container.id, number)
    except MinirunError as error:
        if error.reason == "container not running" or error.errno_name == "ENOENT":
            return False
        raise
    return True


def kill(shelf: Shelf, place: Place, container: Container, number: int) -> None:
    """A signal; KILL counts as a stop: no policy restarts it, and who comes next sees that it has ended."""
    status = truth(shelf, place, container)
    if status.status not in (RUNNING, PAUSED, RESTARTING):
        raise not_running("kill", container, status)
    ends = number in (KILL, TERM)
    link = link_to(shelf, container) if ends else -1
    try:
        if link >= 0:
            ask(link, b"T", b"K")
        if status.status == RESTARTING and ends:
            return
        if not signal(place, container, number) and not ends:  # of those that end it one may well come too late
            raise not_running("kill", container, truth(shelf, place, container))
        if number == KILL and link >= 0:
            until_end(link, monotonic() + GRACE)
    finally:
        if link >= 0:
            posix.close(link)


def not_running(verb: str, container: Container, status: Status) -> MinirunError:
    reason = f"it is {status.status}, not running" if status.status != RUNNING else "it is not running any more"
    return MinirunError(f"cannot {verb} container {container.name}", reason=reason, exit_code=1)


def wait(shelf: Shelf, place: Place, container: Container) -> int:
    """Its exit code, once it has ended."""
    while True:
        status = truth(shelf, place, container)
        if status.status not in (RUNNING, PAUSED, RESTARTING, CREATED):
            return status.exitCode
        link = link_to(shelf, container)
        if link < 0:
            if status.status == CREATED and not monitored(status):
                return status.exitCode
            posix.sched_yield()
            select.select([], [], [], 0.02)  # starting, or just about to be over
            continue
        try:
            code = until_end(link, None)
        finally:
            posix.close(link)
        if code is not None and code >= 0:
            return code


def thaw(place: Place, container: Container) -> None:
    pause(place, container, False)


def pause(place: Place, container: Container, frozen: bool) -> None:
    from minirun.runtime import lifecycle
    from minirun.runtime.store import Store

    try:
        lifecycle.freeze(Store(place.root), container.id, frozen)
    except MinirunError as error:
        verb = "pause" if frozen else "unpause"
        reason = "it is not running" if error.errno_name == "ENOENT" else error.reason
        raise MinirunError(f"cannot {verb} container {container.name}", reason=reason, exit_code=1) from error


def remove(shelf: Shelf, place: Place, container: Container, *, force: bool = False, volumes: bool = False) -> None:
    """Undo create.  ``volumes``: with its anonymous volumes."""
    try:
        status = truth(shelf, place, container)
    except MinirunError as error:
        if error.errno_name == "ENOENT":  # --rm, and its monitor was killed
            return
        raise
    if monitored(status) and status.status in (RUNNING, PAUSED, RESTARTING):
        if not force:
            raise MinirunError(
                f"cannot remove container {container.name}", reason=f"it is {status.status}", exit_code=1,
                hint=f"minirun container stop {container.name} first, or rm -f",
            )  # fmt: skip
        stop(shelf, place, container, 0, KILL)
    try:
        held = shelf.hold(container.id)
    except MinirunError:
        return  # --rm was quicker
    with held:
        if not shelf.exists(container.id):
            return
        if monitored(now := shelf.status(container.id)) and now.status in (RUNNING, RESTARTING):
            reason = "it was started meanwhile"
            raise MinirunError(f"cannot remove container {container.name}", reason=reason, exit_code=1)
        from minirun.container import stage
        from minirun.container.place import discard

        stage.clear(shelf, place, container)
        discard(shelf, shelf.load(container.id), volumes=volumes)

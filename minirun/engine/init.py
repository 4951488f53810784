"""The process that becomes the container, as the host sees it: a pid, a pidfd and a socket."""

from __future__ import annotations

import posix

from minirun.engine.protocol import FAILED, FORKED, GO, LISTENER, MESSAGE, READY, SYNC, TERMINAL, TRACE, WARNING
from minirun.errors import MinirunError
from minirun.linux import unix
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SIGKILL = 9
DEATHS = {
    128 + SIGKILL: "a memory limit below what the set-up needs, or somebody's kill",
    128
    + 31: "the filter of /linux/seccomp kills for what exec still has to do: set /process/noNewPrivileges, and it is"
    " loaded later",
}


class Failure(Record):
    """Init's report."""

    step: int
    errno: int
    call: str
    detail: str


class InitFailed(Exception):
    """Init said why it cannot go on; ``execute`` turns it into words."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


class Init:
    """A spawned ``minirun-init``.  ``pid`` changes once if the plan forks."""

    def __init__(self, pid: int, pidfd: int, sync: int) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.sync = sync
        self.terminal = -1
        self.terminal_due = False  # does the plan have a terminal that init has still to send?
        self.times: dict[int, int] = {}
        self.warn: Callable[[int, str], None] = lambda step, text: None
        self.deliver: Callable[[int, int], None] | None = None  # takes a filter's listener, and our pid
        self.status: int | None = None

    def expect(self, wanted: int) -> None:
        """Read messages until ``wanted`` comes.  Raises InitFailed, or MinirunError if init is gone."""
        while True:
            data, passed = unix.receive(self.sync, MESSAGE.size)
            if not data:
                raise self.died()
            kind, step, errno, value, took, call, detail = MESSAGE.unpack(data)
            if kind == wanted:
                return
            if kind == TRACE:
                self.times[step] = took
            elif kind == FAILED:
                raise InitFailed(Failure(step=step, errno=errno, call=text(call), detail=text(detail)))
            elif kind == FORKED:
                self.forked(value)
            elif kind == WARNING:
                self.warn(step, text(detail))
            elif kind == TERMINAL:
                self.take_terminal(passed)
            elif kind == LISTENER:
                self.listener(passed)
            else:
                raise MinirunError("cannot go on", reason=f"init said {kind} where {wanted} was expected")

    def take_terminal(self, passed: int) -> None:
        """One, and only where the plan has one: ours would be given away to whatever else is sent as one."""
        if self.terminal_due:
            self.terminal, self.terminal_due = passed, False
        elif passed >= 0:
            posix.close(passed)

    def forked(self, pid: int) -> None:
        """The child that init left behind (CLONE_PARENT) is ours: it is init from now on.

        A container that may trace can see the child, and could speak in its place: of a process of the host's, for us
        to signal.  What is no child of ours is not listened to.
        """
        if not is_child(pid):
            return
        posix.waitpid(self.pid, 0)
        posix.close(self.pidfd)
        self.pid = pid
        self.pidfd = posix.pidfd_open(pid)
        self.send(GO)

    def send(self, order: bytes, fd: int = -1) -> None:
        try:
            unix.send(self.sync, order, fd)
        except BrokenPipeError as error:
            raise self.died() from error

    def reach(self) -> None:
        self.expect(SYNC)

    def ready(self) -> None:
        self.expect(READY)

    def started(self) -> None:
        """After START: end of file means that exec succeeded.  Raises InitFailed."""
        while True:
            data, passed = unix.receive(self.sync, MESSAGE.size)
            if not data:
                return
            kind, step, errno, _, took, call, detail = MESSAGE.unpack(data)
            if kind == TRACE:
                self.times[step] = took
            elif kind == FAILED:
                raise InitFailed(Failure(step=step, errno=errno, call=text(call), detail=text(detail)))
            elif kind == LISTENER:
                self.listener(passed)

    def listener(self, page: int) -> None:
        from minirun.engine.listener import hand_over

        deliver = self.deliver
        assert deliver is not None
        hand_over(page, self.pidfd, self.sync, lambda listener: deliver(listener, self.pid))

    def died(self) -> MinirunError:
        status = self.wait()
        if status > 128:
            reason = f"init was killed by signal {status - 128}"
            return MinirunError("cannot go on", reason=reason, hint=DEATHS.get(status, ""))
        return MinirunError("cannot go on", reason=f"init ended with status {status} and said nothing")

    def wait(self) -> int:
        """Reap it; its exit code, or 128+n for signal n."""
        if self.status is None:
            _, raw = posix.waitpid(self.pid, 0)
            code = posix.waitstatus_to_exitcode(raw)
            self.status = code if code >= 0 else 128 - code
        return self.status

    def kill(self) -> None:
        """End it and leave no zombie."""
        if self.status is not None:
            return
        from _signal import pidfd_send_signal

        try:
            pidfd_send_signal(self.pidfd, SIGKILL)
        except ProcessLookupError:
            pass
        self.wait()


def is_child(pid: int) -> bool:
    try:
        posix.waitid(posix.P_PID, pid, posix.WEXITED | posix.WNOHANG | posix.WNOWAIT)
    except OSError:  # ECHILD; EINVAL for no pid at all
        return False
    return pid > 0


def text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")

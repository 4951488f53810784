"""A process that is warm before it is known what for: it will be a sandbox's first.

minirun begins it as soon as the command line says ``--isolation sandbox``.  While minirun reads config.json, checks and
plans, the zygote imports the application kernel and makes a VM, on another CPU; then it waits for its order.  With
that it becomes the container's first process (inside.py).  Who is begun for nothing finds the socket's end, and ends.

    minirun   --+-- parse -- check -- plan --+-- host operations --- ...
                |                            | order
    zygote      +-- import -- VM ------------+-- clone3 --+
                                                          |
    container                                             +-- the plan's half -- load -- serve
"""

from __future__ import annotations

import posix
from _signal import SIG_DFL, SIGHUP, SIGINT, SIGKILL, SIGTERM, getsignal, signal
from _struct import Struct
from marshal import dumps

from minirun import hot
from minirun.engine.init import is_child
from minirun.errors import MinirunError
from minirun.linux import lib, memfd, unix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ANSWER = Struct("<ii160s")  # the pid of the container's first process, or 0 with errno and what has failed
FAILED = 125


class Zygote:
    """Our end of it: one order, then ``first``."""

    def __init__(self, pid: int, socket: int) -> None:
        self.pid = pid
        self.socket = socket

    def order(self, words: dict[str, Any], fds: dict[str, int]) -> None:
        """A part of it, with descriptors: those in ``fds`` that are open."""
        passed = {name: fd for name, fd in fds.items() if fd >= 0}
        document = memfd.seal_bytes("minirun-order", dumps((words, list(passed))))
        try:
            unix.send_fds(self.socket, [document, *passed.values()])
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has answered already, or never will
        finally:
            posix.close(document)

    def first(self) -> int:
        """The pid of the container's first process, our child.  Raises OSError: what has failed; or MinirunError."""
        answer, _ = unix.receive(self.socket, ANSWER.size)
        if len(answer) != ANSWER.size:
            raise MinirunError("cannot make a sandbox", reason=f"the process that was to be one is gone: {self.end()}")
        pid, number, call = ANSWER.unpack(answer)
        if not is_child(pid):
            self.dismiss()
            raise OSError(number, posix.strerror(number), call.rstrip(b"\0").decode("utf-8", "replace"))
        self.end()
        return int(pid)

    def end(self) -> str:
        """It has ended, or is about to."""
        pid, self.pid = self.pid, 0
        if not pid:
            return ""
        posix.close(self.socket)
        code = reap(pid)
        return f"signal {-code}" if code < 0 else f"status {code}"

    def dismiss(self) -> None:
        """It is not needed (any more), nor what it may have become while nobody looked."""
        if not self.pid:
            return
        posix.kill(self.pid, SIGKILL)
        reap(self.pid)
        try:
            answer, _ = unix.receive(self.socket, ANSWER.size)
        finally:
            self.pid = 0
            posix.close(self.socket)
        if len(answer) == ANSWER.size and ANSWER.unpack(answer)[0] > 0:
            forsake(ANSWER.unpack(answer)[0])


def forsake(pid: int) -> None:
    """A container's first process of whom nobody knows yet."""
    if is_child(pid):
        posix.kill(pid, SIGKILL)
        reap(pid)


def reap(pid: int) -> int:
    """Its exit code, or -n for signal n."""
    return posix.waitstatus_to_exitcode(posix.waitpid(pid, 0)[1])


def begin(cache: str, *, vm: bool = True) -> Zygote:
    """``cache``: of compiled filters (engine/filter_cache.py); ``vm``: will the plan leave it its memory?"""
    ours, theirs = unix.pair()
    cpus = posix.sched_getaffinity(0)
    pid = posix.fork()
    if pid == 0:
        live(theirs, ours, cache, cpus, vm)
    elsewhere = cpus - {lib.minirun_cpu()}
    if elsewhere:  # a scheduler may leave it on our CPU for milliseconds; it has all of them again with its order
        affine(pid, elsewhere)
    posix.close(theirs)
    return Zygote(pid, ours)


def affine(pid: int, cpus: set[int]) -> None:
    """If it may be so: it is for speed."""
    try:
        posix.sched_setaffinity(pid, cpus)
    except OSError:
        pass


def live(socket: int, other: int, cache: str, cpus: set[int], vm: bool) -> None:
    """The zygote's whole life, and the container's first process'.  Nothing of minirun's own way may run on in it."""
    code = FAILED
    try:
        for number in (SIGHUP, SIGINT, SIGTERM):
            if callable(getsignal(number)):  # minirun's way to undo things
                signal(number, SIG_DFL)
        posix.close(other)
        hot.board("minirun.vm.sandbox.inside")
        from minirun.vm.sandbox import inside

        code = inside.live(socket, cache, cpus, vm)
    except BaseException as error:
        try:
            posix.write(2, f"minirun: the sandbox ended: {error.__class__.__name__}: {error}\n".encode())
        except OSError:
            pass
    finally:
        posix._exit(code)

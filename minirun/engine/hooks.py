"""Hooks that run on the host: a process each, the state on standard input, within its time."""

from __future__ import annotations

import posix
import select
from _signal import SIG_BLOCK, SIG_SETMASK, pthread_sigmask
from errno import ECANCELED, ETIMEDOUT

from minirun.linux.memfd import seal_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.plan.ops import Hook

SIGNALS = range(1, 65)
LONGEST = (1 << 31) - 1  # milliseconds that poll(2) takes: 24 days
ENDING = (1, 2, 15)  # what raises in us (runtime/interrupt.py)
UNTOUCHABLE = (9, 19, 32, 33)  # SIGKILL, SIGSTOP, and the two that glibc keeps


def run_hook(hook: Hook, state: bytes, outputs: tuple[str, str] = ("", "")) -> None:
    """Run and wait.  Raises OSError: what execve(2) says, ECANCELED for a status other than 0, ETIMEDOUT.

    The state comes as a memfd at offset 0: a hook that does not read it is no trouble.
    """
    opened = open_outputs(outputs)
    document = seal_bytes("minirun-state", state)
    reader = posix.open(f"/proc/self/fd/{document}", posix.O_RDONLY | posix.O_CLOEXEC)
    actions = [(posix.POSIX_SPAWN_DUP2, reader, 0), *((posix.POSIX_SPAWN_DUP2, fd, place) for place, fd in opened)]
    here = posix.open(".", posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        if hook.cwd:
            posix.chdir(hook.cwd)  # posix_spawn(3) has no word for it that Python knows
        pid, kept = spawn(hook.path, hook.args, environment(hook.env), actions)
    except OSError as error:
        raise OSError(error.errno, error.strerror, hook.path) from error
    finally:
        posix.fchdir(here)
        for fd in (here, document, reader, *(fd for _, fd in opened)):
            posix.close(fd)
    status = wait(pid, hook.timeout, kept)
    if status is None:
        raise OSError(ETIMEDOUT, f"no end after {hook.timeout} s", hook.path)
    if status != 0:
        raise OSError(ECANCELED, "the hook failed", str(status))


def open_outputs(outputs: tuple[str, str]) -> list[tuple[int, int]]:
    """(1 or 2, the file that takes at its end what is printed there).  Raises OSError with the file's name."""
    opened: list[tuple[int, int]] = []
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_CLOEXEC
    for place, path in enumerate(outputs, 1):
        if not path:
            continue
        try:
            opened.append((place, posix.open(path, flags, 0o600)))
        except OSError:
            for _, fd in opened:
                posix.close(fd)
            raise
    return opened


def environment(entries: list[str]) -> dict[str, str]:
    pairs = (entry.partition("=") for entry in entries)
    return {name: value for name, _, value in pairs}


def spawn(path: str, words: list[str], env: dict[str, str], actions: list[Any]) -> tuple[int, set[Any]]:
    """posix_spawn(3) with nothing of our signals; its pid, and the mask that ``wait`` is to bring back.

    Until then a signal that ends us must wait: there would be nobody yet to end the process as well.
    """
    kept = pthread_sigmask(SIG_BLOCK, ENDING)
    try:
        defaults = [number for number in SIGNALS if number not in UNTOUCHABLE]
        return posix.posix_spawn(path, words, env, file_actions=actions, setsigmask=[], setsigdef=defaults), kept
    except OSError:
        pthread_sigmask(SIG_SETMASK, kept)
        raise


def wait(pid: int, seconds: int, kept: set[Any]) -> int | None:
    """The exit code (128+n for a signal), or None when the time is up and the process was killed."""
    pidfd = posix.pidfd_open(pid)
    try:
        poller = select.poll()
        poller.register(pidfd, select.POLLIN)
        late = True
        try:
            pthread_sigmask(SIG_SETMASK, kept)  # what has come meanwhile is raised here
            late = not poller.poll(min(seconds * 1000, LONGEST) if seconds else None)
        finally:  # too late, or we are being ended ourselves
            if late:
                posix.kill(pid, 9)
            _, status = posix.waitpid(pid, 0)
    finally:
        posix.close(pidfd)
    code = posix.waitstatus_to_exitcode(status)
    return None if late else (code if code >= 0 else 128 - code)

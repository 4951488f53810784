"""Id maps through newuidmap(1) and newgidmap(1): programs with more rights than we have.

They decide by /etc/subuid and /etc/subgid, and what they say on standard error is the reason of a failure.  They get
nothing of ours: an empty environment, and no descriptors but /dev/null and the pipe that takes their words.
"""

from __future__ import annotations

import posix
from errno import EPERM, ETIMEDOUT
from fcntl import F_GETFD, FD_CLOEXEC, fcntl

from minirun.engine.hooks import spawn, wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.plan.ops import WriteTask

ACCOUNTS = 65536  # below, ids may be a person's or a service's on the host; ranges to give away are above
SECONDS = 60  # the name service may be a network away
LONGEST = 4096  # bytes of their words


class HelperFailed(OSError):
    """``call`` is what the report names in the place of a system call."""

    def __init__(self, op: WriteTask, number: int | None, reason: str | None, filename: str) -> None:
        super().__init__(number, reason, filename)
        self.call = f"{op.through.rpartition('/')[2]}(1)"


def write_map(op: WriteTask, pid: int) -> None:
    """argv: newuidmap PID INSIDE OUTSIDE SIZE ...

    Raises OSError: what execve(2) says; EPERM with the helper's own words when it refuses, and as the filename the
    command that would give the user the range; ETIMEDOUT.
    """
    reader, writer = posix.pipe2(posix.O_CLOEXEC)
    actions = [
        (posix.POSIX_SPAWN_OPEN, 0, "/dev/null", posix.O_RDONLY, 0),
        (posix.POSIX_SPAWN_OPEN, 1, "/dev/null", posix.O_WRONLY, 0),
        (posix.POSIX_SPAWN_DUP2, writer, 2),
        *[(posix.POSIX_SPAWN_CLOSE, fd) for fd in inheritable()],
    ]
    try:
        try:
            words = [op.through.rpartition("/")[2], str(pid), *op.value.split()]
            child, kept = spawn(op.through, words, {}, actions)
        except OSError as error:
            raise HelperFailed(op, error.errno, error.strerror, op.through) from error
        finally:
            posix.close(writer)
        status = wait(child, SECONDS, kept)  # its few words fit into the pipe
        said = posix.read(reader, LONGEST).decode("utf-8", "replace") if ready(reader) else ""
    finally:
        posix.close(reader)
    if status is None:
        raise HelperFailed(op, ETIMEDOUT, f"no end after {SECONDS} s", op.through)
    if status != 0:
        raise HelperFailed(op, EPERM, " ".join(said.split()) or f"it ended with status {status}", grant(op, said))


def ready(fd: int) -> bool:
    """Is there something to read?  Somebody whom the helper left behind may hold the other end."""
    from select import select

    return bool(select([fd], [], [], 0)[0])


def inheritable() -> list[int]:
    """What the caller left open for the container (--preserve-fds), or by mistake: no business of a setuid program."""
    found = []
    for name in posix.listdir("/proc/self/fd"):
        fd = int(name)
        try:
            if fd > 2 and not fcntl(fd, F_GETFD) & FD_CLOEXEC:
                found.append(fd)
        except OSError:  # the directory's own, closed by now
            continue
    return found


def grant(op: WriteTask, words: str) -> str:
    """The command that gives the caller the first range that the helper refused; "" if it refused something else.

    Whom the host's accounts belong to, root's above all, is not to be had by a command: then the detail is "accounts".
    It says "newuidmap: uid range [0-65536) -> [100000-165536) not allowed".
    """
    if "not allowed" not in words:
        return ""
    kind = op.file.partition("_")[0]
    numbers = [int(word) for word in op.value.split()]
    for first, size in zip(numbers[1::3], numbers[2::3], strict=True):
        if f"[{first}-{first + size})" in words:
            if first < ACCOUNTS:
                return "accounts"
            return f"usermod --add-sub{kind}s {first}-{first + size - 1} {login()}"
    return ""


def login() -> str:
    from pwd import getpwuid

    try:
        return getpwuid(posix.getuid()).pw_name
    except KeyError:
        return str(posix.getuid())

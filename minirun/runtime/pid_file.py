"""The file that conmon and containerd wait for: a pid, and nothing before it is whole."""

from __future__ import annotations

import posix

from minirun.errors import MinirunError


def write_pid_file(path: str, pid: int) -> None:
    """Atomically: conmon and containerd read it as soon as it is there."""
    if is_special(path):
        write_into(path, pid)
        return
    folder, _, name = path.rpartition("/")
    new = f"{folder}/.{name}.{pid}" if folder or path.startswith("/") else f".{name}.{pid}"
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC
    try:
        fd = posix.open(new, flags, 0o644)
        try:
            posix.write(fd, str(pid).encode())
            posix.rename(new, path)
        except OSError:
            posix.unlink(new)
            raise
        finally:
            posix.close(fd)
    except OSError as error:
        raise MinirunError("cannot write the pid file", reason=f"{path}: {error.strerror}") from error


def is_special(path: str) -> bool:
    """A device or a pipe, which a rename would replace by a file."""
    try:
        return posix.stat(path).st_mode & 0o170000 not in (0o100000, 0o040000)
    except OSError:
        return False


def write_into(path: str, pid: int) -> None:
    try:
        fd = posix.open(path, posix.O_WRONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
        try:
            posix.write(fd, str(pid).encode())
        finally:
            posix.close(fd)
    except OSError as error:
        raise MinirunError("cannot write the pid file", reason=f"{path}: {error.strerror}") from error

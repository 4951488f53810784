"""The shelf's files: read whole, replaced whole, and the two errors that everybody meets."""

from __future__ import annotations

import posix
from errno import EDQUOT, ENOSPC

from minirun.errors import MinirunError


def missing(word: str) -> MinirunError:
    return MinirunError(
        f"no such container: {word}", errno_name="ENOENT", hint="minirun container ps -a lists them", exit_code=1
    )


def unusable(path: str, error: OSError) -> MinirunError:
    full = error.errno in (ENOSPC, EDQUOT)
    hint = "minirun system prune makes room" if full else "--storage names another"
    return MinirunError("cannot use the storage", reason=f"{path}: {error.strerror}", hint=hint)


def open_directory(path: str) -> int:
    return posix.open(path, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC | posix.O_NOFOLLOW)


def same(path: str, fd: int) -> bool:
    try:
        return posix.stat(path).st_ino == posix.fstat(fd).st_ino
    except FileNotFoundError:
        return False


def read(path: str, container_id: str) -> bytes:
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except FileNotFoundError as error:
        raise missing(container_id[:12]) from error
    except OSError as error:
        raise unusable(path, error) from error
    try:
        parts = []
        while part := posix.read(fd, 65536):
            parts.append(part)
        return b"".join(parts)
    finally:
        posix.close(fd)


def replace(path: str, data: bytes) -> None:
    """All or nothing; a reader sees the old or the new.  Raises MinirunError: the disk is full, say."""
    new = f"{path}.new"
    try:
        write(new, data)
        posix.rename(new, path)
    except OSError as error:
        try:
            posix.unlink(new)
        except OSError:
            pass
        if error.errno in (ENOSPC, EDQUOT):
            from minirun.images.names_file import overwrite

            if overwrite(path, data):
                return
        hint = "minirun system prune makes room" if error.errno in (ENOSPC, EDQUOT) else ""
        raise MinirunError(f"cannot write {path}", reason=error.strerror or "", hint=hint) from error


def write(path: str, data: bytes) -> None:
    fd = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC, 0o600)
    try:
        while data:
            data = data[posix.write(fd, data) :]
    finally:
        posix.close(fd)

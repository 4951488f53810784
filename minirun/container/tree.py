"""Removing a container's directory: never through a symlink, never into a mount."""

from __future__ import annotations

import posix
from errno import EBUSY, ENOTEMPTY

TYPE_CHECKING = False

OPEN = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC | posix.O_NOFOLLOW


def remove_tree(path: str, *, keep_top: bool = False) -> None:
    """Everything below ``path`` on its own filesystem.  What is gone already is fine; a mount is an OSError (EBUSY)."""
    try:
        fd = posix.open(path, OPEN)
    except FileNotFoundError:
        return
    try:
        empty(fd, posix.fstat(fd).st_dev)
    finally:
        posix.close(fd)
    if not keep_top:
        try:
            posix.rmdir(path)
        except FileNotFoundError:
            pass


def empty(fd: int, device: int) -> None:
    """Depth by a list of our own: a container may have made directories deeper than Python's stack."""
    stack = [(fd, "", posix.listdir(fd))]
    while stack:
        here, name, names = stack[-1]
        if not names:
            stack.pop()
            if stack:
                posix.close(here)
                remove_directory(name, stack[-1][0])
            continue
        child = names.pop()
        try:
            posix.unlink(child, dir_fd=here)
            continue
        except FileNotFoundError:
            continue
        except (IsADirectoryError, PermissionError):
            pass
        below = posix.open(child, OPEN, dir_fd=here)
        if posix.fstat(below).st_dev != device:
            posix.close(below)
            raise OSError(EBUSY, posix.strerror(EBUSY), child)
        stack.append((below, child, posix.listdir(below)))


def remove_directory(name: str, parent: int) -> None:
    try:
        posix.rmdir(name, dir_fd=parent)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != ENOTEMPTY:
            raise


def usage(path: str) -> int:
    """Bytes that everything below ``path`` takes on disk; 0 if there is no such directory."""
    try:
        fd = posix.open(path, OPEN)
    except OSError:
        return 0
    total, stack = 0, [fd]
    while stack:
        here = stack.pop()
        try:
            with posix.scandir(here) as entries:
                for entry in entries:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        stack.append(posix.open(entry.name, OPEN, dir_fd=here))
        finally:
            posix.close(here)
    return total

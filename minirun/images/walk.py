"""A tree, directory by directory, names sorted; one that somebody changes meanwhile is walked as far as it is there."""

from __future__ import annotations

import posix
from errno import ELOOP, ENOENT, ENOTDIR

from minirun.images.tree import DIRECTORY, KIND, OPEN_DIRECTORY, STRICT, names
from minirun.linux.openat2 import openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from posix import stat_result

GONE = (ENOENT, ENOTDIR, ELOOP)


class Node:
    """``path`` from the root walked from; ``at`` is its directory, open until the next node is asked for."""

    __slots__ = ("at", "name", "path", "status")

    def __init__(self, path: bytes, at: int, name: bytes, status: stat_result) -> None:
        self.path = path
        self.at = at
        self.name = name
        self.status = status

    @property
    def kind(self) -> int:
        return self.status.st_mode & KIND

    @property
    def is_directory(self) -> bool:
        return self.status.st_mode & KIND == DIRECTORY


def walk(root: int, *, crossing: bool = True) -> Iterator[Node]:
    """All below ``root``: a directory before what is in it.  ``crossing=False`` stays on the root's file system."""
    device = posix.fstat(root).st_dev
    stack = [b""]
    while stack:
        path = stack.pop()
        try:
            fd = openat2(root, path or b".", OPEN_DIRECTORY, STRICT)
        except OSError as error:
            if error.errno in GONE:
                continue
            raise
        try:
            deeper = []
            for node in children(fd, path):
                yield node
                if node.is_directory and (crossing or node.status.st_dev == device):
                    deeper.append(node.path)
        finally:
            posix.close(fd)
        stack.extend(reversed(deeper))


def children(fd: int, path: bytes) -> Iterator[Node]:
    for name in sorted(names(fd)):
        try:
            status = posix.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            continue
        yield Node(path + b"/" + name if path else name, fd, name, status)

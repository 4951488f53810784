"""A tree, directory by directory, names sorted; one that somebody changes meanwhile is walked as far as it is there."""

from __future__ import annotations

import posix
from errno import ELOOP, ENOENT, ENOTDIR

from minirun.images.tree import DIRECTORY, KIND, OPEN_DIRECTORY, STRICT, names
from minirun.linux.openat2 import openat2
from minirun.linux.statfs import filesystem

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


# What the kernel makes up has no files to copy: linux/magic.h, proc sysfs devpts cgroup cgroup2 mqueue debugfs tracefs
# securityfs bpf.
MADE_UP = {
    0x9FA0, 0x62656572, 0x1CD1, 0x27E0EB, 0x63677270, 0x19800202, 0x64626720, 0x74726163, 0x73636673, 0xCAFE4A11,
}  # fmt: skip


def walk(root: int, *, crossing: bool = True) -> Iterator[Node]:
    """All below ``root``: a directory before what is in it.  ``crossing=False`` stays on the root's file system;
    with it, volumes are entered, /proc and its like are not."""
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
            deeper: list[bytes] = []
            if posix.fstat(fd).st_dev != device and not (crossing and is_stored(fd)):
                continue
            for node in children(fd, path):
                yield node
                if node.is_directory:
                    deeper.append(node.path)
        finally:
            posix.close(fd)
        stack.extend(reversed(deeper))


def is_stored(fd: int) -> bool:
    return filesystem(f"/proc/self/fd/{fd}") & 0xFFFFFFFF not in MADE_UP


def children(fd: int, path: bytes) -> Iterator[Node]:
    for name in sorted(names(fd)):
        try:
            status = posix.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            continue
        yield Node(path + b"/" + name if path else name, fd, name, status)

"""What the layers below have at a path, read from their directories, as overlayfs would show it merged.

Each part of a path is looked at by itself: a link on the way hides what is below it, it leads nowhere.
"""

from __future__ import annotations

import posix
from errno import ENOENT

from minirun.images.tree import DIRECTORY, KIND, OPEN_DIRECTORY, STRICT
from minirun.images.whiteout import is_opaque, is_whiteout
from minirun.linux.openat2 import openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from posix import stat_result


class Found:
    """``at`` is the root of the layer that has it."""

    __slots__ = ("at", "status")

    def __init__(self, at: int, status: stat_result) -> None:
        self.at = at
        self.status = status

    @property
    def is_directory(self) -> bool:
        return self.status.st_mode & KIND == DIRECTORY


class Lowers:
    """``directories`` topmost first; ``close`` when done."""

    def __init__(self, directories: Sequence[str], *, userxattr: bool = False) -> None:
        self.userxattr = userxattr
        self.roots: list[int] = []
        try:
            for path in directories:
                self.roots.append(posix.open(path, OPEN_DIRECTORY))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for fd in self.roots:
            posix.close(fd)
        self.roots = []

    def find(self, path: bytes) -> Found | None:
        """What is at ``path`` ("" is the root), or None."""
        parts = path.split(b"/") if path else []
        for root in self.roots:
            if not parts:
                return Found(root, posix.fstat(root))
            found, goes_on = self.look(root, parts)
            if found or not goes_on:
                return found
        return None

    def look(self, root: int, parts: list[bytes]) -> tuple[Found | None, bool]:
        """(what this layer has, may a layer below have it)."""
        opaque = False
        for count in range(1, len(parts) + 1):
            name = b"/".join(parts[:count])
            try:
                status = posix.stat(name, dir_fd=root, follow_symlinks=False)
            except OSError as error:
                if error.errno != ENOENT:
                    raise
                return None, not opaque
            if is_whiteout(status):
                return None, False
            if count == len(parts):
                return Found(root, status), False
            if status.st_mode & KIND != DIRECTORY:
                return None, False
            opaque = opaque or self.opaque(root, name)
        raise AssertionError("a path has parts")

    def opaque(self, root: int, name: bytes) -> bool:
        fd = openat2(root, name, OPEN_DIRECTORY, STRICT)
        try:
            return is_opaque(fd, self.userxattr)
        finally:
            posix.close(fd)

"""Where a layer's entries go: names made clean, directories held open, whiteouts given way to.

Directories are found by openat2(2) below the layer's own descriptor and kept open while they are needed: an entry costs
no look-up but its own.  A directory that no entry made is made as the layers below have it.
"""

from __future__ import annotations

import posix
from errno import ELOOP, ENOENT, ENOTDIR, EXDEV

from minirun.images.attributes import copy_attributes
from minirun.images.tree import DIRECTORY, KIND, OPEN_DIRECTORY
from minirun.images.whiteout import PREFIX, YES, is_whiteout, opaque_name
from minirun.linux.openat2 import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.errors import MinirunError
    from minirun.images.lowers import Lowers

INSIDE = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS
FOLLOW = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC
HELD = 200  # directories held open between two entries
LONGEST_PATH = 4095
DEEPEST = 512
LEADS_OUT = "its path leads out of the layer through a symbolic link"


class Places:
    """``root`` is the layer's open directory; ``refuse`` makes the error that names the entry in hand."""

    def __init__(self, root: int, lowers: Lowers, refuse: Callable[[str], MinirunError]) -> None:
        self.root = root
        self.lowers = lowers
        self.refuse = refuse
        self.held: dict[bytes, int] = {}
        self.times: dict[bytes, int] = {}  # of directories, set when nothing more comes into them

    def split(self, name: bytes) -> tuple[bytes, bytes]:
        """(the directory's path, the last part), clean; the root is ("", "")."""
        if name[:1] == b"/":
            raise self.refuse("its name is absolute")
        parts = [part for part in name.split(b"/") if part and part != b"."]
        if b".." in parts:
            raise self.refuse("its name has .. in it")
        if len(name) > LONGEST_PATH or len(parts) > DEEPEST:
            raise self.refuse(f"its name is longer than {LONGEST_PATH} bytes or {DEEPEST} directories")
        if not parts:
            return b"", b""
        last = parts.pop()
        for part in parts:
            if part.startswith(PREFIX):
                raise self.refuse("it lies below a whiteout")
        return b"/".join(parts), last

    def parent(self, path: bytes) -> int:
        """The directory ``path``, open; made, if it is not there yet.  Held until ``let_go``."""
        fd = self.existing(path)
        if fd < 0:
            fd = self.held[path] = self.imply(path)
        return fd

    def existing(self, path: bytes) -> int:
        """The same, or -1 if this layer has none."""
        if not path:
            return self.root
        fd = self.held.get(path, -1)
        if fd >= 0:
            return fd
        try:
            fd = openat2(self.root, path, FOLLOW, INSIDE)
        except OSError as error:
            if error.errno in (EXDEV, ELOOP):
                raise self.refuse(LEADS_OUT) from error
            if error.errno not in (ENOENT, ENOTDIR):
                raise
            return -1
        self.held[path] = fd
        return fd

    def imply(self, path: bytes) -> int:
        """A directory that no entry made: what the entry means is the one below."""
        above, _, name = path.rpartition(b"/")
        fd = self.make_directory(self.parent(above), name)
        found = self.lowers.find(path)
        if found and found.is_directory:
            below = openat2(found.at, path, FOLLOW, INSIDE)
            try:
                self.times[path] = copy_attributes(below, fd).st_mtime_ns
            finally:
                posix.close(below)
        else:
            posix.fchmod(fd, 0o755)
            self.times[path] = 0
        return fd

    def make_directory(self, at: int, name: bytes) -> int:
        """Open; one that is there is taken, one in place of a whiteout hides what the whiteout hid."""
        opaque = False
        try:
            posix.mkdir(name, 0o700, dir_fd=at)
        except FileExistsError:
            status = posix.stat(name, dir_fd=at, follow_symlinks=False)
            opaque = is_whiteout(status)
            if opaque:
                posix.unlink(name, dir_fd=at)
                posix.mkdir(name, 0o700, dir_fd=at)
            elif status.st_mode & KIND != DIRECTORY:
                raise self.refuse("something that is not a directory has this name, or one above it") from None
        fd = openat2(at, name, OPEN_DIRECTORY, INSIDE)
        if opaque:
            self.make_opaque(fd)
        return fd

    def make_opaque(self, fd: int) -> None:
        if self.lowers.roots:  # over nothing there is nothing to hide
            posix.setxattr(fd, opaque_name(self.lowers.userxattr), YES)

    def hold(self, path: bytes, fd: int) -> None:
        """A directory just made: entries of it come next."""
        if path in self.held:
            posix.close(fd)
        else:
            self.held[path] = fd

    def clear(self, at: int, name: bytes) -> None:
        """Something is there: a whiteout gives way, anything else stays."""
        if not is_whiteout(posix.stat(name, dir_fd=at, follow_symlinks=False)):
            raise self.refuse("a second entry of this name")
        posix.unlink(name, dir_fd=at)

    def let_go(self, most: int = 0) -> None:
        """Close what is held open, if it is more than ``most``."""
        if len(self.held) > most:
            for fd in self.held.values():
                posix.close(fd)
            self.held.clear()

    def set_times(self) -> None:
        for path, mtime in self.times.items():
            fd = openat2(self.root, path or b".", FOLLOW, INSIDE)
            try:
                posix.utime(fd, ns=(mtime, mtime))
            finally:
                posix.close(fd)

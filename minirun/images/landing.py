"""A tar lands in a tree that is in use: ``container cp`` into a container, or out of one.

Whoever else works in that tree may be hostile (the container's own processes): every directory is found by openat2(2)
below the one that the copy goes into, a link on the way is followed only where it stays inside, the last part of a name
never; files are new ones (O_EXCL), never written through what is there.
"""

from __future__ import annotations

import posix
from errno import ELOOP, ENOENT, ENOTDIR, EXDEV

from minirun.images import tar_read as tar
from minirun.images.attributes import below, set_xattrs, write
from minirun.images.places import FOLLOW, INSIDE
from minirun.images.tree import BLOCK, CHARACTER, DIRECTORY, FIFO, KIND, OPEN_DIRECTORY, STRICT
from minirun.linux.openat2 import openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NEW_FILE = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC
NODES = {tar.CHARACTER: CHARACTER, tar.BLOCK_DEVICE: BLOCK, tar.FIFO: FIFO}


class Landing:
    """``base`` is the open directory that all names are below; ``owner``: ids of the tar -> ids of this tree.

    ``harmless``: a program that ran as its owner, or with capabilities, does not when it has another owner here.
    """

    def __init__(
        self, base: int, reader: tar.TarReader, owner: Callable[[int, int], tuple[int, int]], harmless: bool = False
    ) -> None:
        self.harmless = harmless
        self.base = base
        self.reader = reader
        self.owner = owner
        self.times: dict[bytes, int] = {}
        self.above: tuple[bytes, int] = (b"", -1)  # the directory in hand
        self.skipped: list[str] = []

    def run(self) -> None:
        try:
            for entry in self.reader:
                try:
                    self.one(entry)
                except OSError as error:
                    if error.errno in (ELOOP, EXDEV):
                        raise self.reader.refuse("a symbolic link on the way leads elsewhere") from error
                    raise self.reader.refuse(error.strerror or str(error)) from error
            self.set_times()
        finally:
            self.let_go()

    def let_go(self) -> None:
        if self.above[1] >= 0:
            posix.close(self.above[1])
            self.above = (b"", -1)

    def split(self, name: bytes) -> tuple[bytes, bytes]:
        parts = [part for part in name.split(b"/") if part and part != b"."]
        if b".." in parts:
            raise self.reader.refuse("its name has .. in it")
        return b"/".join(parts[:-1]), (parts[-1] if parts else b"")

    def directory_of(self, path: bytes) -> int:
        """Open; kept until another one is asked for; made where there is none."""
        if self.above[1] < 0 or self.above[0] != path:
            self.let_go()
            self.above = (path, self.open(path))
        return self.above[1]

    def open(self, path: bytes) -> int:
        try:
            return openat2(self.base, path or b".", FOLLOW, INSIDE)
        except OSError as error:
            if error.errno != ENOENT:
                raise
        above, _, name = path.rpartition(b"/")
        at = self.open(above)
        try:
            posix.mkdir(name, 0o755, dir_fd=at)
            posix.chown(name, *self.owner(0, 0), dir_fd=at, follow_symlinks=False)
            return openat2(at, name, OPEN_DIRECTORY, STRICT)
        finally:
            posix.close(at)

    def one(self, entry: tar.Entry) -> None:
        above, name = self.split(entry.name)
        if self.harmless:
            entry.mode &= 0o1777
            entry.xattrs.pop(b"security.capability", None)
        at = self.directory_of(above)
        if entry.kind == tar.DIRECTORY:
            self.directory(entry, at, above, name)
            return
        if not name:
            raise self.reader.refuse("a name is missing")
        self.make_room(at, name)
        if entry.kind == tar.FILE:
            self.file(entry, at, name)
        elif entry.kind == tar.HARD_LINK:
            self.hard_link(entry, at, name)
        else:
            self.node(entry, at, name)

    def make_room(self, at: int, name: bytes) -> None:
        try:
            is_ = posix.stat(name, dir_fd=at, follow_symlinks=False)
        except FileNotFoundError:
            return
        if is_.st_mode & KIND == DIRECTORY:
            raise self.reader.refuse("there is a directory of this name")
        posix.unlink(name, dir_fd=at)

    def directory(self, entry: tar.Entry, at: int, above: bytes, name: bytes) -> None:
        """A new one has the attributes of the entry; into one that is there things come, it stays as it is."""
        if not name:
            return
        try:
            posix.mkdir(name, 0o700, dir_fd=at)
        except FileExistsError:
            if posix.stat(name, dir_fd=at, follow_symlinks=False).st_mode & KIND != DIRECTORY:
                raise self.reader.refuse("there is something of this name that is not a directory") from None
            return
        fd = openat2(at, name, OPEN_DIRECTORY, STRICT)
        try:
            posix.fchown(fd, *self.owner(entry.uid, entry.gid))
            posix.fchmod(fd, entry.mode)
            set_xattrs(fd, entry.xattrs)
        finally:
            posix.close(fd)
        self.times[above + b"/" + name if above else name] = entry.mtime

    def file(self, entry: tar.Entry, at: int, name: bytes) -> None:
        fd = posix.open(name, NEW_FILE, 0o600, dir_fd=at)
        try:
            if entry.sparse is None:
                for data in self.reader.pieces():
                    write(fd, data)
            else:
                posix.ftruncate(fd, entry.real_size)
                for offset, length in entry.sparse:
                    posix.lseek(fd, offset, 0)
                    for data in self.reader.some(length):
                        write(fd, data)
            posix.fchown(fd, *self.owner(entry.uid, entry.gid))
            posix.fchmod(fd, entry.mode)
            set_xattrs(fd, entry.xattrs)
            posix.utime(fd, ns=(entry.mtime, entry.mtime))
        finally:
            posix.close(fd)

    def node(self, entry: tar.Entry, at: int, name: bytes) -> None:
        if entry.kind == tar.SYMLINK:
            posix.symlink(entry.link, name, dir_fd=at)
        else:
            try:
                posix.mknod(name, NODES[entry.kind] | 0o600, posix.makedev(entry.major, entry.minor), dir_fd=at)
            except PermissionError:
                self.skipped.append(entry.name.decode("utf-8", "replace"))
                return
        posix.chown(name, *self.owner(entry.uid, entry.gid), dir_fd=at, follow_symlinks=False)
        if entry.kind != tar.SYMLINK:
            self.mode_of_node(entry, at, name)
        set_xattrs(below(at, name), entry.xattrs)
        posix.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=at, follow_symlinks=False)

    def mode_of_node(self, entry: tar.Entry, at: int, name: bytes) -> None:
        """By a descriptor of the thing itself: its name may have become a link meanwhile."""
        from minirun.linux.openat2 import O_PATH

        fd = openat2(at, name, O_PATH | posix.O_NOFOLLOW, STRICT)
        try:
            if posix.fstat(fd).st_mode & KIND == NODES[entry.kind]:
                posix.chmod(f"/proc/self/fd/{fd}", entry.mode)
        finally:
            posix.close(fd)

    def hard_link(self, entry: tar.Entry, at: int, name: bytes) -> None:
        above, source = self.split(entry.link)
        origin = openat2(self.base, above or b".", FOLLOW, INSIDE)
        try:
            posix.link(source, name, src_dir_fd=origin, dst_dir_fd=at, follow_symlinks=False)
        finally:
            posix.close(origin)

    def set_times(self) -> None:
        for path, mtime in reversed(self.times.items()):
            try:
                fd = openat2(self.base, path, FOLLOW, INSIDE)
            except OSError as error:
                if error.errno in (ENOENT, ENOTDIR, ELOOP, EXDEV):  # somebody took it away meanwhile
                    continue
                raise
            try:
                posix.utime(fd, ns=(mtime, mtime))
            finally:
                posix.close(fd)

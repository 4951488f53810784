"""A layer's tar becomes a directory in overlay form, whoever made the tar.

Every name is resolved by openat2(2) below the directory's own descriptor: a symbolic link of an earlier entry may be
followed as far as it stays inside (RESOLVE_BENEATH); ``..``, absolute names and links that lead out are refused, and
the last part of a name is never followed.  Nothing that is there is written to again: a second entry of a name is
refused (layer.md forbids it), but for a directory's attributes.  Owner, then mode, then attributes, then time:
chown(2) takes set-user-ID and capabilities away; directories get their times last of all.
"""

from __future__ import annotations

import posix
from errno import EEXIST, EINVAL

from minirun.facts import user_namespace
from minirun.images import tar_read as tar
from minirun.images.attributes import below, copy_attributes, copy_node, set_xattrs, write
from minirun.images.places import HELD, Places
from minirun.images.tree import BLOCK, CHARACTER, DIRECTORY, FIFO, KIND, exists_at
from minirun.images.whiteout import META, OPAQUE, PREFIX, is_whiteout, make_whiteout
from minirun.linux.files import new_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.images.lowers import Lowers

SMALL = 1 << 20  # written in one crossing
NEW_FILE = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC
NODES = {tar.CHARACTER: CHARACTER, tar.BLOCK_DEVICE: BLOCK, tar.FIFO: FIFO}


def why(error: OSError, entry: tar.Entry) -> str:
    if error.errno == EINVAL and user_namespace():
        return f"its owner {entry.uid}:{entry.gid} is not mapped in this user namespace (docs/rootless.md)"
    return error.strerror or str(error)


class Unpacker:
    """``root`` is an open, empty directory; ``lowers`` what lies below it; ``most`` bytes with holes and all.

    ``squash``: everything becomes root's, where nobody else exists.
    """

    def __init__(
        self, root: int, reader: tar.TarReader, lowers: Lowers, most: int = 1 << 37, *, squash: bool = False
    ) -> None:
        self.squash = squash
        self.root = root
        self.reader = reader
        self.lowers = lowers
        self.most = most
        self.total = 0
        self.places = Places(root, lowers, reader.refuse)
        self.skipped: list[str] = []  # devices that we have no right to make
        self.makers = {
            tar.FILE: self.file, tar.DIRECTORY: self.directory, tar.SYMLINK: self.symlink,
            tar.HARD_LINK: self.hard_link, tar.CHARACTER: self.node, tar.BLOCK_DEVICE: self.node, tar.FIFO: self.node,
        }  # fmt: skip

    def run(self) -> None:
        """All entries, then the directories' times."""
        found = self.lowers.find(b"")
        if found:
            copy_attributes(found.at, self.root)
        else:
            posix.fchmod(self.root, 0o755)
        self.places.times[b""] = found.status.st_mtime_ns if found else 0
        try:
            for entry in self.reader:
                try:
                    self.one(entry)
                except OSError as error:
                    raise self.reader.refuse(why(error, entry)) from error
            self.places.set_times()
        finally:
            self.places.let_go()

    def one(self, entry: tar.Entry) -> None:
        if self.squash:
            entry.uid = entry.gid = 0
        self.places.let_go(HELD)
        above, name = self.places.split(entry.name)
        if not name:
            if entry.kind != tar.DIRECTORY:
                raise self.reader.refuse("the layer's root is not a directory")
            self.dress_directory(self.root, b"", entry)
        elif name.startswith(PREFIX):
            self.whiteout(above, name)
        else:
            self.makers[entry.kind](entry, self.places.parent(above), above, name)

    # what is deleted

    def whiteout(self, above: bytes, name: bytes) -> None:
        """Hides what is below only, wherever it stands in the tar."""
        hidden = name[len(PREFIX) :]
        if hidden in (b"", b".", b".."):
            raise self.reader.refuse("a whiteout of nothing, or of the root")
        if name.startswith(META) and name != OPAQUE:
            return
        at = self.place_of_whiteout(above)
        if at < 0:
            return
        if name == OPAQUE:
            self.places.make_opaque(at)
            return
        try:
            make_whiteout(at, hidden)
        except FileExistsError:  # this layer has its own of that name
            if posix.stat(hidden, dir_fd=at, follow_symlinks=False).st_mode & KIND == DIRECTORY:
                fd = self.places.make_directory(at, hidden)
                try:
                    self.places.make_opaque(fd)
                finally:
                    posix.close(fd)

    def place_of_whiteout(self, above: bytes) -> int:
        """The directory, or -1 where nothing can be hidden: it must not make directories appear."""
        if not self.lowers.roots:
            return -1
        at = self.places.existing(above)
        if at < 0:
            found = self.lowers.find(above)
            if found and found.is_directory:
                at = self.places.parent(above)
        return at

    # what is there

    def file(self, entry: tar.Entry, at: int, above: bytes, name: bytes) -> None:
        self.count(entry.real_size)
        if entry.size > SMALL or entry.sparse is not None or entry.xattrs:
            self.large(entry, at, name)
            return
        data = self.reader.content()
        try:
            new_file(at, name, entry.mode, entry.uid, entry.gid, entry.mtime, data)
        except OSError as error:
            if error.errno != EEXIST:
                raise
            self.places.clear(at, name)
            new_file(at, name, entry.mode, entry.uid, entry.gid, entry.mtime, data)

    def count(self, size: int) -> None:
        self.total += size
        if self.total > self.most:
            raise self.reader.refuse(f"the layer's files are larger than {self.most} bytes")

    def large(self, entry: tar.Entry, at: int, name: bytes) -> None:
        """A file piece by piece, with holes, or with attributes."""
        try:
            fd = posix.open(name, NEW_FILE, 0o600, dir_fd=at)
        except FileExistsError:
            self.places.clear(at, name)
            fd = posix.open(name, NEW_FILE, 0o600, dir_fd=at)
        try:
            if entry.sparse is None:
                for data in self.reader.pieces():
                    write(fd, data)
            else:
                self.holes(fd, entry.sparse, entry.real_size)
            posix.fchown(fd, entry.uid, entry.gid)
            posix.fchmod(fd, entry.mode)
            set_xattrs(fd, entry.xattrs)
            posix.utime(fd, ns=(entry.mtime, entry.mtime))
        finally:
            posix.close(fd)

    def holes(self, fd: int, pieces: list[tuple[int, int]], real_size: int) -> None:
        posix.ftruncate(fd, real_size)
        for offset, length in pieces:
            posix.lseek(fd, offset, 0)
            for data in self.reader.some(length):
                write(fd, data)

    def directory(self, entry: tar.Entry, at: int, above: bytes, name: bytes) -> None:
        fd = self.places.make_directory(at, name)
        path = above + b"/" + name if above else name
        try:
            self.dress_directory(fd, path, entry)
        finally:
            self.places.hold(path, fd)

    def dress_directory(self, fd: int, path: bytes, entry: tar.Entry) -> None:
        posix.fchown(fd, entry.uid, entry.gid)
        posix.fchmod(fd, entry.mode)
        if entry.xattrs:
            set_xattrs(fd, entry.xattrs)
        self.places.times[path] = entry.mtime

    def symlink(self, entry: tar.Entry, at: int, above: bytes, name: bytes) -> None:
        if not entry.link:
            raise self.reader.refuse("a symbolic link to nothing")
        try:
            posix.symlink(entry.link, name, dir_fd=at)
        except FileExistsError:
            self.places.clear(at, name)
            posix.symlink(entry.link, name, dir_fd=at)
        self.dress(entry, at, name)

    def node(self, entry: tar.Entry, at: int, above: bytes, name: bytes) -> None:
        """A device is made where we may, as docker does; nothing opens it here."""
        device = posix.makedev(entry.major, entry.minor)
        if entry.kind == tar.CHARACTER and device == 0:
            raise self.reader.refuse("a character device 0:0, which is overlayfs's whiteout")
        mode = NODES[entry.kind] | 0o600
        try:
            posix.mknod(name, mode, device, dir_fd=at)
        except FileExistsError:
            self.places.clear(at, name)
            posix.mknod(name, mode, device, dir_fd=at)
        except PermissionError:
            if entry.kind == tar.FIFO:
                raise
            self.skipped.append(entry.name.decode("utf-8", "replace"))
            return
        self.dress(entry, at, name)
        posix.chmod(below(at, name), entry.mode)
        posix.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=at, follow_symlinks=False)

    def dress(self, entry: tar.Entry, at: int, name: bytes) -> None:
        """What is not opened: links, devices, fifos."""
        posix.chown(name, entry.uid, entry.gid, dir_fd=at, follow_symlinks=False)
        if entry.xattrs:
            set_xattrs(below(at, name), entry.xattrs)
        posix.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=at, follow_symlinks=False)

    def hard_link(self, entry: tar.Entry, at: int, above: bytes, name: bytes) -> None:
        """To this layer's file, or to one of a layer below: that becomes this layer's, so that both names are one."""
        source_above, source = self.places.split(entry.link)
        if not source or source.startswith(PREFIX):
            raise self.reader.refuse("a hard link to nothing")
        origin = self.places.existing(source_above)
        if origin < 0 or not exists_at(origin, source):
            origin = self.copy_up(source_above, source)
        elif is_whiteout(posix.stat(source, dir_fd=origin, follow_symlinks=False)):
            raise self.reader.refuse("a hard link to what the layer deletes")
        try:
            posix.link(source, name, src_dir_fd=origin, dst_dir_fd=at, follow_symlinks=False)
        except FileExistsError:
            self.places.clear(at, name)
            posix.link(source, name, src_dir_fd=origin, dst_dir_fd=at, follow_symlinks=False)

    def copy_up(self, above: bytes, name: bytes) -> int:
        path = above + b"/" + name if above else name
        found = self.lowers.find(path)
        if not found or found.is_directory:
            raise self.reader.refuse("a hard link to a file that is not there")
        self.count(found.status.st_size)
        at = self.places.parent(above)
        copy_node(found.at, path, at, name)
        return at

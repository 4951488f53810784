"""A layer out of an upper directory, and tars of trees: deterministic, hard links kept, whiteouts in the tar's form."""

from __future__ import annotations

import posix

from minirun.images import tar_write as tar
from minirun.images.attributes import below, get_xattrs
from minirun.images.changes import is_empty, open_upper, targets_of
from minirun.images.tree import BLOCK, CHARACTER, DIRECTORY, FIFO, LINK, OPEN_DIRECTORY, REGULAR, STRICT
from minirun.images.walk import GONE, Node, walk
from minirun.images.whiteout import OPAQUE, PREFIX, is_opaque, is_whiteout
from minirun.linux.openat2 import openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from minirun.images.media import Descriptor
    from minirun.images.snapshot import Snapshot
    from minirun.images.store import Images

KINDS = {
    DIRECTORY: tar.DIRECTORY, LINK: tar.SYMLINK, CHARACTER: tar.CHARACTER, BLOCK: tar.BLOCK_DEVICE, FIFO: tar.FIFO,
    REGULAR: tar.FILE,
}  # fmt: skip
CHUNK = 1 << 20
OPEN_FILE = posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK


class Packer:
    """Members go to ``emit``; ``end`` closes the archive.  ``inside``: an id of the tree -> the one in the tar."""

    def __init__(self, emit: Callable[[bytes], object], inside: Callable[[int], int] = int) -> None:
        self.emit = emit
        self.inside = inside
        self.seen: dict[tuple[int, int], bytes] = {}  # files of several names

    def tree(self, root: int, prefix: bytes = b"", *, crossing: bool = True) -> None:
        """All below an open directory, as it looks (a merged tree)."""
        for node in walk(root, crossing=crossing):
            self.node(node, prefix + node.path)

    def node(self, node: Node, name: bytes) -> None:
        """One member; a socket is none, what has just gone is none."""
        kind = KINDS.get(node.kind)
        if kind is None:
            return
        status = node.status
        device = (0, 0)
        link = b""
        if kind == tar.FILE and status.st_nlink > 1:
            first = self.seen.setdefault((status.st_dev, status.st_ino), name)
            if first != name:
                kind, link = tar.HARD_LINK, first
        try:
            if kind == tar.FILE:
                self.file(node, name)
                return
            if kind == tar.SYMLINK:
                link = posix.readlink(node.name, dir_fd=node.at)
            xattrs = get_xattrs(below(node.at, node.name)) if kind != tar.HARD_LINK else {}
        except OSError as error:
            if error.errno in GONE:
                return
            raise
        if kind in (tar.CHARACTER, tar.BLOCK_DEVICE):
            device = (posix.major(status.st_rdev), posix.minor(status.st_rdev))
        self.emit(
            tar.header(
                name + b"/" if kind == tar.DIRECTORY else name, kind, mode=status.st_mode & 0o7777,
                uid=self.inside(status.st_uid), gid=self.inside(status.st_gid),
                mtime=status.st_mtime_ns, link=link, device=device, xattrs=xattrs,
            )
        )  # fmt: skip

    def file(self, node: Node, name: bytes) -> None:
        """As long as it was when it was opened, whatever is written to it meanwhile."""
        fd = openat2(node.at, node.name, OPEN_FILE, STRICT)
        try:
            status = posix.fstat(fd)
            if status.st_mode & 0o170000 != REGULAR:
                return
            size = status.st_size
            self.emit(
                tar.header(
                    name, mode=status.st_mode & 0o7777, uid=self.inside(status.st_uid),
                    gid=self.inside(status.st_gid), size=size, mtime=status.st_mtime_ns, xattrs=get_xattrs(fd),
                )
            )  # fmt: skip
            left = size
            while left:
                data = posix.read(fd, min(left, CHUNK)) or bytes(min(left, CHUNK))
                self.emit(data)
                left -= len(data)
            if size % tar.BLOCK:
                self.emit(bytes(-size % tar.BLOCK))
        finally:
            posix.close(fd)

    def whiteout(self, path: bytes) -> None:
        above, slash, name = path.rpartition(b"/")
        self.emit(tar.header(above + slash + PREFIX + name))

    def end(self) -> None:
        self.emit(tar.END)


def pack(images: Images, snapshot: Snapshot, targets: Collection[str] = ()) -> tuple[Descriptor, str]:
    """The changes of ``snapshot`` as a blob (gzip), and its diff id.  The caller holds ``images.shared()``."""
    import zlib

    from minirun.images.blobs import hasher
    from minirun.images.media import LAYER_GZIP, Descriptor

    plain, squeeze = hasher(), zlib.compressobj(6, zlib.DEFLATED, 31)
    writer = images.blobs.writer()

    def emit(data: bytes) -> None:
        plain.update(data)
        writer.write(squeeze.compress(data))

    try:
        pack_upper(Packer(emit), snapshot, targets)
        writer.write(squeeze.flush())
        digest, size = writer.commit()
    except BaseException:
        writer.abort()
        raise
    return Descriptor(mediaType=LAYER_GZIP, digest=digest, size=size), f"sha256:{plain.hexdigest()}"


def pack_upper(packer: Packer, snapshot: Snapshot, targets: Collection[str]) -> None:
    """The upper as a layer: what overlayfs notes as devices and attributes, in the tar's own words."""
    quiet = targets_of(targets)
    upper = open_upper(snapshot)
    if upper < 0:
        packer.end()
        return
    try:
        for node in walk(upper):
            if is_whiteout(node.status):
                packer.whiteout(node.path)
                continue
            if node.path in quiet and is_empty(node):
                continue
            packer.node(node, node.path)
            if node.is_directory and opaque(node, snapshot.userxattr):
                packer.emit(tar.header(node.path + b"/" + OPAQUE))
        packer.end()
    finally:
        posix.close(upper)


def opaque(node: Node, userxattr: bool) -> bool:
    try:
        fd = openat2(node.at, node.name, OPEN_DIRECTORY, STRICT)
    except FileNotFoundError:
        return False
    try:
        return is_opaque(fd, userxattr)
    finally:
        posix.close(fd)

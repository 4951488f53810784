"""Owner, mode, extended attributes and time of what is copied from tree to tree.

A path for an attribute of something that must not be opened (a link, a device) goes through its directory's
descriptor: ``/proc/self/fd/N/name``, and the last part is not followed.
"""

from __future__ import annotations

import posix
from errno import ENODATA, ENXIO, EOPNOTSUPP, EPERM

from minirun.images.tree import DIRECTORY, KIND, LINK, REGULAR, STRICT
from minirun.images.whiteout import travels
from minirun.linux.openat2 import openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from posix import stat_result

NEW_FILE = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC
CHUNK = 1 << 20


def below(at: int, name: bytes) -> bytes:
    """A path for calls that know no directory descriptor."""
    return f"/proc/self/fd/{at}/".encode() + name


def set_xattrs(target: int | bytes, xattrs: dict[bytes, bytes]) -> None:
    """Those that an image may carry; what this file system or a user namespace has no place for is left out."""
    for key, value in xattrs.items():
        if not travels(key):
            continue
        try:
            if isinstance(target, int):
                posix.setxattr(target, key, value)
            else:
                posix.setxattr(target, key, value, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (EOPNOTSUPP, EPERM):
                raise


def get_xattrs(target: int | bytes) -> dict[bytes, bytes]:
    """Those that an image may carry, sorted by name."""
    found: dict[bytes, bytes] = {}
    try:
        names = posix.listxattr(target) if isinstance(target, int) else posix.listxattr(target, follow_symlinks=False)
    except OSError as error:
        if error.errno in (EOPNOTSUPP, EPERM):
            return found
        raise
    for name in sorted(names):
        key = name.encode("utf-8", "surrogateescape")
        if not travels(key):
            continue
        try:
            if isinstance(target, int):
                found[key] = posix.getxattr(target, key)
            else:
                found[key] = posix.getxattr(target, key, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (ENODATA, EOPNOTSUPP, EPERM):
                raise
    return found


def copy_attributes(source: int, target: int) -> stat_result:
    """Of an open directory or file to another: owner, mode, attributes; not the time."""
    status = posix.fstat(source)
    posix.fchown(target, status.st_uid, status.st_gid)
    posix.fchmod(target, status.st_mode & 0o7777)
    set_xattrs(target, get_xattrs(source))
    return status


def copy_node(source_at: int, path: bytes, at: int, name: bytes) -> None:
    """What is at ``path`` below ``source_at``, not a directory, becomes ``name`` in ``at`` with all it has."""
    status = posix.stat(path, dir_fd=source_at, follow_symlinks=False)
    kind = status.st_mode & KIND
    if kind == REGULAR:
        copy_file(openat2(source_at, path, posix.O_RDONLY | posix.O_NOFOLLOW, STRICT), at, name)
        return
    if kind == LINK:
        posix.symlink(posix.readlink(path, dir_fd=source_at), name, dir_fd=at)
    elif kind != DIRECTORY:
        posix.mknod(name, status.st_mode, status.st_rdev, dir_fd=at)
    posix.chown(name, status.st_uid, status.st_gid, dir_fd=at, follow_symlinks=False)
    if kind != LINK:
        posix.chmod(below(at, name), status.st_mode & 0o7777)
    set_xattrs(below(at, name), get_xattrs(below(source_at, path)))
    posix.utime(name, ns=(status.st_mtime_ns, status.st_mtime_ns), dir_fd=at, follow_symlinks=False)


def copy_file(source: int, at: int, name: bytes) -> None:
    """An open file (closed in the end) as a new one."""
    try:
        target = posix.open(name, NEW_FILE, 0o600, dir_fd=at)
        try:
            copy_content(source, target)
            status = copy_attributes(source, target)
            posix.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))
        finally:
            posix.close(target)
    finally:
        posix.close(source)


def copy_content(source: int, target: int) -> None:
    """With its holes: a layer's file may be all hole, and larger than the disk."""
    size, at = posix.fstat(source).st_size, 0
    posix.ftruncate(target, size)
    while at < size:
        try:
            at = posix.lseek(source, at, posix.SEEK_DATA)
        except OSError as error:
            if error.errno == ENXIO:  # nothing but a hole to the end
                return
            raise
        end = posix.lseek(source, at, posix.SEEK_HOLE)
        posix.lseek(source, at, 0)
        posix.lseek(target, at, 0)
        while at < end and (data := posix.read(source, min(CHUNK, end - at))):
            write(target, data)
            at += len(data)
        if at < end:  # it has become shorter
            return


def write(fd: int, data: bytes | memoryview) -> None:
    """The whole of it."""
    while data:
        data = data[posix.write(fd, data) :]

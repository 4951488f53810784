"""What an image has in a directory, copied into a new volume: owners, modes, times, attributes, links.

A file with several names below the directory keeps them.  From descriptor to descriptor; nothing is followed, so that
a link in the image leads nowhere.
"""

from __future__ import annotations

import os
import posix
from errno import EMLINK, ENODATA, ENOENT, ENOTSUP, EPERM, EXDEV

from minirun.errors import MinirunError
from minirun.images.attributes import copy_content
from minirun.images.tree import STRICT, names
from minirun.linux.openat2 import openat2

DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC | posix.O_NOFOLLOW
KIND, IS_DIRECTORY, IS_REGULAR, IS_LINK = 0o170000, 0o040000, 0o100000, 0o120000
DEEPEST = 200
HIDDEN = ("trusted.overlay.", "user.overlay.")


def copy_directory(source: int, target: int, shift: int = 0) -> None:
    """All of ``source``, and what the directory itself is like.  The descriptors stay open.

    ``shift``: what the ids of the source are above those that are meant (an id-mapped file system, from outside).
    """
    try:
        Copy(target, shift).contents(source, target, b"", 0)
        attributes(source, target, shift)
    except OSError as error:
        name = error.filename or ""
        shown = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
        raise MinirunError(
            "cannot copy what the image has into the new volume", reason=f"{shown} {error.strerror}".strip()
        ) from error


class Copy:
    """``base``: the volume's root; ``first``: (device, number) of a file with several names -> where it is in there."""

    def __init__(self, base: int, shift: int) -> None:
        self.base = base
        self.shift = shift
        self.first: dict[tuple[int, int], bytes] = {}

    def contents(self, source: int, target: int, path: bytes, depth: int) -> None:
        if depth > DEEPEST:
            reason = "its directories lie too deep"
            raise MinirunError("cannot copy what the image has into the new volume", reason=reason)
        for name in names(source):
            about = os.lstat(name, dir_fd=source)
            kind = about.st_mode & KIND
            if kind == IS_DIRECTORY:
                self.directory(source, target, path, name, depth)
            elif about.st_nlink > 1 and self.linked(about, target, path, name):
                continue
            elif kind == IS_LINK:
                os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
                finish(target, name, about, self.shift)
            elif kind == IS_REGULAR:
                regular(source, target, name, self.shift)
            else:
                os.mknod(name, about.st_mode, about.st_rdev, dir_fd=target)
                finish(target, name, about, self.shift)
                os.chmod(name, about.st_mode & 0o7777, dir_fd=target)

    def directory(self, source: int, target: int, path: bytes, name: bytes, depth: int) -> None:
        os.mkdir(name, 0o700, dir_fd=target)
        inside = os.open(name, DIRECTORY, dir_fd=source)
        try:
            into = os.open(name, DIRECTORY, dir_fd=target)
            try:
                self.contents(inside, into, path + name + b"/", depth + 1)
                attributes(inside, into, self.shift)
            finally:
                os.close(into)
        finally:
            os.close(inside)

    def linked(self, about: os.stat_result, target: int, path: bytes, name: bytes) -> bool:
        """One more name of what was copied already; False: it is the first, or that one cannot be had any more.

        A container may have the volume by now, and may put links where directories were: none is followed.
        """
        key = (about.st_dev, about.st_ino)
        if key not in self.first:
            self.first[key] = path + name
            return False
        folder, _, known = self.first[key].rpartition(b"/")
        try:
            at = openat2(self.base, folder or b".", DIRECTORY, STRICT)
        except OSError:
            return False
        try:
            os.link(known, name, src_dir_fd=at, dst_dir_fd=target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (ENOENT, EMLINK, EPERM, EXDEV):
                raise
            return False
        finally:
            os.close(at)
        return True


def regular(source: int, target: int, name: bytes, shift: int) -> None:
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    inside = os.open(name, os.O_RDONLY | os.O_NONBLOCK | flags, dir_fd=source)
    try:
        into = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | flags, 0o600, dir_fd=target)
        try:
            copy_content(inside, into)
            attributes(inside, into, shift)
        finally:
            os.close(into)
    finally:
        os.close(inside)


def finish(target: int, name: bytes, about: os.stat_result, shift: int) -> None:
    os.chown(name, about.st_uid - shift, about.st_gid - shift, dir_fd=target, follow_symlinks=False)
    os.utime(name, ns=(about.st_atime_ns, about.st_mtime_ns), dir_fd=target, follow_symlinks=False)


def attributes(source: int, target: int, shift: int) -> None:
    """Owner first: chown(2) takes set-user-ID bits and capabilities away."""
    about = os.fstat(source)
    os.fchown(target, about.st_uid - shift, about.st_gid - shift)
    os.fchmod(target, about.st_mode & 0o7777)
    for name in os.listxattr(source):
        if name.startswith(HIDDEN):
            continue
        try:
            os.setxattr(target, name, os.getxattr(source, name))
        except OSError as error:
            if error.errno not in (ENOTSUP, EPERM, ENODATA):
                raise
    os.utime(target, ns=(about.st_atime_ns, about.st_mtime_ns))

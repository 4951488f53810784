"""What an image has in a directory, copied into a new volume: owners, modes, times, attributes, links.

A file with several names becomes several files, as with docker.  From descriptor to descriptor; nothing is followed,
so that a link in the image leads nowhere.
"""

from __future__ import annotations

import os
import posix
from errno import ENODATA, ENOTSUP, EPERM

from minirun.errors import MinirunError
from minirun.images.attributes import copy_content

DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC | posix.O_NOFOLLOW
KIND, IS_DIRECTORY, IS_REGULAR, IS_LINK = 0o170000, 0o040000, 0o100000, 0o120000
DEEPEST = 200
HIDDEN = ("trusted.overlay.", "user.overlay.")


def copy_directory(source: int, target: int, shift: int = 0) -> None:
    """All of ``source``, and what the directory itself is like.  The descriptors stay open.

    ``shift``: what the ids of the source are above those that are meant (an id-mapped file system, from outside).
    """
    try:
        contents(source, target, shift, 0)
        attributes(source, target, shift)
    except OSError as error:
        raise MinirunError(
            "cannot copy what the image has into the new volume",
            reason=f"{error.filename or ''} {error.strerror}".strip(),
        ) from error


def contents(source: int, target: int, shift: int, depth: int) -> None:
    if depth > DEEPEST:
        raise MinirunError("cannot copy what the image has into the new volume", reason="its directories lie too deep")
    for name in os.listdir(source):
        about = os.lstat(name, dir_fd=source)
        kind = about.st_mode & KIND
        if kind == IS_DIRECTORY:
            directory(source, target, name, shift, depth)
        elif kind == IS_LINK:
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            finish(target, name, about, shift)
        elif kind == IS_REGULAR:
            regular(source, target, name, shift)
        else:
            os.mknod(name, about.st_mode, about.st_rdev, dir_fd=target)
            finish(target, name, about, shift)
            os.chmod(name, about.st_mode & 0o7777, dir_fd=target)


def directory(source: int, target: int, name: str, shift: int, depth: int) -> None:
    os.mkdir(name, 0o700, dir_fd=target)
    inside = os.open(name, DIRECTORY, dir_fd=source)
    try:
        into = os.open(name, DIRECTORY, dir_fd=target)
        try:
            contents(inside, into, shift, depth + 1)
            attributes(inside, into, shift)
        finally:
            os.close(into)
    finally:
        os.close(inside)


def regular(source: int, target: int, name: str, shift: int) -> None:
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


def finish(target: int, name: str, about: os.stat_result, shift: int) -> None:
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

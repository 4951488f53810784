"""Trees of files that somebody else wrote: looked up, copied and removed without following anything.

Every path goes through a descriptor of the tree's root (openat2(2)); a name is bytes, as the kernel has it.
"""

from __future__ import annotations

import posix
from errno import EEXIST, EISDIR, ELOOP, ENOENT, ENOTDIR, ENOTEMPTY, EPERM

from minirun.linux.openat2 import (
    RESOLVE_BENEATH,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
    openat2,
)

KIND, DIRECTORY, CHARACTER, BLOCK, REGULAR, FIFO, LINK, SOCKET = (
    0o170000, 0o040000, 0o020000, 0o060000, 0o100000, 0o010000, 0o120000, 0o140000,
)  # fmt: skip
STRICT = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
OPEN_DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC | posix.O_NOFOLLOW
DEEP = 60  # directories held open at once


def exists(path: str) -> bool:
    """Is there anything of that name?"""
    try:
        posix.lstat(path)
    except OSError as error:
        if error.errno in (ENOENT, ENOTDIR):
            return False
        raise
    return True


def exists_at(at: int, name: bytes) -> bool:
    """Is there anything of that name in an open directory?"""
    try:
        posix.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def names(fd: int) -> list[bytes]:
    """What is in an open directory, as the kernel has it, whatever the locale makes of it."""
    return posix.listdir(b"/proc/self/fd/%d" % fd)


def make_directories(path: str, mode: int = 0o700) -> None:
    """The directory and those above it, where they are not there yet."""
    try:
        posix.mkdir(path, mode)
    except OSError as error:
        if error.errno == ENOENT:
            make_directories(path.rpartition("/")[0], mode)
            make_directories(path, mode)
        elif error.errno != EEXIST:
            raise


def remove_tree(path: str, *, keep_top: bool = False) -> None:
    """Remove ``path`` (or only all below it); fine if it is not there, or goes meanwhile.

    Links are removed, not followed; a mount below is an error, not a way out.  A tree may be as deep as it likes: what
    lies deeper than ``DEEP`` is moved up to the root first.
    """
    try:
        root = posix.open(path, OPEN_DIRECTORY)
    except OSError as error:
        if error.errno == ENOENT:
            return
        if error.errno not in (ENOTDIR, ELOOP):
            raise
        posix.unlink(path)
        return
    try:
        while not empty(root, root, 0):
            pass
    finally:
        posix.close(root)
    if not keep_top:
        try:
            posix.rmdir(path)
        except FileNotFoundError:
            return


def empty(directory: int, root: int, depth: int) -> bool:
    """Empty an open directory; whether nothing is left of it (what was moved up to the root is)."""
    clean = True
    for name in names(directory):
        try:
            posix.unlink(name, dir_fd=directory)
            continue
        except OSError as error:
            if error.errno == ENOENT:
                continue
            if error.errno not in (EISDIR, EPERM):
                raise
        if depth >= DEEP:
            posix.rename(name, f".deep-{posix.urandom(8).hex()}", src_dir_fd=directory, dst_dir_fd=root)
            clean = False
            continue
        try:
            below = openat2(directory, name, OPEN_DIRECTORY, STRICT | RESOLVE_NO_XDEV)
        except FileNotFoundError:
            continue
        try:
            clean = empty(below, root, depth + 1) and clean
        finally:
            posix.close(below)
        try:
            posix.rmdir(name, dir_fd=directory)
        except OSError as error:
            if error.errno not in (ENOENT, ENOTEMPTY):
                raise
            clean = clean and error.errno == ENOENT
    return clean


def usage(path: str) -> int:
    """Bytes that everything below ``path`` takes on disk, 0 if there is no such directory; nothing is followed.

    One directory is open at a time, however deep it goes; who moves one about meanwhile makes the sum a smaller one.
    """
    try:
        here = posix.open(path, OPEN_DIRECTORY)
    except OSError:
        return 0
    way: list[tuple[tuple[int, int], list[bytes]]] = []  # the directories above: which, and what is still to be seen
    try:
        total, deeper = sizes(here)
        while deeper or way:
            if deeper:
                try:
                    there = posix.open(deeper.pop(), OPEN_DIRECTORY, dir_fd=here)
                except OSError:  # gone, or not ours to read
                    continue
                way.append((identity(here), deeper))
                posix.close(here)
                here = there
                size, deeper = sizes(here)
                total += size
                continue
            above, deeper = way.pop()
            there = posix.open(b"..", OPEN_DIRECTORY, dir_fd=here)
            posix.close(here)
            here = there
            if identity(here) != above:
                break
        return total
    finally:
        posix.close(here)


def sizes(fd: int) -> tuple[int, list[bytes]]:
    """(bytes on disk of what is in an open directory, those of it that are directories)."""
    total, directories = 0, []
    for name in names(fd):
        try:
            about = posix.stat(name, dir_fd=fd, follow_symlinks=False)
        except OSError:  # gone meanwhile
            continue
        total += about.st_blocks * 512
        if about.st_mode & KIND == DIRECTORY:
            directories.append(name)
    return total, directories


def identity(fd: int) -> tuple[int, int]:
    about = posix.fstat(fd)
    return about.st_dev, about.st_ino

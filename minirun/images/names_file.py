"""images.json replaced, whole or not at all, after a crash, too, and as far as can be on a full disk."""

from __future__ import annotations

import posix
from errno import EDQUOT, ENOSPC

from minirun.images.blobs import sync_directory, unwritable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.images.blobs import Blobs

NAME, MAKING = "images.json", "images.json.new"


def replace(blobs: Blobs, data: bytes) -> None:
    """Under images.lock.  Raises MinirunError."""
    path = f"{blobs.storage}/{NAME}"
    new = f"{blobs.storage}/{MAKING}"
    try:
        try:
            write_new(new, data)
        except OSError as error:
            if error.errno not in (ENOSPC, EDQUOT) or not overwrite(path, data):
                raise
            return
        blobs.sync()  # what is named has to be there after a loss of power, too
        posix.rename(new, path)
        sync_directory(blobs.storage)
    except OSError as error:
        raise unwritable(blobs.storage, error) from error


def write_new(path: str, data: bytes) -> None:
    fd = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC, 0o600)
    try:
        while data:
            data = data[posix.write(fd, data) :]
        posix.fdatasync(fd)
    except OSError:
        posix.unlink(path)
        raise
    finally:
        posix.close(fd)


def overwrite(path: str, data: bytes) -> bool:
    """A full disk has no room for a second file, but what takes something away must be possible there: in place, in
    one write(2), in the blocks that the file has.  False if they are not enough."""
    try:
        fd = posix.open(path, posix.O_WRONLY | posix.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        about = posix.fstat(fd)
        if len(data) > max(about.st_size, about.st_blocks * 512):
            return False
        posix.pwrite(fd, data.ljust(about.st_size), 0)  # JSON ends as well with spaces
        posix.fdatasync(fd)
    finally:
        posix.close(fd)
    return True

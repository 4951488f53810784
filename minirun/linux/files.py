"""A new regular file with its content, owner, mode and time in one crossing: open(2) to utimensat(2).

An image has thousands of small files; six calls from Python for each of them are half of the time of an unpack.
"""

from __future__ import annotations

from minirun.linux import ffi, lib, oserror


def new_file(at: int, name: bytes, mode: int, uid: int, gid: int, mtime: int, data: bytes | memoryview) -> None:
    """``name`` in the directory ``at``, which must not be there yet (O_EXCL, O_NOFOLLOW); ``mtime`` in nanoseconds."""
    seconds, nanoseconds = divmod(mtime, 1_000_000_000)
    content = ffi.from_buffer(data)
    if lib.minirun_new_file(at, name, mode, uid, gid, seconds, nanoseconds, content, len(content)) < 0:
        raise oserror(name.decode("utf-8", "surrogateescape"))

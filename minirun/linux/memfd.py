"""memfd_create(2) with every seal (fcntl(2), F_ADD_SEALS): bytes that nobody can change any more."""

from __future__ import annotations

from minirun.linux import lib, oserror


def seal_file(name: str, fd: int) -> int:
    """A sealed, executable copy of the file open as ``fd``; returns the memfd."""
    memfd: int = lib.minirun_seal_file(name.encode(), fd)
    if memfd < 0:
        raise oserror(name)
    return memfd


def seal_bytes(name: str, data: bytes) -> int:
    """A sealed memfd that holds ``data``."""
    memfd: int = lib.minirun_seal_bytes(name.encode(), data, len(data))
    if memfd < 0:
        raise oserror(name)
    return memfd

"""openat2(2): a path below a directory that is open, and nowhere else.

``name`` is bytes: what an image or a container calls its files need not be UTF-8.
"""

from __future__ import annotations

from minirun.linux import lib, oserror

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08  # a link that leads out, or an absolute one: EXDEV
RESOLVE_IN_ROOT = 0x10  # as chroot(2) would see it
O_PATH = 0o10000000
TRIES = 64  # EAGAIN while somebody renames under it (RESOLVE_IN_ROOT, RESOLVE_BENEATH)


def openat2(at: int, name: bytes, flags: int, resolve: int, mode: int = 0) -> int:
    """A descriptor (close-on-exec) of ``name`` below ``at``."""
    for _ in range(TRIES):
        fd: int = lib.minirun_openat2(at, name, flags, mode, resolve)
        if fd >= 0:
            return fd
        error = oserror(name.decode("utf-8", "surrogateescape"))
        if error.errno != 11:  # EAGAIN
            break
    raise error

"""namespaces(7): setns(2), unshare(2), ioctl_ns(2), and a process for a namespace to be born in.

``unshare`` and ``enter`` change the calling thread; a user namespace wants the process to have no other threads.
"""

from __future__ import annotations

import posix
from fcntl import ioctl

from minirun.linux import ffi, lib, oserror

NEWNS, NEWUSER, NEWNET = 0x00020000, 0x10000000, 0x40000000
NS_GET_USERNS, NS_GET_PARENT, NS_GET_OWNER_UID = 0xB701, 0xB702, 0xB704  # linux/nsfs.h: _IO(0xb7, n)


def enter(fd: int, kind: int) -> None:
    """setns(2).  ``kind`` is NEWNS and so on: the descriptor must be of that kind; 0 takes any."""
    if lib.minirun_setns(fd, kind) < 0:
        raise oserror("setns")


def unshare(flags: int) -> None:
    if lib.minirun_unshare(flags) < 0:
        raise oserror("unshare")


class Born:
    """As a context manager: the pid of a child in new namespaces that does nothing, and is gone at the end."""

    def __init__(self, flags: int) -> None:
        self.flags = flags

    def __enter__(self) -> int:
        end = ffi.new("int *")
        pid: int = lib.minirun_hold(self.flags, end)
        if pid < 0:
            raise oserror("clone3")
        self.pid, self.end = pid, end[0]
        return pid

    def __exit__(self, *_: object) -> None:
        posix.close(self.end)
        try:
            posix.waitpid(self.pid, 0)
        except ChildProcessError:  # SIGCHLD is ignored: nothing to wait for
            return


def user_of(fd: int) -> int:
    """A descriptor of the user namespace that owns this one; EPERM outside of ours."""
    return int(ioctl(fd, NS_GET_USERNS))


def parent_of(fd: int) -> int:
    """A descriptor of the user or pid namespace around this one; EPERM outside of ours."""
    return int(ioctl(fd, NS_GET_PARENT))


def owner_of(fd: int) -> int:
    """The uid, as we see it, of whoever made this user namespace."""
    return int.from_bytes(ioctl(fd, NS_GET_OWNER_UID, bytes(4)), "little")

"""Let every runtime see a host with cgroup v2 only, and change nothing for anyone else.

Many hosts are *hybrid*: version 1 hierarchies on ``/sys/fs/cgroup/*``, the v2 one beside them (often on
``/sys/fs/cgroup/unified``).  runc and crun then drive a dozen v1 hierarchies, minirun only the v2 one, and a
comparison would measure that difference.  So we unshare(2) the mount namespace, make it private, and bind the
v2 hierarchy over ``/sys/fs/cgroup`` in there.  The namespace, and with it the bind, ends with our last process.

ctypes is enough for three system calls, and the processes that are timed never load it (see ``stopwatch.c``).
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

CGROUP_ROOT = "/sys/fs/cgroup"

# <sched.h>, <sys/mount.h>, <sys/prctl.h>: kernel ABI, the same on every architecture.
CLONE_NEWNS = 0x0002_0000
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x4_0000
PR_SET_CHILD_SUBREAPER = 36

libc = ctypes.CDLL(None, use_errno=True)
libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4


def checked(result: int, call: str, path: str | None = None) -> None:
    """Turn the -1 of a system call into an OSError that names the call."""
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{call}: {os.strerror(errno)}", path)


def mount(source: str | None, target: str, flags: int) -> None:
    """mount(2) without type and data: binds and propagation only."""
    result = libc.mount(source and source.encode(), target.encode(), None, flags, None)
    checked(result, "mount", target)


def mounts(mountinfo: str) -> list[tuple[str, str, str]]:
    """(root, mount point, type) of each line of proc_pid_mountinfo(5), in the order of mounting."""
    found = []
    for line in mountinfo.splitlines():
        # The optional fields end with a lone "-"; the type is the first field after it.
        before, _, after = line.partition(" - ")
        fields = before.split()
        found.append((fields[3], fields[4], after.split()[0]))
    return found


def cgroup2_mount(mountinfo: str) -> str | None:
    """Where the whole v2 hierarchy is mounted: the place where it belongs, if it is there."""
    points = [point for root, point, kind in mounts(mountinfo) if kind == "cgroup2" and root == "/"]
    return CGROUP_ROOT if CGROUP_ROOT in points else next(iter(points), None)


def enter() -> None:
    """Move this process, and all that it starts, into the private view."""
    checked(libc.unshare(CLONE_NEWNS), "unshare")
    mount(None, "/", MS_REC | MS_PRIVATE)
    point = cgroup2_mount(Path("/proc/self/mountinfo").read_text())
    if point is None:
        raise SystemExit("bench: this host has no cgroup v2 hierarchy mounted")
    if point != CGROUP_ROOT:
        mount(point, CGROUP_ROOT, MS_BIND)


def adopt_orphans() -> None:
    """Become the parent of daemonised grandchildren (containers), as a container shim does: prctl(2)."""
    checked(libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")

"""umount2(2), and which mount a path lies on (proc_pid_fdinfo(5), mnt_id)."""

from __future__ import annotations

import posix

from minirun.linux import lib, oserror

O_PATH = 0o10000000
MS_PRIVATE = 1 << 18


def mount_id(path: str) -> int:
    """The id of the mount on top at ``path``; 0 if there is no such path."""
    try:
        fd = posix.open(path, O_PATH | posix.O_CLOEXEC)
    except OSError:
        return 0
    try:
        info = posix.open(f"/proc/self/fdinfo/{fd}", posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            text = posix.read(info, 4096).decode()
        finally:
            posix.close(info)
    finally:
        posix.close(fd)
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("mnt_id:"))


def detach(path: str) -> None:
    """MNT_DETACH | UMOUNT_NOFOLLOW: gone from the tree at once, with all that is mounted below."""
    if lib.minirun_detach(path.encode("utf-8", "surrogateescape")) < 0:
        raise oserror(path)


def mount(source: str, target: str, fstype: str, options: str) -> None:
    """mount(2), the old way: its options may be as long as a page."""
    words = [word.encode("utf-8", "surrogateescape") for word in (source, target, fstype, options)]
    if lib.minirun_mount(words[0], words[1], words[2], 0, words[3]) < 0:
        raise oserror(target)


def make_private(path: str) -> None:
    """Mounts made below do not travel, nor arrive."""
    if lib.minirun_mount(b"none", path.encode("utf-8", "surrogateescape"), b"none", MS_PRIVATE, b"") < 0:
        raise oserror(path)

"""Who keeps an ordinary user's namespace: ROOT/.holders/PID, with the start time of that process in it.

A verb is there while it runs, a monitor as long as its container does; ``own_namespace`` joins the first that lives.
"""

from __future__ import annotations

import posix

from minirun.runtime.status import start_time


def hold(root: str) -> None:
    """This process keeps the namespace that it is in, for as long as it lives; without one there is nothing to do."""
    pid = posix.getpid()
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC
    try:
        fd = posix.open(f"{root}/.holders/{pid}", flags, 0o600)
    except FileNotFoundError:  # the host's root, or somebody who was root of a namespace already
        return
    try:
        posix.write(fd, str(start_time(pid)).encode())
    finally:
        posix.close(fd)


def leave(root: str) -> None:
    """No holder any more.  Who else is inside stays there."""
    discard(f"{root}/.holders/{posix.getpid()}")


def discard(path: str) -> None:
    try:
        posix.unlink(path)
    except FileNotFoundError:
        pass


def written(path: str) -> int:
    """The start time in an entry; -1 if it says nothing of use."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
    except OSError:
        return -1
    try:
        text = posix.read(fd, 64)
    finally:
        posix.close(fd)
    return int(text) if text.isdigit() else -1


def held(pid: int, began: int) -> bool:
    return began > 0 and start_time(pid) == began

"""Who keeps an ordinary user's namespace: ROOT/.holders/PID, with that process's start time and pid namespace in it.

A verb is there while it runs, a monitor as long as its container does; ``own_namespace`` joins the first that lives.
"""

from __future__ import annotations

import posix

from minirun.runtime.status import start_time

PIDS = "/proc/self/ns/pid"


def hold(root: str) -> None:
    """This process keeps the namespace that it is in, for as long as it lives; without one there is nothing to do."""
    pid, pids = posix.getpid(), posix.readlink(PIDS)
    new = f"{root}/.holders/.{pid}.{pids}"
    try:
        fd = posix.open(new, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC, 0o600)
    except FileNotFoundError:  # the host's root, or somebody who was root of a namespace already
        return
    try:
        posix.write(fd, f"{start_time(pid)} {pids}".encode())
    finally:
        posix.close(fd)
    posix.rename(new, f"{root}/.holders/{pid}")


def leave(root: str) -> None:
    """No holder any more.  Who else is inside stays there."""
    discard(f"{root}/.holders/{posix.getpid()}")


def discard(path: str) -> None:
    try:
        posix.unlink(path)
    except FileNotFoundError:
        pass


def holders(folder: str) -> list[int]:
    """Those that live.  What others have left is taken away; of another pid namespace we know nothing."""
    own, found = posix.readlink(PIDS), []
    for name in posix.listdir(folder):
        path = f"{folder}/{name}"
        if name[0] == ".":  # being written, or left by somebody who was killed at it
            pid, _, pids = name[1:].partition(".")
            gone = not pid.isdigit() or (pids == own and not start_time(int(pid)))
        elif name.isdigit() and alive(int(name), path):
            found.append(int(name))
            continue
        else:
            gone = written(path)[1] in ("", own)
        if gone:
            discard(path)
    return found


def alive(pid: int, path: str) -> bool:
    """Is the process that wrote this still there?  A pid used again has another start time."""
    began, pids = written(path)
    return began > 0 and pids == posix.readlink(PIDS) and start_time(pid) == began


def written(path: str) -> tuple[int, str]:
    """Start time and pid namespace in an entry; 0 and "" if it says nothing of use."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
    except OSError:
        return 0, ""
    try:
        words = posix.read(fd, 64).decode("utf-8", "replace").split()
    finally:
        posix.close(fd)
    return (int(words[0]), words[1]) if len(words) == 2 and words[0].isdigit() else (0, "")

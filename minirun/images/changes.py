"""What a container has changed: docker's diff, from the upper directory and the layers below it alone.

A  it is in the upper, and no layer has it      C  both have it; a directory, too, that has a change below
D  a whiteout, or what an opaque directory hides

Where something was mounted, the runtime may have had to make a file or a directory to mount on: that is nobody's
change, as long as it is empty (``targets``).
"""

from __future__ import annotations

import posix

from minirun.images.lowers import Lowers
from minirun.images.tree import OPEN_DIRECTORY, STRICT, names
from minirun.images.walk import walk
from minirun.images.whiteout import is_opaque, is_whiteout
from minirun.linux.openat2 import openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from posix import stat_result

    from minirun.images.snapshot import Snapshot
    from minirun.images.walk import Node

ADDED, CHANGED, DELETED = "A", "C", "D"


def changes(snapshot: Snapshot, targets: Collection[str] = ()) -> list[tuple[str, str]]:
    """``("A"|"C"|"D", "/path")``, sorted by path; ``targets``: where the container's mounts are."""
    upper = open_upper(snapshot)
    if upper < 0:
        return []
    lowers = Lowers(snapshot.lowers, userxattr=snapshot.userxattr)
    found: dict[bytes, str] = {}
    quiet = targets_of(targets)
    entered = {way(path) for path in quiet}
    try:
        for node in walk(upper):
            if is_whiteout(node.status):
                found[node.path] = DELETED
                continue
            below = lowers.find(node.path)
            if below is None:
                if not (node.path in quiet and is_empty(node)):
                    found[node.path] = ADDED
            elif not (node.is_directory and below.is_directory):
                found[node.path] = CHANGED
            else:
                if not alike(node.status, below.status, node.path in entered):
                    found[node.path] = CHANGED
                found.update(hidden(node, lowers, upper, snapshot.userxattr))
    finally:
        posix.close(upper)
        lowers.close()
    for path in list(found):
        while path := way(path):
            found.setdefault(path, CHANGED)
    return [(found[path], "/" + path.decode("utf-8", "surrogateescape")) for path in sorted(found)]


def open_upper(snapshot: Snapshot) -> int:
    """Or -1: one that was in memory is gone with the container's end."""
    try:
        return posix.open(snapshot.upper, OPEN_DIRECTORY)
    except FileNotFoundError:
        return -1


def targets_of(targets: Collection[str]) -> set[bytes]:
    return {target.strip("/").encode("utf-8", "surrogateescape") for target in targets}


def way(path: bytes) -> bytes:
    """The directory above, "" for the root."""
    return path.rpartition(b"/")[0]


def is_empty(node: Node) -> bool:
    """A file without a byte, a directory without an entry."""
    if not node.is_directory:
        return node.status.st_size == 0
    fd = openat2(node.at, node.name, OPEN_DIRECTORY, STRICT)
    try:
        return not names(fd)
    finally:
        posix.close(fd)


def alike(one: stat_result, other: stat_result, quiet: bool) -> bool:
    """A directory that was only copied up; the time does not count where a mount's target came into it."""
    same = (one.st_mode, one.st_uid, one.st_gid) == (other.st_mode, other.st_uid, other.st_gid)
    return same and (quiet or one.st_mtime_ns == other.st_mtime_ns)


def hidden(node: Node, lowers: Lowers, upper: int, userxattr: bool) -> dict[bytes, str]:
    """What an opaque directory hides of the layers' directory of that name and does not have itself."""
    fd = openat2(node.at, node.name, OPEN_DIRECTORY, STRICT)
    try:
        if not is_opaque(fd, userxattr):
            return {}
        own = set(names(fd))
    finally:
        posix.close(fd)
    gone = {node.path: CHANGED}
    for root in lowers.roots:
        try:
            below = openat2(root, node.path, OPEN_DIRECTORY, STRICT)
        except OSError:
            continue
        try:
            listed = names(below)
        finally:
            posix.close(below)
        for name in listed:
            path = node.path + b"/" + name
            if name not in own and lowers.find(path):
                gone[path] = DELETED
    return gone

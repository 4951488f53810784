"""Containers without a mount namespace of their own: their mounts are the host's, and must go with them.

config-linux.md, Namespaces: a type that is not listed is inherited.  The rootfs is then bound over itself, all mounts
are made below that one, and taking it away takes them all away.  Which one it is tells the id of the mount that lay
there before, written down before anything is mounted: a create that was killed leaves nothing that nobody knows.
"""

from __future__ import annotations

import posix
from errno import EINVAL

from minirun.errors import MinirunError
from minirun.linux import mount
from minirun.spec.rules import in_place, namespace_types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.runtime.store import State
    from minirun.spec.types import Spec

MOST = 16  # more than one lies there only if somebody else mounts there too


def look(spec: Spec, rootfs: str) -> int:
    """The id to write down; 0 where the container has a mount namespace."""
    if in_place(spec):
        return mount.mount_id(rootfs)
    joined = namespace_types(spec).get("mount", "")
    if joined and same_file(joined, "/proc/self/ns/mnt"):
        raise MinirunError(
            "cannot join the mount namespace", reason=f"{joined} is the runtime's own, and would lose its root",
            pointer="/linux/namespaces", hint='leave {"type": "mount"} out: the container then inherits it',
        )  # fmt: skip
    return 0


def same_file(one: str, other: str) -> bool:
    try:
        first, second = posix.stat(one), posix.stat(other)
    except OSError:
        return False  # joining it says what is wrong
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def take_away(state: State) -> None:
    """Unmount what was mounted on the rootfs since; nothing to do where it is as it was."""
    for _ in range(MOST):
        if not state.mountId or mount.mount_id(state.rootfs) in (state.mountId, 0):
            return
        try:
            mount.detach(state.rootfs)
        except OSError as error:
            if error.errno != EINVAL:
                raise
            return  # no mount point any more: somebody took away all that lay there, ours and what was below it

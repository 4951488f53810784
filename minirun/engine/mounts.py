"""Mounts that the host makes for init: detached, and in nobody's tree until init attaches them.

Id-mapped ones (plan/idmap.py says why), and binds of what the container's root may not reach: a volume below a
directory that is closed to others, where a user namespace has made the container's root one of the others.
"""

from __future__ import annotations

import posix

from minirun.facts import read
from minirun.linux import mountfd
from minirun.plan.ops import BIND_MAPPED, BIND_MAPPED_TREE, BIND_RECURSIVE, BIND_SOURCE_NOFOLLOW

O_PATH = 0o10000000  # asm-generic/fcntl.h; posix has no name for it
TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.engine.execute import Site
    from minirun.plan.ops import Bind, Mount


def clone(site: Site, op: Bind) -> int:
    """A clone of what the host has at ``source``, with what is below it if asked for, its ids mapped if asked for.

    -1 where init can clone it as well.  It should then: the kernel does not let the container take back flags (``ro``)
    that the host's own mount has, of what was cloned in the container's own namespace.
    """
    assert site.init is not None
    source = open_source(op)
    if source < 0:
        return -1
    tree = -1
    try:
        if not op.flags & BIND_MAPPED and reachable(source, site.init.pid):
            return -1
        tree = mountfd.open_tree(source, mountfd.AT_RECURSIVE if op.flags & BIND_RECURSIVE else 0, op.source)
        # As init's own clone would be: in the host's own namespace it is still a peer of what it was cloned from.
        mountfd.set_attributes(tree, flags=mountfd.AT_RECURSIVE, propagation=op.propagation, path=op.source)
        if op.flags & BIND_MAPPED:
            give_mapping(site, op.maps, tree, mountfd.AT_RECURSIVE if op.flags & BIND_MAPPED_TREE else 0, op.source)
    except BaseException:
        if tree >= 0:
            posix.close(tree)
        raise
    finally:
        posix.close(source)
    return tree


def open_source(op: Bind) -> int:
    """Looked up once, and held; -1 where there is nothing and init shall say so."""
    try:
        nofollow = posix.O_NOFOLLOW if op.flags & BIND_SOURCE_NOFOLLOW else 0
        return posix.open(op.source, O_PATH | posix.O_CLOEXEC | nofollow)
    except OSError as error:
        if op.flags & BIND_MAPPED:
            raise mountfd.of("open", error) from error
        return -1


def new(site: Site, op: Mount) -> int:
    """A file system that belongs to the host's root, its ids mapped."""
    made = mountfd.new(op.fstype, op.source, op.data)
    try:
        give_mapping(site, op.maps, made, 0, op.fstype)
    except BaseException:
        posix.close(made)
        raise
    return made


def give_mapping(site: Site, maps: list[str], fd: int, flags: int, path: str) -> None:
    """MOUNT_ATTR_IDMAP, by the container's user namespace or by one that is made for it."""
    assert site.init is not None
    if maps:
        space = mountfd.user_namespace(*maps)
    else:
        space = posix.open(f"/proc/{site.init.pid}/ns/user", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        mountfd.set_attributes(fd, flags=flags, user_namespace=space, path=path)
    finally:
        posix.close(space)


def reachable(fd: int, pid: int) -> bool:
    """May a process of that user and group cross every directory above what is open?  By the modes."""
    above = posix.readlink(f"/proc/self/fd/{fd}").rpartition("/")[0]
    uid, gid = host_ids(pid)
    while True:
        is_ = posix.stat(above or "/")
        shift = 6 if is_.st_uid == uid else 3 if is_.st_gid == gid else 0
        if not is_.st_mode >> shift & 1:
            return False
        if not above:
            return True
        above = above.rpartition("/")[0]


def host_ids(pid: int) -> tuple[int, int]:
    """The user and the group of a process, as its files are judged (proc_pid_status(5), the last of the four)."""
    ids = [line.split() for line in read(f"/proc/{pid}/status").splitlines() if line.startswith(("Uid:", "Gid:"))]
    return int(ids[0][4]), int(ids[1][4])

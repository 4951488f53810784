"""Attributes of a share's files: stat, chmod, chown, truncate, times, extended attributes, statfs.

Ids are the host's own: root in the guest is root in the rootfs, as in a container without a user namespace.

Extended attributes are ``user.*`` and ``security.capability`` (file capabilities: what setcap(8) writes).  All others
mean something to the *host's* kernel (trusted.*, SELinux labels, IMA, ACLs), so to the guest they are not supported.
"""

from __future__ import annotations

import posix
import stat as kinds
from errno import E2BIG, EINVAL, ENODATA, EOPNOTSUPP, ERANGE, EROFS

from minirun.linux.kvm import lib
from minirun.vm.devices import fs_wire as wire
from minirun.vm.devices.fs_files import offset_of, open_node, regular, to_write
from minirun.vm.devices.fs_names import strings
from minirun.vm.devices.fs_nodes import Node, Nodes, failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.vm.devices.fs_request import Request

ROOT_INODE = 0xFFFF << 48 | wire.ROOT
VALUE_MOST = 64 << 10  # XATTR_SIZE_MAX
XATTR_FLAGS = 3  # CREATE, REPLACE
NOBODY = 0xFFFFFFFF  # to chown(2), "as it is"
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
CHANGES = (
    wire.FATTR_MODE | wire.FATTR_UID | wire.FATTR_GID | wire.FATTR_SIZE | wire.FATTR_ATIME | wire.FATTR_MTIME
    | wire.FATTR_KILL_SUIDGID
)  # fmt: skip


def answer(nodes: Nodes, node: Node) -> bytes:
    if (error := lib.share_stat(node.fd, nodes.stat)) < 0:
        raise failed(-error)
    return wire.ATTR_OUT.pack(wire.VALID, 0, 0) + nodes.attributes()


def root_attributes(nodes: Nodes) -> bytes:
    mode, links = kinds.S_IFDIR | 0o555, 2 + len(nodes.exports)
    attr = wire.ATTR.pack(ROOT_INODE, 0, 0, 0, 0, 0, 0, 0, 0, mode, links, 0, 0, 0, wire.PAGE, 0)
    return wire.ATTR_OUT.pack(wire.VALID, 0, 0) + attr


def getattr_(nodes: Nodes, request: Request) -> bytes:
    return root_attributes(nodes) if request.node == wire.ROOT else answer(nodes, nodes.node(request.node))


def setattr_(nodes: Nodes, request: Request) -> bytes:
    """In this order: chown(2) takes set-user-ID away, truncate(2) touches the times."""
    (valid, _, handle, size, _, atime, mtime, _, atime_ns, mtime_ns, _, mode, _, uid, gid, _) = (
        wire.SETATTR_IN.unpack_from(request.body)
    )
    if request.node == wire.ROOT:
        raise failed(EROFS)
    node = nodes.node(request.node)
    if node.export.read_only and valid & CHANGES:
        raise failed(EROFS)
    if valid & (wire.FATTR_UID | wire.FATTR_GID):
        change_owner(node, uid if valid & wire.FATTR_UID else None, gid if valid & wire.FATTR_GID else None)
    if valid & wire.FATTR_MODE:
        if node.kind == kinds.S_IFLNK:
            raise failed(EOPNOTSUPP)
        posix.chmod(str(node.fd), mode & 0o7777, dir_fd=nodes.proc)
    if valid & wire.FATTR_SIZE:
        truncate(nodes, node, handle if valid & wire.FATTR_FH else 0, offset_of(size))
    if valid & wire.FATTR_KILL_SUIDGID:
        kill_suid(nodes, node)
    access = when(valid, wire.FATTR_ATIME, wire.FATTR_ATIME_NOW, atime_ns)
    change = when(valid, wire.FATTR_MTIME, wire.FATTR_MTIME_NOW, mtime_ns)
    if valid & (wire.FATTR_ATIME | wire.FATTR_MTIME):
        error = lib.share_utimens(nodes.proc, node.fd, signed(atime), access, signed(mtime), change)
        if error < 0:
            raise failed(-error)
    return answer(nodes, node)


def change_owner(node: Node, uid: int | None, gid: int | None) -> None:
    if NOBODY in (uid, gid):
        raise failed(EINVAL)
    error = lib.share_chown(node.fd, NOBODY if uid is None else uid, NOBODY if gid is None else gid)
    if error < 0:
        raise failed(-error)


def truncate(nodes: Nodes, node: Node, handle: int, size: int) -> None:
    if handle:
        posix.ftruncate(to_write(nodes, handle).fd, size)
        return
    fd = open_node(nodes, regular(nodes, node.id), posix.O_WRONLY)
    try:
        posix.ftruncate(fd, size)
    finally:
        posix.close(fd)


def kill_suid(nodes: Nodes, node: Node) -> None:
    if node.kind == kinds.S_IFREG:
        fd = open_node(nodes, node, posix.O_RDONLY)
        lib.share_kill_suid(fd)
        posix.close(fd)


def when(valid: int, given: int, now: int, nanoseconds: int) -> int:
    """utimensat(2)'s tv_nsec."""
    if not valid & given:
        return UTIME_OMIT
    return UTIME_NOW if valid & now else nanoseconds


def signed(seconds: int) -> int:
    """Times before 1970 arrive as two's complement."""
    return seconds - (1 << 64) if seconds >> 63 else seconds


# -- extended attributes


def permitted(name: bytes) -> bool:
    return name.startswith(b"user.") or name == b"security.capability"


def holder(nodes: Nodes, number: int, *, change: bool = False) -> int:
    """A descriptor to ask: only a regular file or a directory is opened, and nothing else has what is permitted."""
    if number == wire.ROOT:
        raise failed(EROFS if change else EOPNOTSUPP)
    node = nodes.node(number)
    if change and node.export.read_only:
        raise failed(EROFS)
    if node.kind not in (kinds.S_IFREG, kinds.S_IFDIR):
        raise failed(EOPNOTSUPP)
    return open_node(nodes, node, posix.O_RDONLY | posix.O_NONBLOCK)


def setxattr(nodes: Nodes, request: Request) -> bytes:
    size, flags = wire.SETXATTR_IN.unpack_from(request.body)
    name, nul, value = request.body[wire.SETXATTR_IN.size :].partition(b"\0")
    if not nul or len(value) != size or flags & ~XATTR_FLAGS:
        raise failed(EINVAL)
    if size > VALUE_MOST:
        raise failed(E2BIG)
    if not permitted(name):
        raise failed(EOPNOTSUPP)
    fd = holder(nodes, request.node, change=True)
    try:
        posix.setxattr(fd, name, value, flags)
    finally:
        posix.close(fd)
    return b""


def sized(value: bytes, size: int) -> bytes:
    """Asked with no room, only how much would be wanted."""
    if not size:
        return wire.GETXATTR_OUT.pack(len(value), 0)
    if len(value) > size:
        raise failed(ERANGE)
    return value


def getxattr(nodes: Nodes, request: Request) -> bytes:
    size, _ = wire.GETXATTR_IN.unpack_from(request.body)
    (name,) = strings(request.body, 1, wire.GETXATTR_IN.size)
    if not permitted(name):
        raise failed(EOPNOTSUPP)
    if name == b"security.capability" and request.node != wire.ROOT and nodes.node(request.node).kind != kinds.S_IFREG:
        raise failed(ENODATA)
    fd = holder(nodes, request.node)
    try:
        return sized(posix.getxattr(fd, name), size)
    finally:
        posix.close(fd)


def listxattr(nodes: Nodes, request: Request) -> bytes:
    size, _ = wire.GETXATTR_IN.unpack_from(request.body)
    if request.node == wire.ROOT or nodes.node(request.node).kind not in (kinds.S_IFREG, kinds.S_IFDIR):
        return sized(b"", size)
    fd = holder(nodes, request.node)
    try:
        names = [name.encode(errors="surrogateescape") for name in posix.listxattr(fd)]
    finally:
        posix.close(fd)
    return sized(b"".join(name + b"\0" for name in names if permitted(name)), size)


def removexattr(nodes: Nodes, request: Request) -> bytes:
    (name,) = strings(request.body, 1)
    if not permitted(name):
        raise failed(EOPNOTSUPP)
    fd = holder(nodes, request.node, change=True)
    try:
        posix.removexattr(fd, name)
    finally:
        posix.close(fd)
    return b""


def statfs(nodes: Nodes, request: Request) -> bytes:
    """Of the share's root: what the first export says, for df(1) asks there."""
    if request.node != wire.ROOT:
        fd = nodes.node(request.node).fd
    elif nodes.exports:
        fd = next(iter(nodes.exports.values())).fd
    else:
        return wire.STATFS_OUT.pack(0, 0, 0, 0, 0, wire.PAGE, 255, wire.PAGE, 0)
    now = posix.fstatvfs(fd)
    return wire.STATFS_OUT.pack(
        now.f_blocks, now.f_bfree, now.f_bavail, now.f_files, now.f_ffree, now.f_bsize, now.f_namemax, now.f_frsize, 0
    )  # fmt: skip


OPERATIONS = {
    wire.GETATTR: getattr_, wire.SETATTR: setattr_, wire.SETXATTR: setxattr, wire.GETXATTR: getxattr,
    wire.LISTXATTR: listxattr, wire.REMOVEXATTR: removexattr, wire.STATFS: statfs,
}  # fmt: skip

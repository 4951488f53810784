"""What a guest does with names in a shared directory: look up, make, link, rename, remove (FUSE_LOOKUP and its like).

Every name is one component, checked here before the kernel sees it: not empty, no "/", no "." or "..", at most 255
bytes.  Nothing is followed: a symbolic link is a node like any other, and the guest reads it and goes on by itself,
from its own root.  ".." is the guest's own affair, too; so there is no way out of an export.
"""

from __future__ import annotations

import posix
import stat as kinds
from errno import EEXIST, EINVAL, ENAMETOOLONG, ENOENT, ENOTDIR, EROFS, EXDEV

from minirun.linux.kvm import ffi, lib
from minirun.vm.devices import fs_files, fs_wire as wire
from minirun.vm.devices.fs_nodes import Node, Nodes, failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.vm.devices.fs_request import Request

NAME_MOST = 255
TARGET_MOST = 4095  # PATH_MAX, without the NUL
RENAME_FLAGS = 7  # NOREPLACE, EXCHANGE, WHITEOUT
NODES = frozenset((kinds.S_IFREG, kinds.S_IFCHR, kinds.S_IFBLK, kinds.S_IFIFO, kinds.S_IFSOCK))


def strings(body: bytes, count: int, at: int = 0) -> list[bytes]:
    """The strings that end a request, each with its NUL, and nothing behind them."""
    parts = body[at:].split(b"\0")
    if len(parts) != count + 1 or parts.pop():
        raise failed(EINVAL)
    return parts


def checked(name: bytes) -> bytes:
    if name in (b"", b".", b"..") or b"/" in name:
        raise failed(EINVAL)
    if len(name) > NAME_MOST:
        raise failed(ENAMETOOLONG)
    return name


def one_name(request: Request, at: int = 0) -> bytes:
    return checked(strings(request.body, 1, at)[0])


def directory(nodes: Nodes, number: int) -> Node:
    """To be changed."""
    if number == wire.ROOT:
        raise failed(EROFS)
    node = nodes.node(number)
    if node.export.read_only:
        raise failed(EROFS)
    if node.kind != kinds.S_IFDIR:
        raise failed(ENOTDIR)
    return node


def entry(nodes: Nodes, node: Node) -> bytes:
    """struct fuse_entry_out of what ``nodes.stat`` describes."""
    return wire.ENTRY_OUT.pack(node.id, 0, wire.VALID, wire.VALID, 0, 0) + nodes.attributes()


def found(nodes: Nodes, parent: Node, name: bytes, fd: int) -> bytes:
    if fd < 0:
        raise failed(-fd)
    return entry(nodes, nodes.intern(fd, nodes.stat, parent.id, name, parent.export))


def lookup(nodes: Nodes, request: Request) -> bytes:
    name = one_name(request)
    if request.node == wire.ROOT:
        export = nodes.exports.get(name)
        if export is None:
            raise failed(ENOENT)
        fd = nodes.open_export(export)
        return entry(nodes, nodes.intern(fd, nodes.stat, wire.ROOT, name, export))
    parent = nodes.node(request.node)
    if parent.kind != kinds.S_IFDIR:
        raise failed(ENOTDIR)
    return found(nodes, parent, name, lib.share_lookup(parent.fd, name, nodes.stat))


def make(nodes: Nodes, request: Request, name: bytes, mode: int, device: int = 0, target: bytes = b"") -> bytes:
    parent = directory(nodes, request.node)
    fd = lib.share_make(
        parent.fd, name, mode, device, target, request.uid, request.gid, nodes.proc, nodes.stat
    )  # fmt: skip
    return found(nodes, parent, name, fd)


def mknod(nodes: Nodes, request: Request) -> bytes:
    """Devices as well, as a container with CAP_MKNOD makes them; nobody here ever opens one."""
    mode, device, _, _ = wire.MKNOD_IN.unpack_from(request.body)
    if kinds.S_IFMT(mode) not in NODES:
        raise failed(EINVAL)
    return make(nodes, request, one_name(request, wire.MKNOD_IN.size), mode & 0o177777, device)


def mkdir(nodes: Nodes, request: Request) -> bytes:
    mode, _ = wire.MKDIR_IN.unpack_from(request.body)
    return make(nodes, request, one_name(request, wire.MKDIR_IN.size), kinds.S_IFDIR | mode & 0o7777)


def symlink(nodes: Nodes, request: Request) -> bytes:
    name, target = strings(request.body, 2)
    if not target or len(target) > TARGET_MOST:
        raise failed(ENAMETOOLONG if target else ENOENT)
    return make(nodes, request, checked(name), kinds.S_IFLNK | 0o777, 0, target)


def readlink(nodes: Nodes, request: Request) -> bytes:
    node = None if request.node == wire.ROOT else nodes.node(request.node)
    if node is None or node.kind != kinds.S_IFLNK:
        raise failed(EINVAL)
    return posix.readlink(b"", dir_fd=node.fd)


def link(nodes: Nodes, request: Request) -> bytes:
    (number,) = wire.LINK_IN.unpack_from(request.body)
    name = one_name(request, wire.LINK_IN.size)
    parent = directory(nodes, request.node)
    if number == wire.ROOT or (old := nodes.node(number)).export is not parent.export:
        raise failed(EXDEV)
    if (error := lib.share_link(nodes.proc, old.fd, parent.fd, name)) < 0:
        raise failed(-error)
    return found(nodes, parent, name, lib.share_lookup(parent.fd, name, nodes.stat))


def unlink(nodes: Nodes, request: Request) -> bytes:
    name = one_name(request)
    posix.unlink(name, dir_fd=directory(nodes, request.node).fd)
    return b""


def rmdir(nodes: Nodes, request: Request) -> bytes:
    name = one_name(request)
    posix.rmdir(name, dir_fd=directory(nodes, request.node).fd)
    return b""


def rename(nodes: Nodes, request: Request) -> bytes:
    (target,) = wire.RENAME_IN.unpack_from(request.body)
    return moved(nodes, request, wire.RENAME_IN.size, target, 0)


def rename2(nodes: Nodes, request: Request) -> bytes:
    target, flags, _ = wire.RENAME2_IN.unpack_from(request.body)
    if flags & ~RENAME_FLAGS:
        raise failed(EINVAL)
    return moved(nodes, request, wire.RENAME2_IN.size, target, flags)


def moved(nodes: Nodes, request: Request, at: int, number: int, flags: int) -> bytes:
    old_name, new_name = map(checked, strings(request.body, 2, at))
    old, new = directory(nodes, request.node), directory(nodes, number)
    if old.export is not new.export:
        raise failed(EXDEV)
    if (error := lib.share_rename(old.fd, old_name, new.fd, new_name, flags)) < 0:
        raise failed(-error)
    return b""


def create(nodes: Nodes, request: Request) -> bytes:
    """A file that the guest found missing: made, opened, and its owner's.  If the host made one meanwhile: that one."""
    flags, mode, _, how = wire.CREATE_IN.unpack_from(request.body)
    name = one_name(request, wire.CREATE_IN.size)
    parent = directory(nodes, request.node)
    path = ffi.new("int *")
    owner = (request.uid, request.gid)
    fd = lib.share_create(
        parent.fd, name, fs_files.host_flags(flags), mode & 0o7777, *owner, nodes.proc, path, nodes.stat
    )  # fmt: skip
    if fd == -EEXIST and not flags & posix.O_EXCL:
        there = found(nodes, parent, name, lib.share_lookup(parent.fd, name, nodes.stat))
        (number,) = wire.INODE.unpack_from(there)
        try:
            return there + fs_files.opened(nodes, nodes.node(number), flags, how)
        except OSError:
            nodes.forget(number, 1)
            raise
    if fd < 0:
        raise failed(-fd)
    return new_file(nodes, parent, name, fd, path[0], flags)


def tmpfile(nodes: Nodes, request: Request) -> bytes:
    """O_TMPFILE: a file without a name, until link() gives it one."""
    flags, mode, _, _ = wire.CREATE_IN.unpack_from(request.body)
    parent = directory(nodes, request.node)
    path = ffi.new("int *")
    owner = (request.uid, request.gid)
    fd = lib.share_tmpfile(
        parent.fd, fs_files.host_flags(flags), mode & 0o7777, *owner, nodes.proc, path, nodes.stat
    )  # fmt: skip
    if fd < 0:
        raise failed(-fd)
    return new_file(nodes, parent, b"", fd, path[0], flags)


def new_file(nodes: Nodes, parent: Node, name: bytes, fd: int, path: int, flags: int) -> bytes:
    try:
        node = nodes.intern(path, nodes.stat, parent.id if name else 0, name, parent.export)
    except OSError:
        posix.close(fd)
        raise
    answer = entry(nodes, node)
    try:
        number = nodes.open(node, fd, bool(flags & 3))
    except OSError:
        nodes.forget(node.id, 1)
        raise
    return answer + wire.OPEN_OUT.pack(number, 0, 0)


OPERATIONS = {
    wire.LOOKUP: lookup, wire.READLINK: readlink, wire.SYMLINK: symlink, wire.MKNOD: mknod, wire.MKDIR: mkdir,
    wire.UNLINK: unlink, wire.RMDIR: rmdir, wire.RENAME: rename, wire.RENAME2: rename2, wire.LINK: link,
    wire.CREATE: create, wire.TMPFILE: tmpfile,
}  # fmt: skip

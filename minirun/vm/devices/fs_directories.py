"""Directories of a share, read: FUSE_READDIR and READDIRPLUS, which looks up every entry on the way.

Positions are the host's own cookies (getdents64(2), d_off); in the share's root, a list of exports, they count.
"""

from __future__ import annotations

import posix
import stat as kinds
from errno import EBADF, EINVAL, ENOTDIR

from minirun.linux.kvm import ffi, lib
from minirun.vm.devices import fs_wire as wire
from minirun.vm.devices.fs_files import fsync, open_node
from minirun.vm.devices.fs_nodes import Handle, Node, Nodes, failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.vm.devices.fs_request import Request

SIZE_MOST = 64 << 10
ROOT_HANDLE = 0  # the tables never give this number out
DT_DIR = 4


class Room:
    """Where answers are put together: one for each share, made when its first directory is read."""

    def __init__(self) -> None:
        self.out: Any = ffi.new("uint8_t[]", SIZE_MOST)
        self.entries: Any = ffi.new("struct share_entry[]", lib.SHARE_ENTRIES)
        self.found: Any = ffi.new("int *")


def room(nodes: Nodes) -> Room:
    if nodes.room is None:
        nodes.room = Room()
    return nodes.room


def opendir(nodes: Nodes, request: Request) -> bytes:
    if request.node == wire.ROOT:
        return wire.OPEN_OUT.pack(ROOT_HANDLE, 0, 0)
    node = nodes.node(request.node)
    if node.kind != kinds.S_IFDIR:
        raise failed(ENOTDIR)
    fd = open_node(nodes, node, posix.O_RDONLY | posix.O_DIRECTORY)
    return wire.OPEN_OUT.pack(nodes.open(node, fd, False), 0, 0)


def releasedir(nodes: Nodes, request: Request) -> bytes:
    number, _, _, _ = wire.RELEASE_IN.unpack_from(request.body)
    if number != ROOT_HANDLE:
        nodes.release(number)
    return b""


def fsyncdir(nodes: Nodes, request: Request) -> bytes:
    return b"" if request.node == wire.ROOT else fsync(nodes, request)


def asked(nodes: Nodes, request: Request) -> tuple[Handle | None, int, int]:
    """Which directory (None: the share's root), from where, and how much room there is."""
    number, position, size, _, _, _, _ = wire.READ_IN.unpack_from(request.body)
    size = min(size, SIZE_MOST, request.chain.writable - wire.OUT_HEADER.size)
    if size <= 0 or position >= 1 << 63:
        raise failed(EINVAL)
    if request.node == wire.ROOT:
        return None, position, size
    handle = nodes.handle(number)
    if handle.node.kind != kinds.S_IFDIR:
        raise failed(EBADF)
    if handle.directory is None:
        handle.directory = ffi.new("struct share_dir *")
    return handle, position, size


def readdir(nodes: Nodes, request: Request) -> bytes:
    handle, position, size = asked(nodes, request)
    if handle is None:
        return root_entries(nodes, position, size)
    out = room(nodes).out
    done = lib.share_dirents(handle.fd, handle.directory, position, out, size)
    if done < 0:
        raise failed(-done)
    return bytes(ffi.buffer(out, done))


def readdirplus(nodes: Nodes, request: Request) -> bytes:
    handle, position, size = asked(nodes, request)
    if handle is None:
        return root_entries(nodes, position, size, plus=True)
    place = room(nodes)
    done = lib.share_direntsplus(
        handle.fd, handle.directory, position, place.out, size, place.entries, place.found
    )  # fmt: skip
    out = ffi.buffer(place.out, max(done, 0))
    for index in range(place.found[0]):
        looked_up(nodes, handle.node, out, place.entries[index])
    if done < 0:
        raise failed(-done)
    return bytes(out)


def looked_up(nodes: Nodes, parent: Node, out: Any, entry: Any) -> None:
    """An entry with a descriptor becomes a node; where there are too many already, it stays "not looked up"."""
    at = entry.offset
    end = at + lib.SHARE_ENTRY
    *_, length, _ = wire.DIRENT.unpack_from(out, end)
    name = bytes(out[end + wire.DIRENT.size : end + wire.DIRENT.size + length])
    try:
        node = nodes.intern(entry.fd, entry.stat, parent.id, name, parent.export)
    except OSError:
        return
    wire.INODE.pack_into(out, at, node.id)
    nodes.number(entry.stat, ffi.buffer(entry.stat.attr))
    out[at + wire.ENTRY_OUT.size : end] = bytes(ffi.buffer(entry.stat.attr))


def root_entries(nodes: Nodes, position: int, size: int, *, plus: bool = False) -> bytes:
    """The exports by name; what they are, the guest looks up when it goes there."""
    out = b""
    front = bytes(lib.SHARE_ENTRY) if plus else b""
    for index, name in enumerate([b".", b"..", *nodes.exports]):
        if index < position:
            continue
        number, kind = (wire.ROOT, DT_DIR) if index < 2 else (wire.ROOT + index, 0)
        head = wire.DIRENT.pack(number, index + 1, len(name), kind)
        piece = front + head + name + bytes(-len(name) % 8)
        if len(out) + len(piece) > size:
            break
        out += piece
    return out


OPERATIONS = {
    wire.OPENDIR: opendir, wire.RELEASEDIR: releasedir, wire.FSYNCDIR: fsyncdir, wire.READDIR: readdir,
    wire.READDIRPLUS: readdirplus,
}  # fmt: skip

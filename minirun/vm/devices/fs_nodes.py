"""What the guest of a file-system share holds: nodes (inodes it has looked up) and handles (files it has open).

A node is an O_PATH descriptor: the inode itself, whatever happens to its name.  The guest counts how often it was told
of a node (FUSE's nlookup) and gives the count back with FORGET; at zero the descriptor is closed.  Descriptors are
bounded: above the limit, those not used for the longest time are closed, and opened again by name when the guest comes
back to them.  A name that leads elsewhere by then is ESTALE, as on NFS: the guest's kernel looks it up again.

Node 1 is a directory that does not exist: its entries are the exports.
"""

from __future__ import annotations

import posix
import stat as kinds
from errno import EBADF, EMFILE, ENFILE, ESTALE

from minirun.linux.kvm import ffi, lib
from minirun.record import Record
from minirun.vm.devices import fs_wire as wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.vm.devices.fs_directories import Room

NODES_MOST = 1 << 18  # 500 bytes of ours for each, and about 1 KiB of the guest's own memory
FEWEST_FDS = 64


class Export(Record):
    """``fd`` is an O_PATH descriptor of a directory, or of one file; it stays the caller's."""

    name: str
    fd: int
    read_only: bool = False


class Node:
    """``id`` is the guest's name for it; ``fd`` is -1 while it is closed for want of descriptors."""

    __slots__ = ("born", "export", "fd", "held", "id", "key", "kind", "lookups", "name", "parent", "touched", "version")

    def __init__(self, number: int, fd: int, key: int, kind: int, export: Export) -> None:
        self.id, self.fd, self.key, self.kind, self.export = number, fd, key, kind, export
        self.lookups = self.held = self.born = 0
        self.touched = True
        self.parent, self.name = 0, b""  # by which it can be opened again; 0: it cannot
        self.version: tuple[int, int, int] | None = None  # what the guest may have cached of its data


class Handle:
    """``fd`` is open for IO.  ``node`` keeps its descriptor as long."""

    __slots__ = ("directory", "fd", "node", "writable")

    def __init__(self, fd: int, node: Node, writable: bool) -> None:
        self.fd, self.node, self.writable = fd, node, writable
        self.directory: Any = None  # struct share_dir *, once it is read


def failed(number: int) -> OSError:
    return OSError(number, posix.strerror(number))


def is_same(node: Node, stat: Any) -> bool:
    """While nobody holds an inode, its number may go to another."""
    return bool(node.kind == kinds.S_IFMT(stat.mode) and node.born == stat.born)


class Nodes:
    """The tables.  ``proc`` is the directory /proc/self/fd (native/vm/share.h says what for)."""

    def __init__(self, exports: list[Export], proc: int, most_fds: int) -> None:
        self.exports = {export.name.encode(): export for export in exports}
        self.proc = proc
        self.most_fds = max(most_fds, FEWEST_FDS)
        self.by_id: dict[int, Node] = {}
        self.by_key: dict[int, Node] = {}
        self.places: dict[tuple[int, int, int], int] = {}  # (device, mount, export) -> the upper half of keys
        self.warm: dict[int, Node] = {}  # those with a descriptor, in the order of a clock's hand
        self.handles: dict[int, Handle] = {}
        self.devices: dict[int, int] = {}  # st_dev -> what its inode numbers are mixed with
        self.next_node, self.next_handle = wire.ROOT + 1, 1
        self.stat: Any = ffi.new("struct share_stat *")
        self.attr: Any = ffi.buffer(self.stat.attr)
        self.room: Room | None = None

    def clear(self) -> None:
        """As if the guest had never been."""
        for fd in [node.fd for node in self.warm.values()] + [handle.fd for handle in self.handles.values()]:
            posix.close(fd)
        for table in (self.by_id, self.by_key, self.warm, self.handles):
            table.clear()

    # -- nodes

    def node(self, number: int) -> Node:
        """With a descriptor.  A number that was never given out is the guest's mistake: ESTALE."""
        node = self.by_id.get(number)
        if node is None:
            raise failed(ESTALE)
        if node.fd < 0:
            node.fd = self.reopen(node)
            self.warm[number] = node
        node.touched = True
        return node

    def intern(self, fd: int, stat: Any, parent: int, name: bytes, export: Export) -> Node:
        """The node of a descriptor that was just opened, which is ours from now on."""
        key = self.key(stat, export)
        node = self.by_key.get(key)
        if node is not None and node.fd < 0 and not is_same(node, stat):
            node.parent, node = 0, None  # the inode number was used again: the old node is gone for good
        if node is None:
            if len(self.by_id) >= NODES_MOST:
                posix.close(fd)
                raise failed(ENFILE)
            node = Node(self.next_node, fd, key, kinds.S_IFMT(stat.mode), export)
            self.next_node += 1
            self.by_key[key] = self.by_id[node.id] = self.warm[node.id] = node
        elif node.fd < 0:
            node.fd = fd
            self.warm[node.id] = node
        else:
            posix.close(fd)
        node.lookups += 1
        node.born = stat.born
        node.touched = True
        node.parent, node.name = parent, name
        return node

    def key(self, stat: Any, export: Export) -> int:
        """The mount belongs to it: the same inode may be writable through one and read-only through another."""
        place = (stat.device, stat.mount, id(export))
        upper = self.places.get(place)
        if upper is None:
            upper = self.places[place] = len(self.places) << 64
        return int(upper | stat.inode)

    def reopen(self, node: Node) -> int:
        """A descriptor by the name under which it was last seen, if that still is the same inode."""
        chain = [node]
        while chain[-1].parent != wire.ROOT:
            above = self.by_id.get(chain[-1].parent)
            if above is None or len(chain) > 256:  # forgotten before its children, or a ring: no honest guest does
                raise failed(ESTALE)
            if above.fd >= 0:
                break
            chain.append(above)
        for one in reversed(chain[1:]):
            self.node(one.id)
        if node.parent == wire.ROOT:
            fd = self.open_export(node.export)
        elif (fd := lib.share_lookup(self.by_id[node.parent].fd, node.name, self.stat)) < 0:
            raise failed(ESTALE)
        if self.key(self.stat, node.export) != node.key or not is_same(node, self.stat):
            posix.close(fd)
            raise failed(ESTALE)
        return fd

    def open_export(self, export: Export) -> int:
        """A descriptor of our own; ``self.stat`` is filled in."""
        fd = posix.dup(export.fd)
        if (error := lib.share_stat(fd, self.stat)) < 0:
            posix.close(fd)
            raise failed(-error)
        return fd

    def trim(self) -> None:
        """After each request: above the limit, close the descriptors of an eighth of the nodes.

        A clock, so what is in use gets a second chance.  What its name no longer leads to (renamed, removed, but the
        guest is still in it) keeps its descriptor.
        """
        if len(self.warm) + len(self.handles) <= self.most_fds:
            return
        goal = max(self.most_fds - self.most_fds // 8 - len(self.handles), 16)
        for _ in range(2 * len(self.warm)):
            if len(self.warm) <= goal:
                return
            number, node = next(iter(self.warm.items()))
            del self.warm[number]
            if node.touched or node.held or not self.can_reopen(node):
                node.touched = False
                self.warm[number] = node
                continue
            posix.close(node.fd)
            node.fd = -1

    def can_reopen(self, node: Node) -> bool:
        if not node.parent:
            return False
        try:
            posix.close(self.reopen(node))
        except OSError:
            return False
        return True

    def forget(self, number: int, count: int) -> None:
        node = self.by_id.get(number)
        if node is None:
            return
        node.lookups -= min(count, node.lookups)
        if not node.lookups and not node.held:
            self.drop(node)

    def drop(self, node: Node) -> None:
        del self.by_id[node.id]
        if self.by_key.get(node.key) is node:
            del self.by_key[node.key]
        if self.warm.pop(node.id, None):
            posix.close(node.fd)

    # -- handles

    def open(self, node: Node, fd: int, writable: bool) -> int:
        """A handle for a descriptor that was just opened, which is ours from now on."""
        if len(self.handles) >= self.most_fds // 2:
            posix.close(fd)
            raise failed(EMFILE)
        number = self.next_handle
        self.next_handle += 1
        self.handles[number] = Handle(fd, node, writable)
        node.held += 1
        return number

    def handle(self, number: int) -> Handle:
        handle = self.handles.get(number)
        if handle is None:
            raise failed(EBADF)
        return handle

    def release(self, number: int) -> None:
        handle = self.handle(number)
        del self.handles[number]
        posix.close(handle.fd)
        handle.node.held -= 1
        if not handle.node.lookups and not handle.node.held:
            self.drop(handle.node)

    # -- attributes

    def attributes(self) -> bytes:
        """struct fuse_attr of ``self.stat``."""
        self.number(self.stat, self.attr)
        return bytes(self.attr)

    def number(self, stat: Any, attr: Any) -> None:
        """Inode numbers are the host's; those of a second file system and so on differ in the uppermost bits."""
        mix = self.devices.get(stat.device)
        if mix is None:
            mix = self.devices[stat.device] = (len(self.devices) & 0xFFFF) << 48
        if mix:
            wire.INODE.pack_into(attr, 0, stat.inode ^ mix)

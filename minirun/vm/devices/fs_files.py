"""What a guest does with open files of a share: FUSE_OPEN, READ, WRITE and what belongs to them.

Only regular files and directories are ever opened here.  Devices, FIFOs and sockets are the guest's: its own kernel
opens them, and a FIFO joins the guest's programs, not the host's.

The data go straight between the file and guest memory (preadv(2), pwritev(2) on the chain).  There is no write-back
cache: what a program in the guest has written, the host sees.  What it has read, the guest may keep (FOPEN_KEEP_CACHE)
while the file is what it was when it was opened last.
"""

from __future__ import annotations

import posix
import stat as kinds
from errno import EBADF, EINVAL, EISDIR, ELOOP, ENXIO, EROFS
from time import time_ns

from minirun.linux.kvm import lib
from minirun.vm.devices import fs_wire as wire
from minirun.vm.devices.fs_nodes import Handle, Node, Nodes, failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.vm.devices.fs_request import Request

ACCESS_MODE = 3
TAKEN = ACCESS_MODE | posix.O_APPEND | posix.O_TRUNC | posix.O_DSYNC | posix.O_SYNC  # O_DIRECT is the guest's
OFFSET_MOST = (1 << 63) - 1
COPY_MOST = 16 << 20  # of one COPY_FILE_RANGE: others want their turn
SETTLED = 2_000_000_000  # ns: two changes within one tick of the clock look like one
SEEK_DATA, SEEK_HOLE = 3, 4


def host_flags(flags: int) -> int:
    if flags & ACCESS_MODE == ACCESS_MODE:
        raise failed(EINVAL)
    return flags & TAKEN


def offset_of(value: int) -> int:
    if value > OFFSET_MOST:
        raise failed(EINVAL)
    return value


def regular(nodes: Nodes, number: int) -> Node:
    if number == wire.ROOT:
        raise failed(EISDIR)
    node = nodes.node(number)
    if node.kind != kinds.S_IFREG:
        raise failed({kinds.S_IFDIR: EISDIR, kinds.S_IFLNK: ELOOP}.get(node.kind, ENXIO))
    return node


def open_node(nodes: Nodes, node: Node, flags: int) -> int:
    fd: int = lib.share_open(nodes.proc, node.fd, flags)
    if fd < 0:
        raise failed(-fd)
    return fd


def unchanged(nodes: Nodes, node: Node) -> bool:
    """Is the file what it was when it was opened last, and was it left alone for a moment?"""
    if lib.share_stat(node.fd, nodes.stat) < 0:
        return False
    now = (nodes.stat.mtime, nodes.stat.ctime, nodes.stat.size)
    same = node.version == now and time_ns() - nodes.stat.ctime > SETTLED
    node.version = now
    return same


def opened(nodes: Nodes, node: Node, flags: int, how: int) -> bytes:
    regular(nodes, node.id)
    writable = bool(flags & (ACCESS_MODE | posix.O_TRUNC))
    if writable and node.export.read_only:
        raise failed(EROFS)
    fd = open_node(nodes, node, host_flags(flags))
    if flags & posix.O_TRUNC and how & wire.OPEN_KILL_SUIDGID:
        lib.share_kill_suid(fd)
    number = nodes.open(node, fd, writable)
    return wire.OPEN_OUT.pack(number, wire.FOPEN_KEEP_CACHE if unchanged(nodes, node) else 0, 0)


def open_file(nodes: Nodes, request: Request) -> bytes:
    flags, how = wire.OPEN_IN.unpack_from(request.body)
    return opened(nodes, regular(nodes, request.node), flags, how)


def file_handle(nodes: Nodes, number: int) -> Handle:
    handle = nodes.handle(number)
    if handle.node.kind != kinds.S_IFREG:
        raise failed(EBADF)
    return handle


def to_write(nodes: Nodes, number: int) -> Handle:
    handle = file_handle(nodes, number)
    if not handle.writable:
        raise failed(EBADF)
    return handle


def read(nodes: Nodes, request: Request) -> int:
    """Leaves room for the header: what is returned is how many bytes lie behind it."""
    number, offset, size, _, _, _, _ = wire.READ_IN.unpack_from(request.body)
    handle = file_handle(nodes, number)
    request.chain.write_at = wire.OUT_HEADER.size
    return request.chain.from_file(handle.fd, min(size, wire.MAX_WRITE), offset_of(offset))


def write(nodes: Nodes, request: Request) -> bytes:
    number, offset, size, how, _, _, _ = wire.WRITE_IN.unpack_from(request.body)
    handle = to_write(nodes, number)
    if size != request.chain.unread or size > wire.MAX_WRITE:
        raise failed(EINVAL)
    if how & wire.WRITE_KILL_SUIDGID:
        lib.share_kill_suid(handle.fd)
    return wire.WRITE_OUT.pack(request.chain.to_file(handle.fd, size, offset_of(offset)), 0)


def release(nodes: Nodes, request: Request) -> bytes:
    number, _, _, _ = wire.RELEASE_IN.unpack_from(request.body)
    nodes.release(number)
    return b""


def fsync(nodes: Nodes, request: Request) -> bytes:
    number, how, _ = wire.FSYNC_IN.unpack_from(request.body)
    fd = nodes.handle(number).fd
    if how & wire.FSYNC_FDATASYNC:
        posix.fdatasync(fd)
    else:
        posix.fsync(fd)
    return b""


def syncfs(nodes: Nodes, request: Request) -> bytes:
    """sync(2) in the guest: the file systems of all exports."""
    for export in nodes.exports.values():
        if not export.read_only and (error := lib.share_sync(nodes.proc, export.fd)) < 0:
            raise failed(-error)
    return b""


def fallocate(nodes: Nodes, request: Request) -> bytes:
    number, offset, length, mode, _ = wire.FALLOCATE_IN.unpack_from(request.body)
    handle = to_write(nodes, number)
    error = lib.share_fallocate(handle.fd, mode & 0x7FFFFFFF, offset_of(offset), offset_of(length))
    if error < 0:
        raise failed(-error)
    return b""


def lseek(nodes: Nodes, request: Request) -> bytes:
    """Only what the guest's kernel cannot answer: where data and holes are."""
    number, offset, whence, _ = wire.LSEEK_IN.unpack_from(request.body)
    if whence not in (SEEK_DATA, SEEK_HOLE):
        raise failed(EINVAL)
    return wire.LSEEK_OUT.pack(posix.lseek(file_handle(nodes, number).fd, offset_of(offset), whence))


def copy_file_range(nodes: Nodes, request: Request) -> bytes:
    number, offset, _, to_number, to_offset, length, flags = wire.COPY_IN.unpack_from(request.body)
    source, target = file_handle(nodes, number), to_write(nodes, to_number)
    if flags:
        raise failed(EINVAL)
    done = posix.copy_file_range(
        source.fd, target.fd, min(length, COPY_MOST), offset_of(offset), offset_of(to_offset)
    )  # fmt: skip
    return wire.WRITE_OUT.pack(done, 0)


OPERATIONS = {
    wire.OPEN: open_file, wire.WRITE: write, wire.RELEASE: release, wire.FSYNC: fsync, wire.SYNCFS: syncfs,
    wire.FALLOCATE: fallocate, wire.LSEEK: lseek, wire.COPY_FILE_RANGE: copy_file_range,
}  # fmt: skip

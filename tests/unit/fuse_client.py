"""A FUSE client on a virtqueue: what a guest's kernel would send, and what it would never send."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

from minirun.vm.devices import fs_wire as wire
from minirun.vm.devices.fs import REQUESTS, Export, FileSystem
from tests.unit.virtio_driver import BUFFERS, Driver, Part

ROOM = 1 << 20
MEMORY = 8 << 20
AT = BUFFERS + 0x10000
ANSWER = 4 << 20


class Client:
    """``threaded`` leaves the work to the device's own thread; otherwise it is done at the kick."""

    def __init__(self, *exports: Export, most_fds: int = 4096, threaded: bool = False, init: bool = True) -> None:
        self.device = FileSystem("minirun", list(exports), most_fds)
        if not threaded:
            self.device.WORKER = False
        self.driver = Driver(self.device, size=MEMORY)
        self.unique = 0
        self.uid = self.gid = 0
        if init:
            assert self.init()[0] == 0

    def close(self) -> None:
        self.driver.close()
        os.close(self.driver.memory.fd)
        assert self.device.defect is None, repr(self.device.defect)

    def raw(self, request: bytes, room: int = 4096, queue: int = REQUESTS) -> bytes:
        """Bytes as they are; what came back."""
        memory, ring = self.driver.memory, self.driver.rings[queue]
        memory.write(AT, request)
        parts: list[Part] = [(AT, len(request), 0)] if request else []
        if room:
            parts.append((ANSWER, room, 2))
        ring.offer(ring.chain(parts))
        self.driver.kick(queue)
        ((_, written),) = self.driver.answers(ring)
        return memory.read(ANSWER, written)

    def call(self, opcode: int, node: int, body: bytes = b"", room: int = 4096) -> tuple[int, bytes]:
        """(errno, what follows the header)."""
        self.unique += 1
        size = wire.IN_HEADER.size + len(body)
        answer = self.raw(
            wire.IN_HEADER.pack(size, opcode, self.unique, node, self.uid, self.gid, 1, 0, 0) + body, room + 16
        )
        length, error, unique = wire.OUT_HEADER.unpack_from(answer)
        assert length == len(answer) and unique == self.unique and error <= 0
        return -error, answer[wire.OUT_HEADER.size :]

    def good(self, opcode: int, node: int, body: bytes = b"", room: int = 4096) -> bytes:
        error, answer = self.call(opcode, node, body, room)
        assert error == 0, os.strerror(error)
        return answer

    # -- what tests say often

    def init(self, major: int = 7, minor: int = 38, flags: int = 0xFFFFFFFF) -> tuple[int, bytes]:
        return self.call(wire.INIT, 0, struct.pack("<IIII48x", major, minor, 1 << 17, flags))

    def lookup(self, *names: str | bytes, node: int = wire.ROOT) -> int:
        """Walks from the root of the share."""
        for name in names:
            text = name.encode() if isinstance(name, str) else name
            (node,) = wire.INODE.unpack_from(self.good(wire.LOOKUP, node, text + b"\0"))
        return node

    def forget(self, node: int, count: int = 1) -> None:
        size = wire.IN_HEADER.size + 8
        assert not self.raw(
            wire.IN_HEADER.pack(size, wire.FORGET, 0, node, 0, 0, 0, 0, 0) + wire.FORGET_IN.pack(count), 0, 0
        )

    def attributes(self, node: int) -> dict[str, int]:
        return attributes(self.good(wire.GETATTR, node, bytes(16))[wire.ATTR_OUT.size :])

    def open(self, node: int, flags: int = os.O_RDONLY) -> int:
        return int(wire.OPEN_OUT.unpack(self.good(wire.OPEN, node, wire.OPEN_IN.pack(flags, 0)))[0])

    def read(self, node: int, handle: int, size: int = 4096, offset: int = 0) -> bytes:
        return self.good(wire.READ, node, wire.READ_IN.pack(handle, offset, size, 0, 0, 0, 0), size)

    def write(self, node: int, handle: int, data: bytes, offset: int = 0, flags: int = 0) -> int:
        body = wire.WRITE_IN.pack(handle, offset, len(data), flags, 0, 0, 0) + data
        return int(wire.WRITE_OUT.unpack(self.good(wire.WRITE, node, body))[0])

    def create(self, parent: int, name: str, mode: int = 0o644, flags: int = os.O_RDWR) -> tuple[int, int]:
        """(node, handle)."""
        answer = self.good(wire.CREATE, parent, wire.CREATE_IN.pack(flags, mode, 0, 0) + name.encode() + b"\0")
        (node,) = wire.INODE.unpack_from(answer)
        (handle, _, _) = wire.OPEN_OUT.unpack_from(answer, 128)
        return node, handle

    def release(self, node: int, handle: int) -> None:
        self.good(wire.RELEASE, node, wire.RELEASE_IN.pack(handle, 0, 0, 0))

    def entries(self, node: int, *, plus: bool = False, room: int = 4096) -> list[tuple[int, str]]:
        """(nodeid, name) of a whole directory; nodeid 0 without ``plus``."""
        (handle, _, _) = wire.OPEN_OUT.unpack(self.good(wire.OPENDIR, node, wire.OPEN_IN.pack(0, 0)))
        found, position = [], 0
        while True:
            body = wire.READ_IN.pack(handle, position, room, 0, 0, 0, 0)
            data = self.good(wire.READDIRPLUS if plus else wire.READDIR, node, body, room)
            if not data:
                break
            at = 0
            while at < len(data):
                (number,) = wire.INODE.unpack_from(data, at) if plus else (0,)
                at += 128 if plus else 0
                _, position, length, _ = wire.DIRENT.unpack_from(data, at)
                found.append((number, data[at + 24 : at + 24 + length].decode()))
                at += 24 + length + -length % 8
        self.good(wire.RELEASEDIR, node, wire.RELEASE_IN.pack(handle, 0, 0, 0))
        return found


FIELDS = (
    "ino", "size", "blocks", "atime", "mtime", "ctime", "atimensec", "mtimensec", "ctimensec",
    "mode", "nlink", "uid", "gid", "rdev", "blksize", "flags",
)  # fmt: skip


def attributes(attr: bytes) -> dict[str, int]:
    return dict(zip(FIELDS, wire.ATTR.unpack_from(attr), strict=True))


def export(path: Path, name: str = "root", **more: Any) -> Export:
    return Export(name=name, fd=os.open(path, os.O_PATH), **more)

"""virtio-blk, virtio 1.2 section 5.2: a raw file or a block device.  The requests are C's (native/vm/blk.c).

Writes go to the page cache of the host, and to the disk when the guest says flush; a guest that does not know flush
gets O_DSYNC writes instead.  What the file has beyond its last whole sector is not seen.
"""

from __future__ import annotations

import posix
from _struct import pack
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock

from minirun.errors import MinirunError
from minirun.linux.kvm import ffi, lib
from minirun.vm.devices.virtio import VirtioDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.vm.devices.virtio import Transport

SIZE_MAX, SEG_MAX, READ_ONLY, BLK_SIZE, FLUSH = 1 << 1, 1 << 2, 1 << 5, 1 << 6, 1 << 9
DISCARD, WRITE_ZEROES = 1 << 13, 1 << 14
SECTOR = 512
EINVAL = 22
SEGMENT_MOST = 256 << 10  # of bytes; a request is bounded so that a reset never waits long (BLK_BYTES_MOST)
DEPTH = 256


SHARED = "several machines may have it if each names it FILE,ro"
WHAT = "a disk is a file (truncate -s 1G FILE makes one) or a block device"


def open_disk(path: str, read_only: bool = False) -> int:
    """Open and locked: a disk is written by one machine, or read by many."""
    flags = posix.O_CLOEXEC | posix.O_NONBLOCK | posix.O_NOCTTY  # a fifo's other end is not waited for
    try:
        fd = posix.open(path, flags | (posix.O_RDONLY if read_only else posix.O_RDWR))
        try:
            if posix.fstat(fd).st_mode & 0o170000 not in (0o100000, 0o060000):
                raise OSError(EINVAL, "it is neither a file nor a block device")
            flock(fd, LOCK_NB | (LOCK_SH if read_only else LOCK_EX))
        except BaseException:
            posix.close(fd)
            raise
    except BlockingIOError as error:
        raise MinirunError(f"cannot use the disk {path}", reason="another machine has it", hint=SHARED) from error
    except OSError as error:
        raise MinirunError(f"cannot use the disk {path}", reason=str(error.strerror), hint=WHAT) from error
    return fd


class Block(VirtioDevice):
    """Takes ``fd`` for its own."""

    ID = 2
    QUEUES = (DEPTH,)
    WORKER = True

    def __init__(self, fd: int, read_only: bool = False, serial: str = "") -> None:
        self.fd = fd
        self.native: Any = ffi.new("struct blk *")
        self.native.fd = fd
        self.native.read_only = read_only
        self.native.sectors = posix.lseek(fd, 0, 2) // SECTOR
        self.native.serial = serial.encode()[:20].ljust(20, b"\0")
        self.FEATURES = SIZE_MAX | SEG_MAX | BLK_SIZE | FLUSH
        self.FEATURES |= READ_ONLY if read_only else DISCARD | WRITE_ZEROES

    def attach(self, transport: Transport) -> None:
        super().attach(transport)
        self.native.queue = self.queues[0].native
        error = lib.blk_start(self.native, transport.kicks[0])
        if error:
            raise OSError(error, posix.strerror(error))

    def config(self) -> bytes:
        """struct virtio_blk_config, in its order; geometry and topology are zero: nothing to say."""
        config = pack("<QIIIIQ", self.native.sectors, SEGMENT_MOST, DEPTH - 2, 0, SECTOR, 0)
        config += pack("<BBH", 1, 0, 1)  # writeback, as FLUSH says; one queue
        config += pack("<III", lib.BLK_DISCARD_MOST, lib.BLK_SEGMENTS_MOST, 8)  # holes are pages: 8 sectors
        return config + pack("<IIBBH", lib.BLK_ZEROES_MOST, lib.BLK_SEGMENTS_MOST, 1, 0, 0)

    def activate(self) -> None:
        self.native.durable = not self.has(FLUSH)
        lib.blk_activate(self.native)

    def reset(self) -> None:
        lib.blk_reset(self.native)

    def close(self) -> None:
        lib.blk_end(self.native)
        posix.close(self.fd)

    def counters(self) -> dict[str, int]:
        return {name: int(getattr(self.native, name)) for name in ("reads", "writes", "flushes", "errors")}

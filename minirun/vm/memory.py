"""Guest memory: one file without a name, mapped once, seen by the guest as two regions.

    guest physical                     offset in the file
    [0, low)                           [0, low)
    [low, 4 GiB)     no memory: device windows, the local APIC, firmware
    [4 GiB, 4 GiB + high)              [low, low + high)

The file is on a tmpfs of its own that nobody sees, because that can be told to use pages of 2 MiB (tmpfs(5), huge=): a
kernel that unpacks itself touches 80 MiB, and each 4 KiB of a memfd's would be a fault of its own, in both page tables.

No address that a guest gives is ever trusted: every access goes through ``read``, ``write`` or ``view`` here, or
``guest_range`` in C, and one that is not wholly inside one region raises ``BadAddress``.
"""

from __future__ import annotations

import mmap
import posix

from minirun.linux import mountfd
from minirun.linux.kvm import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HIGH = 4 << 30
LOW_MOST = 3 << 30  # what is above, up to 4 GiB, is for devices
PAGE = 4096
NAME = "minirun-guest"  # in /proc/PID/maps


class BadAddress(Exception):
    """A guest named memory that it does not have."""

    def __init__(self, address: int, length: int) -> None:
        super().__init__(f"guest memory {address:#x}+{length:#x} does not exist")
        self.address = address
        self.length = length


def backing() -> int:
    """An empty file in memory; of 4 KiB pages for those who may not mount, and where there are no larger ones."""
    try:
        folder = mountfd.new("tmpfs", "minirun", ["huge=within_size", "size=0", "mode=700"])
    except OSError:
        return posix.memfd_create(NAME, 1)  # MFD_CLOEXEC
    try:
        return posix.open(NAME, posix.O_RDWR | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, 0o600, dir_fd=folder)
    finally:
        posix.close(folder)


class Memory:
    """``size`` bytes, whole pages.  ``fd`` is the file, ``native`` the ``struct guest_memory`` for C."""

    def __init__(self, size: int) -> None:
        if size <= 0 or size % PAGE:
            raise ValueError(f"guest memory of {size} bytes: whole pages are wanted")
        self.size = size
        self.low = min(size, LOW_MOST)
        self.high = size - self.low
        self.fd = backing()
        posix.ftruncate(self.fd, size)
        self.map = mmap.mmap(self.fd, size)
        self.native: Any = ffi.new("struct guest_memory *")
        self.native.host = ffi.cast("uint8_t *", ffi.from_buffer(self.map))
        self.native.low, self.native.high = self.low, self.high
        self.bytes = memoryview(self.map)

    def regions(self) -> list[tuple[int, int, int]]:
        """(guest address, length, offset in the file) of each."""
        found = [(0, self.low, 0)]
        return found + [(HIGH, self.high, self.low)] if self.high else found

    def view(self, address: int, length: int) -> memoryview:
        """The bytes themselves, writable.  Raises BadAddress."""
        if address < 0 or length < 0 or lib.guest_range(self.native, address, length) == ffi.NULL:
            raise BadAddress(address, length)
        offset = address if address < HIGH else address - HIGH + self.low
        return self.bytes[offset : offset + length]

    def read(self, address: int, length: int) -> bytes:
        return bytes(self.view(address, length))

    def write(self, address: int, data: bytes | memoryview) -> None:
        self.view(address, len(data))[:] = data

    def load(self, address: int, data: memoryview) -> None:
        """``write`` for much data, before the guest runs: pwrite(2) faults on no page and zeroes none."""
        self.view(address, len(data)).release()
        offset = address if address < HIGH else address - HIGH + self.low
        while data:
            done = posix.pwrite(self.fd, data, offset)
            data, offset = data[done:], offset + done

    def close(self) -> None:
        """When no machine has it any more; nothing may hold a view of it, nor C a pointer into it."""
        self.bytes.release()
        self.native.host = ffi.NULL
        self.native.low = self.native.high = 0
        self.native = None
        self.map.close()
        posix.close(self.fd)

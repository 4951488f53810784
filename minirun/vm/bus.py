"""Who answers at an address: a bus for ports, another for memory-mapped devices."""

from __future__ import annotations

from bisect import bisect_right

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Device(Protocol):
        """``offset`` is from the device's own base; sizes are 1, 2, 4 and 8 bytes."""

        def read(self, offset: int, size: int) -> int: ...

        def write(self, offset: int, size: int, value: int) -> None: ...


class Bus:
    """Windows that do not overlap."""

    def __init__(self) -> None:
        self.bases: list[int] = []
        self.windows: list[tuple[int, int, Device]] = []

    def add(self, base: int, length: int, device: Device) -> None:
        at = bisect_right(self.bases, base)
        before = self.windows[at - 1] if at else None
        if (before and before[0] + before[1] > base) or (at < len(self.bases) and self.bases[at] < base + length):
            raise ValueError(f"the window {base:#x}+{length:#x} overlaps another")
        self.bases.insert(at, base)
        self.windows.insert(at, (base, length, device))

    def find(self, address: int) -> tuple[Device, int] | None:
        """The device there and the offset in it; None if nobody answers."""
        at = bisect_right(self.bases, address) - 1
        if at < 0:
            return None
        base, length, device = self.windows[at]
        return (device, address - base) if address < base + length else None

    def read(self, address: int, size: int) -> int:
        """All ones where nobody answers, as on a PC."""
        found = self.find(address)
        return found[0].read(found[1], size) if found else (1 << 8 * size) - 1

    def write(self, address: int, size: int, value: int) -> None:
        found = self.find(address)
        if found:
            found[0].write(found[1], size, value)

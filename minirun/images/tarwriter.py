"""A tar archive as a stream, the same bytes for the same content: no times, no owners (tar(5), ustar)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = 512
RECORD = 20 * BLOCK


class TarWriter:
    """``out`` takes the bytes; content goes between ``begin`` and ``end``."""

    def __init__(self, out: Callable[[bytes], object]) -> None:
        self.out = out
        self.total = 0
        self.left = 0

    def emit(self, data: bytes) -> None:
        self.out(data)
        self.total += len(data)

    def directory(self, name: str) -> None:
        self.emit(header(name + "/", 0, b"5", 0o755))

    def file(self, name: str, data: bytes) -> None:
        self.begin(name, len(data))
        self.write(data)
        self.end()

    def begin(self, name: str, size: int) -> None:
        self.emit(header(name, size, b"0", 0o644))
        self.left = size

    def write(self, data: bytes) -> None:
        self.left -= len(data)
        self.emit(data)

    def end(self) -> None:
        assert not self.left, "an entry's content is not as long as its header says"
        self.emit(b"\0" * (-self.total % BLOCK))

    def close(self) -> None:
        """Two blocks of zeros, and more up to a whole record, as tar(1) writes."""
        self.emit(b"\0" * (2 * BLOCK))
        self.emit(b"\0" * (-self.total % RECORD))


def header(name: str, size: int, kind: bytes, mode: int) -> bytes:
    encoded = name.encode()
    assert len(encoded) <= 100, name
    octal = b"%011o\0" % size if size < 8**11 else bytes([0x80]) + size.to_bytes(11, "big")
    before = encoded.ljust(100, b"\0") + b"%07o\0%07o\0%07o\0" % (mode, 0, 0) + octal + b"%011o\0" % 0
    behind = kind + b"\0" * 100 + b"ustar\x0000" + b"\0" * 64 + b"%07o\0%07o\0" % (0, 0)
    total = sum(before) + sum(behind) + 8 * 32
    return (before + b"%06o\0 " % total + behind).ljust(BLOCK, b"\0")

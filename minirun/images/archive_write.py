"""A tar archive as a stream, the same bytes for the same content: no times, no owners (tar(5), ustar)."""

from __future__ import annotations

from minirun.images.tar_write import BLOCK, DIRECTORY, END, header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

RECORD = 20 * BLOCK


class ArchiveWriter:
    """``out`` takes the bytes; content goes between ``begin`` and ``end``."""

    def __init__(self, out: Callable[[bytes], object]) -> None:
        self.out = out
        self.total = 0
        self.left = 0

    def emit(self, data: bytes) -> None:
        self.out(data)
        self.total += len(data)

    def directory(self, name: str) -> None:
        self.emit(header(name.encode() + b"/", DIRECTORY, mode=0o755))

    def file(self, name: str, data: bytes) -> None:
        self.begin(name, len(data))
        self.write(data)
        self.end()

    def begin(self, name: str, size: int) -> None:
        self.emit(header(name.encode(), mode=0o644, size=size))
        self.left = size

    def write(self, data: bytes) -> None:
        self.left -= len(data)
        self.emit(data)

    def end(self) -> None:
        assert not self.left, "an entry's content is not as long as its header says"
        self.emit(b"\0" * (-self.total % BLOCK))

    def close(self) -> None:
        """Two blocks of zeros, and more up to a whole record, as tar(1) writes."""
        self.emit(END)
        self.emit(b"\0" * (-self.total % RECORD))

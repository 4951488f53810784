"""A tar archive of images, or of a root file system, entry by entry: ``tar_read`` without a digest to judge it by.

So the archive's own end is wanted, two blocks of zeros, and one that stops before it was cut short.  Nothing is ever
written to a place that the archive names.
"""

from __future__ import annotations

from minirun.errors import MinirunError
from minirun.images.tar_read import TarReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.images.compression import Reader

CHUNK = 1 << 20
STRANGE = "it is not a tar archive"


class Pieces:
    """A reader as what ``tar_read`` reads from."""

    def __init__(self, source: Reader, what: str) -> None:
        self.source = source
        self.what = what
        self.chunk = memoryview(b"")

    def at_end(self) -> bool:
        if not self.chunk:
            self.chunk = memoryview(self.source.read(CHUNK))
        return not self.chunk

    def piece(self, most: int) -> memoryview:
        if self.at_end():
            raise cut(self.what)
        data, self.chunk = self.chunk[:most], self.chunk[most:]
        return data

    def take(self, size: int) -> bytes:
        parts = []
        while size:
            parts.append(bytes(self.piece(size)))
            size -= len(parts[-1])
        return b"".join(parts)


class ArchiveReader(TarReader):
    """``what`` names the archive in errors."""

    def __init__(self, source: Reader, what: str) -> None:
        super().__init__(Pieces(source, what), what)

    def header(self) -> bytes | None:
        if self.source.at_end():
            raise cut(self.what) if self.count else self.refuse(STRANGE)
        return super().header()

    def refuse(self, why: str) -> MinirunError:
        if self.count == 1 and "checksum" in why:
            why = STRANGE
        where = f"{self.name.decode('utf-8', 'replace')[:80]!r}: " if self.name else ""
        return MinirunError(f"cannot read {self.what}", reason=where + why)


def cut(what: str) -> MinirunError:
    return MinirunError(f"cannot read {what}", reason="it ends in the middle")


def tidy(name: bytes) -> str:
    """Without "./" before and "/" behind, as one archive writes and another does not; ".." stays, to be refused."""
    text = name.decode("utf-8", "surrogateescape")
    return "/".join(part for part in text.split("/") if part not in ("", ".")) if not text.startswith("/") else text

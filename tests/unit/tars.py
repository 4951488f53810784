"""Tars in memory, for tests: made by hand, read from bytes."""

from __future__ import annotations

import io
import tarfile
from typing import Any

from minirun.images.tar_read import Entry, TarReader

NAMES = {
    "dir": tarfile.DIRTYPE, "file": tarfile.REGTYPE, "link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE,
    "char": tarfile.CHRTYPE, "block": tarfile.BLKTYPE, "fifo": tarfile.FIFOTYPE,
}  # fmt: skip


class Bytes:
    """A source of the reader's out of bytes, in pieces as small as one likes."""

    def __init__(self, data: bytes, most: int = 1 << 20) -> None:
        self.data, self.most = data, most

    def at_end(self) -> bool:
        return not self.data

    def take(self, size: int) -> bytes:
        if size > len(self.data):
            raise EOFError
        got, self.data = self.data[:size], self.data[size:]
        return got

    def piece(self, most: int) -> bytes:
        if not self.data:
            raise EOFError
        return self.take(min(most, self.most, len(self.data)))


def tar(*members: tuple[Any, ...], form: int = tarfile.PAX_FORMAT) -> bytes:
    """``(kind, name, content or target, {attribute: value})``; the name stays as it is given."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for kind, name, *rest in members:
            info = tarfile.TarInfo(name)
            info.type = NAMES[kind]
            info.mode = 0o755 if kind == "dir" else 0o644
            content = b""
            if kind in ("link", "hard"):
                info.linkname = rest[0]
            elif kind == "file" and rest:
                content = rest[0]
                info.size = len(content)
            for key, value in (rest[1] if len(rest) > 1 else {}).items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def read(data: bytes) -> list[tuple[Entry, bytes]]:
    """Every entry and its content."""
    reader = TarReader(Bytes(data, 1000), "a test")
    return [(entry, b"".join(bytes(piece) for piece in reader.some(reader.left))) for entry in reader]

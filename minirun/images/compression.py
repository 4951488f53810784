"""Compressed streams: which kind it is, and its content; a bomb is refused.

gzip (several members, as pigz and parallel registries make) and zstd are what layers are; an archive or a root file
system that somebody loads or imports may also be bzip2 or xz.
"""

from __future__ import annotations

import posix

from minirun.errors import MinirunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    class Reader(Protocol):
        def read(self, size: int) -> bytes:
            """At most ``size`` bytes, b"" at the end."""
            ...


CHUNK = 1 << 20
MAGIC = {b"\x1f\x8b\x08": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"}
# What a stream may grow to is what a disk has; but something that is nearly all zeros beyond this is no image.
BOMB_SIZE = 1 << 30
BOMB_RATIO = 200


class File:
    """A descriptor as a reader; ``what`` names it in an error."""

    def __init__(self, fd: int, what: str) -> None:
        self.fd = fd
        self.what = what

    def read(self, size: int) -> bytes:
        try:
            return posix.read(self.fd, size)
        except OSError as error:
            raise MinirunError(f"cannot read {self.what}", reason=error.strerror or "") from error


class Peeked:
    """A reader whose beginning was looked at."""

    def __init__(self, source: Reader, size: int = 512) -> None:
        self.source = source
        self.head = b""
        while len(self.head) < size and (data := source.read(size - len(self.head))):
            self.head += data

    def read(self, size: int) -> bytes:
        if self.head:
            data, self.head = self.head[:size], self.head[size:]
            return data
        return self.source.read(size)


def sniff(head: bytes) -> str:
    """gzip, zstd, bzip2, xz or "", by the first bytes."""
    return next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), "")


def plain(source: Reader, what: str) -> tuple[Peeked, str]:
    """The content of a stream, and how it was compressed."""
    peeked = Peeked(source)
    kind = sniff(peeked.head)
    return (Peeked(Decompressed(peeked, kind, what)), kind) if kind else (peeked, "")


class Decompressed:
    """The content of a compressed stream as a reader; ``what`` names it in an error."""

    def __init__(self, source: Reader, kind: str, what: str) -> None:
        self.source = source
        self.kind = kind
        self.what = what
        self.taken = self.given = 0
        self.inner: Reader = Zstd(Counted(self)) if kind == "zstd" else Members(Counted(self), ENGINES[kind])

    def read(self, size: int) -> bytes:
        try:
            data = self.inner.read(size)
        except MinirunError:
            raise
        except Exception as error:  # each library has its own
            raise self.bad("it ends in the middle" if isinstance(error, EOFError) else "it is damaged") from error
        self.given += len(data)
        if self.given > BOMB_SIZE and self.given > BOMB_RATIO * self.taken:
            raise self.bad(f"it grows to more than {BOMB_RATIO} times its size")
        return data

    def bad(self, why: str) -> MinirunError:
        return MinirunError(f"cannot decompress {self.what}", reason=f"{why} ({self.kind})")


class Counted:
    """What the engine takes from the source."""

    def __init__(self, owner: Decompressed) -> None:
        self.owner = owner

    def read(self, size: int = CHUNK) -> bytes:
        data = self.owner.source.read(size if size > 0 else CHUNK)
        self.owner.taken += len(data)
        return data


class Zstd:
    """zstandard's own reader.  It takes an end in the middle for the end: what is in the stream must know its own."""

    def __init__(self, source: Any) -> None:
        import zstandard

        engine = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        self.reader: Any = engine.stream_reader(source, read_size=CHUNK, read_across_frames=True)

    def read(self, size: int) -> bytes:
        data: bytes = self.reader.read(size)
        return data


class Members:
    """gzip, bzip2 and xz: one member after the other, zeros between and behind them."""

    def __init__(self, source: Counted, make: Callable[[], Any]) -> None:
        self.source = source
        self.make = make
        self.engine = make()
        self.rest = b""

    def read(self, size: int) -> bytes:
        while True:
            if self.engine.eof and not self.next_member():
                return b""
            data = self.rest or (self.source.read() if getattr(self.engine, "needs_input", True) else b"")
            out: bytes = self.engine.decompress(data, size)
            self.rest = getattr(self.engine, "unconsumed_tail", b"")
            if out:
                return out
            if not data and not self.engine.eof:
                raise EOFError

    def next_member(self) -> bool:
        data = self.engine.unused_data
        while not data.lstrip(b"\0"):
            data = self.source.read()
            if not data:
                return False
        self.rest = data.lstrip(b"\0")
        self.engine = self.make()
        return True


def gzip_engine() -> Any:
    import zlib

    return zlib.decompressobj(31)


def bzip2_engine() -> Any:
    import bz2

    return bz2.BZ2Decompressor()


def xz_engine() -> Any:
    import lzma

    return lzma.LZMADecompressor(memlimit=1 << 28)


ENGINES: dict[str, Callable[[], Any]] = {"gzip": gzip_engine, "bzip2": bzip2_engine, "xz": xz_engine}

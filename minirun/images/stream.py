"""A layer's blob as a stream of plain bytes: decompressed and hashed by a thread of its own while files are made.

zlib, zstd and sha256 let go of the interpreter while they work, so decompression and the making of files share the
machine's processors.  gzip (of several members, too), zstd (of several frames) and plain tar are told apart by their
first bytes; the media type is the sender's word.
"""

from __future__ import annotations

import posix
from collections import deque
from hashlib import new
from threading import Condition, Thread

from minirun.errors import MinirunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

CHUNK = 1 << 20
READ = 1 << 18
AHEAD = 6  # chunks
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
ZSTD_WINDOW = 1 << 27  # memory that a frame may ask for; zstd's own limit without --long


class Limits:
    """A layer may be so much larger than its blob, and so large: a bomb costs a known amount of disk and time."""

    ratio = 200
    always = 1 << 30  # below this no ratio is looked at: a large file of zeros is fine
    most = 1 << 37


class Stream:
    """``fd`` is read from where it stands to its end and stays the caller's."""

    def __init__(
        self,
        fd: int,
        what: str,
        *,
        limits: type[Limits] = Limits,
        algorithms: tuple[str, str] = ("sha256:", "sha256:"),
        advance: Callable[[int], None] | None = None,
    ) -> None:
        self.fd = fd
        self.what = what
        self.limits = limits
        self.raw = new(algorithms[0].partition(":")[0])  # of the blob
        self.raw_size = 0
        self.plain = new(algorithms[1].partition(":")[0])  # what the diff id is of
        self.plain_size = 0
        self.chunks: deque[bytes] = deque()
        self.changed = Condition()
        self.failure: BaseException | None = None
        self.ended = self.stopped = False
        self.advance = advance
        self.chunk: memoryview = memoryview(b"")
        self.thread = Thread(target=self.work, daemon=True)
        self.thread.start()

    # the thread

    def work(self) -> None:
        try:
            for chunk in self.decompressed():
                self.plain.update(chunk)
                self.plain_size += len(chunk)
                self.check_size()
                if not self.put(chunk):
                    return
        except BaseException as error:  # given to whoever reads
            self.failure = error
        with self.changed:
            self.ended = True
            self.changed.notify()

    def put(self, chunk: bytes) -> bool:
        with self.changed:
            while len(self.chunks) >= AHEAD and not self.stopped:
                self.changed.wait()
            if self.stopped:
                return False
            self.chunks.append(chunk)
            self.changed.notify()
        return True

    def check_size(self) -> None:
        most = min(self.limits.most, max(self.limits.always, self.limits.ratio * self.raw_size))
        if self.plain_size > most:
            raise self.error(f"it is more than {self.plain_size} bytes out of {self.raw_size}: a decompression bomb")

    def error(self, why: str) -> MinirunError:
        return MinirunError(f"cannot unpack {self.what}", reason=why)

    def read(self, size: int = READ) -> bytes:
        """Of the blob; also what zstandard's reader calls."""
        data = posix.read(self.fd, size)
        self.raw.update(data)
        self.raw_size += len(data)
        if self.advance:
            self.advance(len(data))
        return data

    def decompressed(self) -> Iterator[bytes]:
        first = self.read()
        if first[:2] == GZIP:
            return self.gunzip(first)
        if first[:4] == ZSTD:
            return self.unzstd(first)
        return self.plainly(first)

    def plainly(self, data: bytes) -> Iterator[bytes]:
        while data:
            yield data
            data = self.read(CHUNK)

    def gunzip(self, data: bytes) -> Iterator[bytes]:
        import zlib

        while data:
            member = zlib.decompressobj(wbits=31)
            try:
                while not member.eof:
                    chunk = member.decompress(data, CHUNK)
                    if chunk:
                        yield chunk
                    data = member.unconsumed_tail or (b"" if member.eof else self.read())
                    if not data and not chunk and not member.eof:
                        raise self.error("the compressed data end too early")
            except zlib.error as error:
                raise self.error(f"the compressed data are damaged: {error}") from error
            data = member.unused_data or self.read()
            if data and not data.startswith(GZIP):  # gzip(1): trailing zeros are padding
                if (data + self.rest()).strip(b"\0"):
                    raise self.error("something else follows the compressed data")
                return

    def rest(self) -> bytes:
        parts = []
        while data := self.read():
            parts.append(data.strip(b"\0")[:1])
        return b"".join(parts)

    def unzstd(self, first: bytes) -> Iterator[bytes]:
        import zstandard

        source: Any = Again(first, self.read)
        reader = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW).stream_reader(source, read_across_frames=True)
        try:
            while chunk := reader.read(CHUNK):
                yield chunk
        except zstandard.ZstdError as error:
            raise self.error(f"the compressed data are damaged: {error}") from error

    # the reader

    def fill(self) -> bool:
        """Another chunk in hand; False at the end."""
        with self.changed:
            while not self.chunks and not self.ended:
                self.changed.wait()
            if self.chunks:
                self.chunk = memoryview(self.chunks.popleft())
                self.changed.notify()
                return True
        if self.failure:
            raise self.failure
        return False

    def at_end(self) -> bool:
        return not self.chunk and not self.fill()

    def take(self, size: int) -> memoryview | bytes:
        if size <= len(self.chunk):
            data, self.chunk = self.chunk[:size], self.chunk[size:]
            return data
        parts = []
        while size:
            parts.append(self.piece(size))
            size -= len(parts[-1])
        return b"".join(parts)

    def piece(self, most: int) -> memoryview:
        if not self.chunk and not self.fill():
            raise self.error("it ends too early")
        data, self.chunk = self.chunk[:most], self.chunk[most:]
        return data

    def finish(self, digest: str, size: int, diff_id: str) -> None:
        """To the end, then judge: the hashes are of everything, also of what is behind the archive's own end."""
        while not self.at_end():
            self.chunk = memoryview(b"")
        self.thread.join()
        rest = self.read()
        if rest or self.raw_size != size:
            raise self.error(f"it has {self.raw_size} bytes, not {size}")
        for hashed, said, name in ((self.raw, digest, "digest"), (self.plain, diff_id, "diff id")):
            found = f"{said.partition(':')[0]}:{hashed.hexdigest()}"
            if found != said:
                raise self.error(f"its {name} is {found}, not {said}")

    def close(self) -> None:
        """The thread ends before this returns."""
        with self.changed:
            self.stopped = True
            self.changed.notify()
        self.thread.join()


class Again:
    """A reader that gives back what was looked at."""

    def __init__(self, first: bytes, read: Callable[[int], bytes]) -> None:
        self.first = first
        self.more = read

    def read(self, size: int) -> bytes:
        if self.first:
            data, self.first = self.first[:size], self.first[size:]
            return data
        return self.more(size)

"""tar, read as a stream from anybody: ustar, pax, GNU's long names and sparse files (tar(5), pax(1)).

``tarfile`` takes 60 us for a header; an image has tens of thousands.  This reads what layers are made of, keeps names
as bytes, and refuses by name what it does not know: a guess here would be somebody else's file.  Order in the stream:
headers that describe the next one (L, K, x; g says nothing that matters), the header, its content, padding to 512.
"""

from __future__ import annotations

from minirun.errors import MinirunError
from minirun.images import tar_sparse
from minirun.images.tar_numbers import decimal_time, number, pax_records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    class Source(Protocol):
        def take(self, size: int) -> bytes | memoryview:
            """Exactly so many bytes."""

        def piece(self, most: int) -> bytes | memoryview:
            """At least one byte, at most so many."""

        def at_end(self) -> bool:
            """Is there nothing more?"""


BLOCK = 512
ZEROS = bytes(BLOCK)
MOST_EXTRA = 1 << 20  # of one header's headers: names and extended attributes, as Go's archive/tar
MOST_ENTRIES = 4_000_000
MOST_ID = (1 << 32) - 2
MOST_TIME = 1 << 61
FILE, HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
REGULAR = {b"\0": FILE, b"0": FILE, b"7": FILE, b"S": FILE}
KINDS = {**REGULAR, **{kind: kind for kind in (HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO)}}
PAX_XATTR = b"SCHILY.xattr."


class Entry:
    """One member; ``mtime`` in nanoseconds, ``sparse`` the pieces of a file with holes, else None."""

    __slots__ = (
        "gid", "kind", "link", "major", "minor", "mode", "mtime", "name", "real_size", "size", "sparse", "uid",
        "xattrs",
    )  # fmt: skip

    kind: bytes
    name: bytes
    link: bytes
    mode: int
    uid: int
    gid: int
    size: int  # in the archive
    real_size: int  # with its holes
    mtime: int
    major: int
    minor: int
    xattrs: dict[bytes, bytes]
    sparse: list[tuple[int, int]] | None


class TarReader:
    """``what`` is named in refusals: the layer and its digest."""

    def __init__(self, source: Source, what: str) -> None:
        self.source = source
        self.what = what
        self.name = b""  # of the entry in hand
        self.left = 0  # of its content
        self.padding = 0
        self.count = 0

    def refuse(self, why: str) -> MinirunError:
        where = f"{self.name.decode('utf-8', 'replace')[:200]}: " if self.name else ""
        return MinirunError(f"cannot unpack {self.what}", reason=where + why)

    def __iter__(self) -> Iterator[Entry]:
        while True:
            entry = self.next()
            if entry is None:
                return
            yield entry

    def next(self) -> Entry | None:
        """The next member, or None at the end; what the caller left of the last one's content is skipped."""
        for _ in self.pieces():
            pass
        extra: dict[bytes, bytes] = {}
        pax: list[tuple[bytes, bytes]] = []
        while True:
            header = self.header()
            if header is None:
                if extra or pax:
                    raise self.refuse("the archive ends behind a header that announces another")
                return None
            kind = header[156:157]
            if kind in (b"L", b"K"):
                extra[kind] = self.extra(header).split(b"\0", 1)[0]
            elif kind in (b"x", b"X"):
                try:
                    pax = pax_records(self.extra(header))
                except ValueError as error:
                    raise self.refuse(str(error)) from error
            elif kind in (b"g", b"V"):
                self.extra(header)
            else:
                break
        try:
            return self.entry(header, kind, extra, pax)
        except ValueError as error:
            raise self.refuse(str(error)) from error

    def header(self) -> bytes | None:
        """The next block that is not the end; an archive may end without its two blocks of zeros."""
        if self.source.at_end():
            return None
        header = bytes(self.source.take(BLOCK))
        if header == ZEROS:
            return None
        self.count += 1
        if self.count > MOST_ENTRIES:
            raise self.refuse(f"more than {MOST_ENTRIES} entries")
        try:
            given = number(header[148:156])
        except ValueError:
            given = -1
        if given != sum(header) - sum(header[148:156]) + 256 and given != signed_sum(header):
            raise self.refuse("a header's checksum is wrong")
        return header

    def extra(self, header: bytes) -> bytes:
        """The content of a header that describes the next one."""
        try:
            size = number(header[124:136])
        except ValueError as error:
            raise self.refuse(str(error)) from error
        if not 0 <= size <= MOST_EXTRA:
            raise self.refuse(f"an extended header of {size} bytes")
        data = bytes(self.source.take(size + -size % BLOCK))
        return data[:size]

    def entry(self, header: bytes, kind: bytes, extra: dict[bytes, bytes], pax: list[tuple[bytes, bytes]]) -> Entry:
        entry = Entry()
        name = header[:100].split(b"\0", 1)[0]
        if header[257:263] == b"ustar\0" and header[345]:
            name = header[345:500].split(b"\0", 1)[0] + b"/" + name
        entry.name = self.name = extra.get(b"L", name)
        entry.link = extra.get(b"K") or header[157:257].split(b"\0", 1)[0]
        entry.mode = number(header[100:108]) & 0o7777
        entry.uid, entry.gid = number(header[108:116]), number(header[116:124])
        entry.size = number(header[124:136])
        entry.mtime = number(header[136:148]) * 1_000_000_000
        entry.xattrs, entry.sparse = {}, None
        entry.major = entry.minor = 0
        if pax:
            apply_pax(entry, pax)
            self.name = entry.name
        known = KINDS.get(kind)
        if known is None:
            raise ValueError(f"an entry of type {kind.decode('latin-1')!r}")
        entry.kind = DIRECTORY if known is FILE and entry.name.endswith(b"/") else known
        if known in (CHARACTER, BLOCK_DEVICE):
            entry.major, entry.minor = number(header[329:337]), number(header[337:345])
        self.check(entry)
        self.measure(entry, header, kind, pax)
        return entry

    def check(self, entry: Entry) -> None:
        if not (0 <= entry.uid <= MOST_ID and 0 <= entry.gid <= MOST_ID):
            raise ValueError(f"no such owner: {entry.uid}:{entry.gid}")
        if not -MOST_TIME < entry.mtime < MOST_TIME:
            raise ValueError("a time out of range")
        if not (0 <= entry.major < 1 << 32 and 0 <= entry.minor < 1 << 32):
            raise ValueError("no such device")
        if entry.size < 0:
            raise ValueError(f"a size of {entry.size}")
        if b"\0" in entry.name or b"\0" in entry.link:
            raise ValueError("a name with a zero byte")

    def measure(self, entry: Entry, header: bytes, kind: bytes, pax: list[tuple[bytes, bytes]]) -> None:
        """What follows in the stream; only regular files have content (a link may state its target's size)."""
        if entry.kind not in (FILE, DIRECTORY) or (entry.kind == DIRECTORY and kind == DIRECTORY):
            entry.size = 0
        self.left, self.padding = entry.size, -entry.size % BLOCK
        entry.real_size = entry.size
        if kind == b"S":
            entry.sparse, entry.real_size = tar_sparse.old(header, self.source)
        elif pax and entry.kind == FILE:
            found = tar_sparse.by_pax(pax, self.source, entry.size)
            if found:
                entry.sparse, entry.real_size, used = found
                self.left -= used
                entry.size -= used
        if entry.sparse is not None:
            tar_sparse.check(entry.sparse, entry.size, entry.real_size)

    def content(self) -> bytes | memoryview:
        """All that is left of the content, at once: for small files."""
        size, self.left = self.left, 0
        return self.source.take(size) if size else b""

    def some(self, size: int) -> Iterator[bytes | memoryview]:
        """The next ``size`` bytes of the content, piece by piece."""
        while size:
            data = self.source.piece(size)
            size -= len(data)
            self.left -= len(data)
            yield data

    def pieces(self) -> Iterator[bytes | memoryview]:
        """The content piece by piece, and the padding is behind us."""
        yield from self.some(self.left)
        if self.padding:
            padding, self.padding = self.padding, 0
            while padding and not self.source.at_end():  # umoci leaves out the last one, and the end with it
                padding -= len(self.source.piece(padding))


def signed_sum(header: bytes) -> int:
    """What some old programs wrote."""
    total = 256
    for place, byte in enumerate(header):
        if not 148 <= place < 156:
            total += byte - 256 if byte > 127 else byte
    return total


def apply_pax(entry: Entry, pax: list[tuple[bytes, bytes]]) -> None:
    """pax(1), extended header keywords; what is not listed changes nothing of the file."""
    for key, value in pax:
        if key == b"path" or key == b"GNU.sparse.name":
            entry.name = value
        elif key == b"linkpath":
            entry.link = value
        elif key == b"mtime":
            entry.mtime = decimal_time(value)
        elif key in (b"uid", b"gid", b"size"):
            if not value.isdigit() or len(value) > 19:
                raise ValueError(f"{key.decode()} is not a number")
            setattr(entry, key.decode(), int(value))
        elif key.startswith(PAX_XATTR):
            entry.xattrs[key[len(PAX_XATTR) :]] = value

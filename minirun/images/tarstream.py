"""A tar archive from a stream, entry by entry, for archives of images (tar(5), POSIX.1 pax, GNU long names).

It comes from anywhere: names, sizes, the number of entries and what stands in pax headers have limits, header sums are
verified, and an archive that ends early is an error.  Nothing is ever written to a place that the archive names.
"""

from __future__ import annotations

from minirun.errors import MinirunError
from minirun.images.media import SIZE_LIMIT
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from minirun.images.compression import Reader

BLOCK = 512
CHUNK = 1 << 20
NAME_LIMIT = 4096
EXTENDED_LIMIT = 1 << 20
ENTRIES_LIMIT = 100_000
KINDS = {b"0": "file", b"\0": "file", b"7": "file", b"1": "hardlink", b"2": "symlink", b"5": "directory"}


class Entry(Record):
    """``kind``: file, hardlink, symlink, directory, or other (a device, a fifo); ``name`` without ./ and last /"""

    name: str
    kind: str
    size: int
    link: str = ""


class TarStream:
    """Iterate it; ``read`` gives the content of the entry that came last."""

    def __init__(self, source: Reader, what: str, entries_limit: int = ENTRIES_LIMIT) -> None:
        self.source = source
        self.what = what
        self.limit = entries_limit
        self.left = 0  # of the entry's content
        self.padding = 0
        self.count = 0

    def __iter__(self) -> Iterator[Entry]:
        extended: dict[str, str] = {}
        common: dict[str, str] = {}
        while True:
            self.skip()
            block = self.exactly(BLOCK)
            if not block.strip(b"\0"):
                return
            self.count += 1
            if self.count > self.limit:
                raise self.bad(f"it has more than {self.limit} entries")
            self.check_sum(block)
            kind, size = block[156:157], self.number(block[124:136])
            self.left, self.padding = size, -size % BLOCK
            if kind in b"xgLK":
                self.extend(kind, size, extended, common)
                continue
            known = {**common, **extended}
            extended = {}
            yield self.entry(block, kind, size, known)

    def entry(self, block: bytes, kind: bytes, size: int, known: dict[str, str]) -> Entry:
        if "size" in known:
            size = self.decimal(known["size"])
        if kind in b"123456":  # links, devices, directories and fifos have no content
            size = 0
        self.left, self.padding = size, -size % BLOCK
        name = known.get("path", "")
        if not name:
            prefix = self.text(block[345:500]) if block[257:263] == b"ustar\0" else ""
            name = (prefix + "/" if prefix else "") + self.text(block[:100])
        if any(word.startswith("GNU.sparse") for word in known) or kind == b"S":
            raise self.bad(f"{name[:80]!r} is a sparse file")
        return Entry(
            name=tidy(name), kind=KINDS.get(kind, "other"), size=size,
            link=known.get("linkpath", "") or self.text(block[157:257]),
        )  # fmt: skip

    def extend(self, kind: bytes, size: int, extended: dict[str, str], common: dict[str, str]) -> None:
        """A header that says more about the next entry, or (g) about all that follow."""
        if size > EXTENDED_LIMIT:
            raise self.bad(f"an extended header has {size} bytes")
        data = b"".join(iter(lambda: self.read(CHUNK), b""))
        if kind in b"LK":
            extended["path" if kind == b"L" else "linkpath"] = self.text(data)
            return
        into = common if kind == b"g" else extended
        while data.strip(b"\0"):
            length, blank, _ = data.partition(b" ")
            if not blank or not length.isdigit() or len(length) > 7 or not len(length) + 3 < int(length) <= len(data):
                raise self.bad("an extended header is damaged")
            name, _, value = data[len(length) + 1 : int(length)].removesuffix(b"\n").partition(b"=")
            word = name.decode("utf-8", "replace")
            if word in ("path", "linkpath", "size") or word.startswith("GNU.sparse"):
                into[word] = self.text(value)
            data = data[int(length) :]

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes of the entry, b"" at its end."""
        if not self.left:
            return b""
        data = self.source.read(min(size, self.left))
        if not data:
            raise self.bad("it ends in the middle")
        self.left -= len(data)
        return data

    def skip(self) -> None:
        while self.read(CHUNK):
            pass
        self.exactly(self.padding)
        self.padding = 0

    def exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.source.read(size - len(data))
            if not more:
                raise self.bad("it ends in the middle" if self.count else "it is not a tar archive")
            data += more
        return data

    def check_sum(self, block: bytes) -> None:
        said = block[148:156].strip(b"\0 ")
        if sum(block[:148]) + 256 + sum(block[156:]) != (int(said, 8) if is_octal(said) else -1):
            raise self.bad("a header's sum is wrong" if self.count > 1 else "it is not a tar archive")

    def number(self, field: bytes) -> int:
        """Octal, or GNU's base 256 with the first bit set."""
        if field[0] & 0x80:
            value = int.from_bytes(field, "big", signed=False) - (0x80 << 8 * (len(field) - 1))
        else:
            field = field.strip(b"\0 ")
            value = int(field or b"0", 8) if is_octal(field or b"0") else -1
        if not 0 <= value <= SIZE_LIMIT:
            raise self.bad("a size is not possible")
        return value

    def decimal(self, text: str) -> int:
        if not (text.isascii() and text.isdigit()) or len(text) > 16 or int(text) > SIZE_LIMIT:
            raise self.bad("a size is not possible")
        return int(text)

    def text(self, field: bytes) -> str:
        data = field.partition(b"\0")[0]
        if len(data) > NAME_LIMIT:
            raise self.bad("a name is too long")
        return data.decode("utf-8", "surrogateescape")

    def bad(self, why: str) -> MinirunError:
        return MinirunError(f"cannot read {self.what}", reason=why)


def is_octal(field: bytes) -> bool:
    return bool(field) and not set(field) - set(b"01234567")


def tidy(name: str) -> str:
    """Without "./" before and "/" behind, as one archive writes and another does not; ".." stays, to be refused."""
    return "/".join(part for part in name.split("/") if part not in ("", ".")) if not name.startswith("/") else name

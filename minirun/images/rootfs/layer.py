"""The tree as a layer: a tar archive (pax where a name or an attribute needs it), compressed, into the content store.

Whatever could differ between two builds of one tree is fixed: entries in the order of their paths, no names of users,
dates in whole seconds and none later than the recipe's, no time in gzip's header.  The diff id is the digest of the
archive itself; the blob's own digest also depends on the version of the compressor.
"""

from __future__ import annotations

import tarfile
import zlib

from minirun.errors import MinirunError
from minirun.images import media
from minirun.images.blobs import hasher
from minirun.images.rootfs.tree import BLOCK, CHARACTER, DIRECTORY, FIFO, FILE, LINK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

    from minirun.images.blobs import Blobs, Writer
    from minirun.images.rootfs.tree import Entry, Tree

TYPES = {
    FILE: tarfile.REGTYPE, DIRECTORY: tarfile.DIRTYPE, LINK: tarfile.SYMTYPE, FIFO: tarfile.FIFOTYPE,
    CHARACTER: tarfile.CHRTYPE, BLOCK: tarfile.BLKTYPE,
}  # fmt: skip
GZIP = 31  # zlib's wbits for a gzip header, in which the time is 0
MEDIA = {"none": media.LAYER, "gzip": media.LAYER_GZIP, "zstd": media.LAYER_ZSTD}


class Sink:
    """What the archive is written to: hashed, compressed, on to the blob's writer."""

    def __init__(self, writer: Writer, compression: str) -> None:
        self.writer = writer
        self.hashed = hasher()
        self.compressor = compressor(compression)

    def write(self, data: bytes) -> int:
        self.hashed.update(data)
        self.writer.write(self.compressor.compress(data) if self.compressor else data)
        return len(data)

    def close(self) -> str:
        """The diff id."""
        if self.compressor:
            self.writer.write(self.compressor.flush())
        return f"sha256:{self.hashed.hexdigest()}"


def compressor(compression: str) -> Any:
    if compression == "gzip":
        return zlib.compressobj(6, zlib.DEFLATED, GZIP)
    if compression == "zstd":
        from zstandard import ZstdCompressor

        return ZstdCompressor(level=3).compressobj()
    return None


def write(tree: Tree, blobs: Blobs, date: int, compression: str) -> tuple[media.Descriptor, str]:
    """The layer's blob and diff id.  Raises MinirunError when a file changes while it is read."""
    writer = blobs.writer()
    try:
        sink = Sink(writer, compression)
        stream: Any = sink  # tarfile only writes
        with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            fill(archive, tree, date)
        diff_id = sink.close()
        digest, size = writer.commit()
    finally:
        writer.abort()
    return media.Descriptor(mediaType=MEDIA[compression], digest=digest, size=size), diff_id


def fill(archive: tarfile.TarFile, tree: Tree, date: int) -> None:
    """The first name of a file in the order of paths is the file, the others are hard links to it."""
    first: dict[int, str] = {}
    opened: dict[str, BinaryIO] = {}
    try:
        for path, entry in sorted(tree.entries.items(), key=order):
            info = header(path, entry, date)
            if entry.kind == FILE and id(entry) in first:
                info.type, info.linkname, info.size = tarfile.LNKTYPE, first[id(entry)], 0
                archive.addfile(info)
                continue
            first[id(entry)] = path
            add(archive, info, entry, opened)
    finally:
        for file in opened.values():
            file.close()


def order(item: tuple[str, Entry]) -> bytes:
    """A directory is finished before its neighbour begins: tar(1) sets its date when it leaves it."""
    return item[0].replace("/", "\0").encode("utf-8", "surrogateescape")


def add(archive: tarfile.TarFile, info: tarfile.TarInfo, entry: Entry, opened: dict[str, BinaryIO]) -> None:
    if not info.size:
        archive.addfile(info)
        return
    if not entry.source:
        from io import BytesIO

        archive.addfile(info, BytesIO(entry.content))
        return
    file = opened.get(entry.source)
    if file is None:
        for other in opened.values():
            other.close()
        opened.clear()
        file = opened[entry.source] = open(entry.source, "rb")  # noqa: SIM115 (fill closes it)
    file.seek(entry.offset)
    try:
        archive.addfile(info, file)
    except OSError as error:  # tarfile's word for "it ended early"
        raise MinirunError(f"cannot read {entry.source}", reason=str(error)) from error


def header(path: str, entry: Entry, date: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path + "/" * (entry.kind == DIRECTORY))
    info.type, info.mode, info.uid, info.gid = TYPES[entry.kind], entry.mode, entry.uid, entry.gid
    info.size, info.linkname = entry.size if entry.kind == FILE else 0, entry.target
    info.devmajor, info.devminor = entry.device
    info.mtime = date if entry.date < 0 else min(entry.date, date)
    info.pax_headers = {
        f"SCHILY.xattr.{name}": value.decode("utf-8", "surrogateescape")
        for name, value in sorted(entry.attributes.items())
    }
    return info

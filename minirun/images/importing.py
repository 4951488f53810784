"""``image import``: a root file system's tar archive becomes an image of one layer (docker-import(1)).

The archive is the layer as it is, gzip and zstd included, so that the same file is the same layer; what is bzip2 or xz
goes in without compression, as layers know neither.  It is read once, also from a pipe.
"""

from __future__ import annotations

from minirun.images import media
from minirun.images.archive_read import ArchiveReader
from minirun.images.blobs import CHUNK, hasher
from minirun.images.compression import Decompressed, File, Peeked, sniff
from minirun.images.media import Descriptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.images.blobs import Writer
    from minirun.images.compression import Reader
    from minirun.images.store import Images

TYPES = {"": media.LAYER, "gzip": media.LAYER_GZIP, "zstd": media.LAYER_ZSTD}


class Tee:
    """A reader that shows what passes to a hash or a writer."""

    def __init__(self, source: Reader, see: Any) -> None:
        self.source = source
        self.see = see

    def read(self, size: int) -> bytes:
        data = self.source.read(size)
        if data:
            self.see(data)
        return data


def take_layer(images: Images, fd: int, what: str) -> tuple[Descriptor, str]:
    """The archive as a blob, and its diff id; an error if it is not a tar archive.  ``with images.shared()``."""
    writer = images.blobs.writer()
    try:
        return into(writer, Peeked(File(fd, what)), what)
    finally:
        writer.abort()


def into(writer: Writer, source: Peeked, what: str) -> tuple[Descriptor, str]:
    kind = sniff(source.head)
    hashed = hasher()
    kept = kind in TYPES
    raw: Reader = Tee(source, writer.write) if kept else source
    content: Reader = Decompressed(raw, kind, what) if kind else raw
    seen = Tee(content, hashed.update)
    inside = Tee(seen, (lambda data: None) if kept else writer.write)
    for _ in ArchiveReader(inside, what):
        pass
    while inside.read(CHUNK):  # the zeros behind the last entry belong to the layer, too
        pass
    while raw.read(CHUNK):
        pass
    digest, size = writer.commit()
    media_type = TYPES.get(kind, media.LAYER)
    return Descriptor(mediaType=media_type, digest=digest, size=size), f"sha256:{hashed.hexdigest()}"

"""The files of an archive, or of a directory, by name: what load reads images from.

An archive is read once, from a pipe if need be, and its files wait as blobs that nobody committed; those that turn out
to belong to an image are committed, the others go.  Links are followed among the archive's own names and nowhere else.
"""

from __future__ import annotations

import posix
from errno import ELOOP, ENOENT, ENOTDIR
from stat import S_ISREG

from minirun.images.archive_read import ArchiveReader, tidy
from minirun.images.blobs import CHUNK, Blobs, Writer
from minirun.images.media import DOCUMENT_LIMIT, Descriptor, bad
from minirun.images.tar_read import DIRECTORY, FILE, HARD_LINK, SYMLINK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.images.compression import Reader
    from minirun.images.tar_read import Entry

LINKS_LIMIT = 16
ENTRIES_LIMIT = 100_000


class Spool:
    """An archive's files.  ``close`` in a ``finally``."""

    def __init__(self, blobs: Blobs, source: Reader, what: str) -> None:
        self.blobs = blobs
        self.what = what
        self.files: dict[str, Writer] = {}
        self.links: dict[str, str] = {}
        self.taken: dict[str, Descriptor] = {}
        try:
            self.fill(source)
        except BaseException:
            self.close()
            raise

    def fill(self, source: Reader) -> None:
        archive = ArchiveReader(source, self.what)
        for entry in archive:
            if archive.count > ENTRIES_LIMIT:
                raise bad(self.what, f"it has more than {ENTRIES_LIMIT} entries")
            if entry.kind != DIRECTORY:
                self.enter(archive, entry)
        while source.read(CHUNK):  # what stands behind: the other end of a pipe wants to get rid of it
            pass

    def enter(self, archive: ArchiveReader, entry: Entry) -> None:
        name = tidy(entry.name)
        self.check_name(name)
        if name in self.files or name in self.links:
            raise bad(self.what, f"{name[:80]!r} is in it twice")
        if entry.sparse is not None:
            raise bad(self.what, f"{name[:80]!r} is a sparse file")
        if entry.kind == FILE:
            writer = self.files[name] = self.blobs.writer(limit=entry.size)
            for data in archive.pieces():
                writer.write(data)
            writer.park()
        elif entry.kind in (HARD_LINK, SYMLINK):
            self.links[name] = self.target(name, entry.link.decode("utf-8", "surrogateescape"), entry.kind)
        else:
            raise bad(self.what, f"{name[:80]!r} is neither a file nor a directory")

    def check_name(self, name: str) -> None:
        if name.startswith("/") or ".." in name.split("/") or not name:
            raise bad(self.what, f"the name {name[:80]!r} leads out of it")

    def target(self, name: str, link: str, kind: bytes) -> str:
        """The name that a link leads to, within the archive."""
        parts = [] if kind == HARD_LINK else name.split("/")[:-1]
        if link.startswith("/"):
            raise bad(self.what, f"the link {name[:80]!r} leads out of it")
        for part in link.split("/"):
            if part == "..":
                if not parts:
                    raise bad(self.what, f"the link {name[:80]!r} leads out of it")
                parts.pop()
            elif part not in ("", "."):
                parts.append(part)
        return "/".join(parts)

    def follow(self, name: str) -> str:
        for _ in range(LINKS_LIMIT):
            if name not in self.links:
                return name
            name = self.links[name]
        raise bad(self.what, f"the link {name[:80]!r} leads in a circle")

    def has(self, name: str) -> bool:
        return self.follow(name) in self.files

    def read(self, name: str) -> bytes:
        """A small file; a MinirunError if it is not there."""
        writer = self.writer(name)
        if writer.written > DOCUMENT_LIMIT:
            raise bad(self.what, f"{name[:80]!r} is larger than {DOCUMENT_LIMIT >> 20} MiB")
        return slurp(writer.path or self.blobs.path(self.taken[self.follow(name)].digest), self.what)

    def writer(self, name: str) -> Writer:
        found = self.files.get(self.follow(name))
        if found is None:
            raise bad(self.what, f"{name[:80]!r} is not in it")
        return found

    def open(self, name: str) -> int:
        """A descriptor of a file that was not committed yet, or was."""
        writer = self.writer(name)
        path = writer.path or self.blobs.path(self.taken[self.follow(name)].digest)
        return posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)

    def commit(self, name: str, media_type: str = "") -> Descriptor:
        """The file as a blob of the store, under the digest that it has."""
        found = self.follow(name)
        if found not in self.taken:
            digest, size = self.writer(name).commit()
            self.taken[found] = Descriptor(mediaType=media_type, digest=digest, size=size)
        known = self.taken[found]
        return Descriptor(mediaType=media_type, digest=known.digest, size=known.size)

    def blob(self, one: Descriptor) -> None:
        """The blob of a layout, committed if it is what the descriptor says."""
        name = "blobs/" + one.digest.replace(":", "/")
        writer = self.writer(name)
        if writer.written != one.size:
            raise bad(self.what, f"the blob {one.digest} has {writer.written} bytes, not {one.size}")
        if not one.digest.startswith("sha256:"):
            copy(self.blobs, self.open(name), one, self.what)
        elif f"sha256:{writer.hashed.hexdigest()}" != one.digest:
            raise bad(self.what, f"the blob {one.digest} has another digest, sha256:{writer.hashed.hexdigest()}")
        else:
            self.commit(name)

    def close(self) -> None:
        for writer in self.files.values():
            writer.abort()


class Directory:
    """A layout in a directory, as if it were an archive."""

    def __init__(self, blobs: Blobs | None, path: str) -> None:
        self.blobs = blobs
        self.what = path
        self.fd = posix.open(path, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)

    def open(self, name: str) -> int:
        flags = posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW | posix.O_NONBLOCK
        try:
            fd = posix.open(name, flags, dir_fd=self.fd)
        except OSError as error:
            why = "is a link" if error.errno == ELOOP else f"cannot be opened ({error.strerror})"
            why = "is not in it" if error.errno in (ENOENT, ENOTDIR) else why
            raise bad(self.what, f"{name!r} {why}") from error
        if not S_ISREG(posix.fstat(fd).st_mode):
            posix.close(fd)
            raise bad(self.what, f"{name!r} is not a file")
        return fd

    def has(self, name: str) -> bool:
        try:
            posix.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except OSError:
            return False
        return True

    def read(self, name: str) -> bytes:
        fd = self.open(name)
        try:
            data = posix.read(fd, DOCUMENT_LIMIT + 1)
        finally:
            posix.close(fd)
        if len(data) > DOCUMENT_LIMIT:
            raise bad(self.what, f"{name!r} is larger than {DOCUMENT_LIMIT >> 20} MiB")
        return data

    def blob(self, one: Descriptor) -> None:
        assert self.blobs
        copy(self.blobs, self.open("blobs/" + one.digest.replace(":", "/")), one, self.what)

    def close(self) -> None:
        posix.close(self.fd)


def slurp(path: str, what: str) -> bytes:
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return posix.read(fd, DOCUMENT_LIMIT + 1)
    finally:
        posix.close(fd)


def copy(blobs: Blobs, fd: int, one: Descriptor, what: str) -> None:
    """A file into the store, if it is what the descriptor says; ``fd`` is closed."""
    try:
        size = posix.fstat(fd).st_size
        if size != one.size:
            raise bad(what, f"the blob {one.digest} has {size} bytes, not {one.size}")
        if blobs.has(one.digest, one.size):
            return
        writer = blobs.writer(one)
        try:
            while data := posix.read(fd, CHUNK):
                writer.write(data)
            writer.commit()
        finally:
            writer.abort()
    finally:
        posix.close(fd)

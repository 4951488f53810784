"""The content store: blobs by digest, below STORAGE/blobs, as in an image layout (image-layout.md).

    STORAGE/blobs/sha256/<hex>    complete and verified, never changed
    STORAGE/ingest/<hex>.part     on its way: a download that the next pull goes on with; flock(2)ed by its writer
    STORAGE/ingest/<random>.new   the same where the digest is not known before, or somebody else has the .part

A writer hashes while it writes, refuses a byte too many, and renames when digest and size are what was said.
"""

from __future__ import annotations

import fcntl
import posix
from errno import EDQUOT, ENOENT, ENOSPC

from minirun.errors import MinirunError
from minirun.images.media import DOCUMENT_LIMIT, Descriptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CHUNK = 1 << 20


def hasher(algorithm: str = "sha256") -> Any:
    """hashlib's object, from OpenSSL itself: hashlib's own import takes longer than a small blob."""
    import _hashlib

    return _hashlib.new(algorithm)


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    hashed = hasher(algorithm)
    hashed.update(data)
    return f"{algorithm}:{hashed.hexdigest()}"


def make_directory(path: str) -> None:
    """With its parents; nobody else's business."""
    try:
        posix.mkdir(path, 0o700)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno != ENOENT:
            raise MinirunError(f"cannot make {path}", reason=error.strerror or "") from error
        make_directory(path.rpartition("/")[0])
        make_directory(path)


def sync_directory(path: str) -> None:
    fd = posix.open(path, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        posix.fsync(fd)
    finally:
        posix.close(fd)


def unwritable(path: str, error: OSError) -> MinirunError:
    hint = "minirun image prune, or system prune, makes room" if error.errno in (ENOSPC, EDQUOT) else ""
    return MinirunError(f"cannot write to {path}", reason=error.strerror or "", hint=hint)


class Blobs:
    """``storage``: the directory that has blobs/ and ingest/."""

    def __init__(self, storage: str) -> None:
        self.storage = storage
        self.ingest = f"{storage}/ingest"

    def path(self, digest: str) -> str:
        algorithm, _, encoded = digest.partition(":")
        return f"{self.storage}/blobs/{algorithm}/{encoded}"

    def has(self, digest: str, size: int = -1) -> bool:
        """Is it here, and (if ``size`` is given) whole?"""
        try:
            found = posix.stat(self.path(digest)).st_size
        except OSError:
            return False
        return size in (-1, found)

    def size(self, digest: str) -> int:
        return posix.stat(self.path(digest)).st_size

    def open(self, digest: str) -> int:
        """A descriptor of the blob, for reading."""
        try:
            return posix.open(self.path(digest), posix.O_RDONLY | posix.O_CLOEXEC)
        except OSError as error:
            raise MinirunError(
                f"cannot open the blob {digest}",
                reason=error.strerror or "",
                hint="pull or load the image again" if error.errno == ENOENT else "",
            ) from error

    def read(self, digest: str, limit: int = DOCUMENT_LIMIT, verify: bool = False) -> bytes:
        """The whole of a small blob; ``verify`` hashes what was read."""
        fd = self.open(digest)
        try:
            size = posix.fstat(fd).st_size
            if size > limit:
                raise MinirunError(f"the blob {digest} is too large", reason=f"{size} bytes, at most {limit}")
            data = posix.read(fd, size)
        finally:
            posix.close(fd)
        if len(data) != size or (verify and digest_of(data, digest.partition(":")[0]) != digest):
            raise MinirunError(f"the blob {digest} is damaged", hint="minirun image rm, then pull or load it again")
        return data

    def sync(self) -> None:
        """The names of all blobs on the disk; their content is since they were committed."""
        try:
            algorithms = posix.listdir(f"{self.storage}/blobs")
        except FileNotFoundError:
            return
        for algorithm in algorithms:
            sync_directory(f"{self.storage}/blobs/{algorithm}")

    def put(self, data: bytes, media_type: str = "") -> Descriptor:
        """A small blob that is ours: into the store, under the digest it has."""
        digest = digest_of(data)
        if not self.has(digest, len(data)):
            writer = self.writer()
            try:
                writer.write(data)
                writer.commit()
            finally:
                writer.abort()
        return Descriptor(mediaType=media_type, digest=digest, size=len(data))

    def writer(self, expected: Descriptor | None = None, limit: int = -1) -> Writer:
        """For a new blob; with ``expected``, only for that one, from its first byte."""
        make_directory(self.ingest)
        return Writer(self, expected, limit if expected is None else expected.size, resume=False)

    def partial(self, expected: Descriptor) -> Writer:
        """The same, behind what an earlier one got: ``written`` says how much that is."""
        make_directory(self.ingest)
        return Writer(self, expected, expected.size, resume=True)


class Writer:
    """One blob on its way.  ``abort`` after ``commit`` is nothing, so that it may stand in a ``finally``."""

    def __init__(self, blobs: Blobs, expected: Descriptor | None, limit: int, resume: bool) -> None:
        self.blobs = blobs
        self.expected = expected
        self.limit = limit
        self.algorithm = expected.digest.partition(":")[0] if expected else "sha256"
        self.hashed = hasher(self.algorithm)
        self.written = 0
        self.path, self.fd = self.take()
        if resume:
            self.catch_up()
        else:
            posix.ftruncate(self.fd, 0)

    def take(self) -> tuple[str, int]:
        """A file of our own to write to: the .part, or another one while somebody else writes that."""
        flags = posix.O_RDWR | posix.O_CREAT | posix.O_CLOEXEC | posix.O_NOFOLLOW
        if self.expected:
            path = f"{self.blobs.ingest}/{self.expected.digest.partition(':')[2]}.part"
            fd = posix.open(path, flags, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # the one before us may have renamed or removed the file between our open and our lock
                if posix.fstat(fd).st_nlink and posix.stat(path).st_ino == posix.fstat(fd).st_ino:
                    return path, fd
            except OSError:
                pass
            posix.close(fd)
        path = f"{self.blobs.ingest}/{posix.urandom(16).hex()}.new"
        fd = posix.open(path, flags | posix.O_EXCL, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        return path, fd

    def catch_up(self) -> None:
        """Hash what is there already; a piece that is too long is no piece of this blob."""
        size = posix.fstat(self.fd).st_size
        if self.limit >= 0 and size > self.limit:
            posix.ftruncate(self.fd, 0)
            return
        while data := posix.read(self.fd, CHUNK):
            self.hashed.update(data)
            self.written += len(data)

    def restart(self) -> None:
        """Forget what was written: the server sends it from the beginning again."""
        posix.ftruncate(self.fd, 0)
        posix.lseek(self.fd, 0, 0)
        self.hashed = hasher(self.algorithm)
        self.written = 0

    def write(self, data: bytes | memoryview) -> None:
        if 0 <= self.limit < self.written + len(data):
            self.abort()
            raise self.lie(f"more than {self.limit} bytes")
        self.hashed.update(data)
        self.written += len(data)
        view = memoryview(data)
        try:
            while view:
                view = view[posix.write(self.fd, view) :]
        except OSError as error:
            self.abort()
            raise unwritable(self.blobs.storage, error) from error

    def commit(self) -> tuple[str, int]:
        """Digest and size of what was written, which is in the store now; an error if it is not what was expected."""
        digest = f"{self.algorithm}:{self.hashed.hexdigest()}"
        if self.expected and (digest, self.written) != (self.expected.digest, self.expected.size):
            self.abort()
            size = self.written != self.expected.size
            raise self.lie(f"{self.written} bytes, not {self.expected.size}" if size else f"its digest is {digest}")
        target = self.blobs.path(digest)
        if not self.blobs.has(digest, self.written):
            make_directory(target.rpartition("/")[0])
            # our lock is held until it has its name: whoever else wants this blob finds a whole one, or none of it
            if self.fd < 0:
                self.fd = posix.open(self.path, posix.O_RDONLY | posix.O_CLOEXEC)
            posix.fdatasync(self.fd)
            posix.rename(self.path, target)
            self.path = ""
            posix.fchmod(self.fd, 0o400)
        self.abort()
        return digest, self.written

    def park(self) -> None:
        """Everything was written: no descriptor is needed until ``commit``, or ``abort``."""
        if self.fd >= 0:
            posix.fchmod(self.fd, 0o400)
            posix.close(self.fd)
            self.fd = -1

    def suspend(self) -> None:
        """Stop here and leave the piece for the next one (``partial``)."""
        if self.path.endswith(".part"):
            self.path = ""
        self.abort()

    def abort(self) -> None:
        """Leave nothing, unless it was committed or suspended."""
        if self.path:
            posix.unlink(self.path)
            self.path = ""
        if self.fd >= 0:
            posix.close(self.fd)
            self.fd = -1

    def lie(self, why: str) -> MinirunError:
        what = self.expected.digest if self.expected else "of unknown digest"
        return MinirunError(f"the blob {what} is not what it should be", reason=why)

"""``container cp``: docker's rules of where a copy goes, and the copy itself, as a tar from one side to the other.

A ``Side`` is the host or a container: an open root directory, and how paths below it are resolved.  A container's own
links never lead out of its root (RESOLVE_IN_ROOT), its magic links nowhere.  The rules (docker-cp(1)): a directory goes
into a directory that is there, or becomes one that is not; ``DIR/.`` is what is in it; a file replaces a file.
"""

from __future__ import annotations

import posix
from errno import EINVAL, ELOOP, ENOENT, ENOTDIR

from minirun.errors import MinirunError
from minirun.images.landing import Landing
from minirun.images.pack import Packer
from minirun.images.stream import Stream
from minirun.images.tar_read import TarReader
from minirun.images.tree import DIRECTORY, KIND, LINK, OPEN_DIRECTORY, STRICT
from minirun.images.walk import Node
from minirun.linux.openat2 import O_PATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from posix import stat_result

    Ids = list[tuple[int, int, int]]

FILE = 0o100000
MOST_LINKS = 40  # as the kernel
INSIDE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS


class Side:
    """``root`` open; ``name`` for messages; ``ids``: rows of (inside, outside, count), none where they are the same."""

    def __init__(self, root: int, name: str, *, confined: bool, owner: tuple[int, int] = (0, 0), ids: Ids = ()) -> None:  # type: ignore[assignment]
        self.root = root
        self.name = name
        self.confined = confined
        self.resolve = INSIDE if confined else 0
        self.owner = owner
        self.ids = list(ids)

    def outside(self, number: int) -> int:
        """An id of inside, as this side's files have it."""
        return next((out + number - into for into, out, count in self.ids if into <= number < into + count), number)

    def inside(self, number: int) -> int:
        """The opposite."""
        return next((into + number - out for into, out, count in self.ids if out <= number < out + count), number)

    def open(self, path: bytes, flags: int) -> int:
        return openat2(self.root, path.lstrip(b"/") or b".", flags, self.resolve)


class Spot:
    """A path found: ``at`` its directory, open, and what is there now, or None."""

    def __init__(self, at: int, name: bytes, status: stat_result | None) -> None:
        self.at = at
        self.name = name
        self.status = status

    @property
    def is_directory(self) -> bool:
        return self.status is not None and self.status.st_mode & KIND == DIRECTORY

    def close(self) -> None:
        posix.close(self.at)


def locate(side: Side, path: bytes, *, follow: bool) -> Spot:
    """``follow``: a link at the end, too, as far as the side's rules let it."""
    for _ in range(MOST_LINKS):
        above, _, name = path.rstrip(b"/").rpartition(b"/")
        if name in (b"", b".", b".."):
            at = side.open(path, O_PATH | posix.O_DIRECTORY)
            return Spot(at, b".", posix.fstat(at))
        at = side.open(above, O_PATH | posix.O_DIRECTORY)
        try:
            status = posix.stat(name, dir_fd=at, follow_symlinks=False)
        except FileNotFoundError:
            return Spot(at, name, None)
        except BaseException:
            posix.close(at)
            raise
        if status.st_mode & KIND != LINK or not (follow or path.endswith(b"/")):
            return Spot(at, name, status)
        target = posix.readlink(name, dir_fd=at)
        posix.close(at)
        path = target if target.startswith(b"/") else above + b"/" + target
    raise OSError(ELOOP, posix.strerror(ELOOP), path.decode("utf-8", "replace"))


def pack_from(side: Side, path: bytes, emit: Callable[[bytes], object], name: bytes | None, follow: bool) -> None:
    """What is at ``path`` as a tar: called ``name``, or if that is "" only what is in it; None is its own name."""
    spot = locate(side, path, follow=follow)
    try:
        if spot.status is None:
            raise OSError(ENOENT, posix.strerror(ENOENT))
        packer = Packer(emit, side.inside)
        called = spot.name if name is None else name
        called = b"" if called == b"." else called
        if called:
            packer.node(Node(called, spot.at, spot.name, spot.status), called)
        if spot.is_directory:
            root = openat2(spot.at, spot.name, OPEN_DIRECTORY, STRICT)
            try:
                packer.tree(root, called + b"/" if called else b"")
            finally:
                posix.close(root)
        packer.end()
    except BrokenPipeError:  # whoever reads has gone, and says why
        raise
    except OSError as error:
        where = error.filename.decode("utf-8", "replace") if isinstance(error.filename, bytes) else error.filename or ""
        raise MinirunError(
            f"cannot read {path.decode('utf-8', 'replace')} of {side.name}",
            reason=": ".join(filter(None, (where, error.strerror))), exit_code=1,
        ) from error  # fmt: skip
    finally:
        spot.close()


def land(
    side: Side, base: int, fd: int, what: str, owner: Callable[[int, int], tuple[int, int]], harmless: bool = False
) -> list[str]:
    """The tar that comes out of ``fd``, into an open directory; devices that could not be made."""
    stream = Stream(fd, what)
    try:
        landing = Landing(base, TarReader(stream, what), owner, harmless)
        landing.run()
        while not stream.at_end():
            stream.chunk = memoryview(b"")
        return landing.skipped
    finally:
        stream.close()


def copy(source: Side, path: str, target: Side, to: str, *, archive: bool = False, follow: bool = False) -> list[str]:
    """From side to side.  ``archive`` keeps owners, ``follow`` copies what a link at PATH means, not the link."""
    words = path.encode("utf-8", "surrogateescape")
    spot = find_source(source, words, follow)
    name = b"" if spot.name == b"." else words.rstrip(b"/").rpartition(b"/")[2]  # -L: still the link's own name
    try:
        base, called = destination(target, to.encode("utf-8", "surrogateescape"), spot, name, words)
    finally:
        spot.close()

    def owner(uid: int, gid: int) -> tuple[int, int]:
        if not archive:
            uid, gid = target.owner
        return target.outside(uid), target.outside(gid)

    try:
        return through_a_pipe(
            lambda emit: pack_from(source, words, emit, called, follow),
            lambda fd: land(target, base, fd, f"the copy to {target.name}", owner, source.confined and not archive),
        )
    finally:
        posix.close(base)


def find_source(source: Side, path: bytes, follow: bool) -> Spot:
    try:
        spot = locate(source, path, follow=follow)
    except OSError as error:
        raise failed(source, path, error) from error
    if spot.status is None or (path.endswith(b"/") and not spot.is_directory):
        spot.close()
        raise failed(source, path, OSError(ENOENT if spot.status is None else ENOTDIR, ""))
    return spot


def failed(side: Side, path: bytes, error: OSError) -> MinirunError:
    number = error.errno or EINVAL
    return MinirunError(
        f"cannot copy {path.decode('utf-8', 'replace')} of {side.name}", reason=posix.strerror(number), exit_code=1
    )


def destination(target: Side, to: bytes, source: Spot, name: bytes, path: bytes) -> tuple[int, bytes]:
    """(the directory that it goes into, open, and its name there; "" for the content of a directory only)."""

    def refuse(why: str) -> MinirunError:
        return MinirunError(f"cannot copy to {to.decode('utf-8', 'replace')} of {target.name}", reason=why, exit_code=1)

    try:
        spot = locate(target, to, follow=True)
    except OSError as error:
        raise failed(target, to, error) from error
    try:
        if spot.is_directory:
            inside = b"" if path.endswith(b"/.") or path == b"." else name
            return openat2(spot.at, spot.name, OPEN_DIRECTORY, STRICT), inside
        if spot.status is not None and source.is_directory:
            raise refuse("it is not a directory")
        if spot.status is not None and not target.resolve and spot.status.st_mode & KIND not in (FILE, LINK):
            raise refuse("it is neither a file nor a directory, and would be one then")  # /dev/null, say
        if to.endswith((b"/", b"/.")) and (spot.status is not None or not source.is_directory):
            raise refuse("there is no such directory")
        return openat2(spot.at, b".", posix.O_RDONLY | posix.O_DIRECTORY, STRICT), spot.name
    finally:
        spot.close()


def through_a_pipe(pack: Callable[[Callable[[bytes], object]], None], unpack: Callable[[int], list[str]]) -> list[str]:
    """Both ends at once; the reason that is told is the one that came first."""
    from threading import Thread

    from minirun.images.attributes import write

    reading, writing = posix.pipe2(posix.O_CLOEXEC)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            pack(lambda data: write(writing, data))
        except BrokenPipeError:
            pass
        except BaseException as error:  # told by whoever waits
            failures.append(error)
        finally:
            posix.close(writing)

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        try:
            skipped = unpack(reading)
        finally:
            posix.close(reading)
            thread.join()
    except BaseException:
        if failures:
            raise failures[0] from None
        raise
    if failures:
        raise failures[0]
    return skipped

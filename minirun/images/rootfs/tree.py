"""The files of a root filesystem to be, in memory: paths with their modes and owners, and where the content is.

Names of one file (hard links) share one ``Entry``.  What is put below a link goes where the link points, as it would
in the filesystem; parents that nobody mentioned are directories of mode 755.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from minirun.errors import MinirunError
from minirun.record import Record

FILE, DIRECTORY, LINK, FIFO, CHARACTER, BLOCK = "file", "directory", "link", "fifo", "character", "block"
MOST_LINKS = 40  # as the kernel's


class Entry(Record):
    """``content``: the bytes themselves; else ``source`` is a file that has ``size`` of them from ``offset`` on.

    ``date`` is the input's own, -1 where it says nothing.
    """

    kind: str
    mode: int
    uid: int = 0
    gid: int = 0
    date: int = -1
    target: str = ""
    content: bytes = b""
    source: str = ""
    offset: int = 0
    size: int = 0
    device: tuple[int, int] = (0, 0)
    attributes: dict[str, bytes] = {}


class Tree:
    """``entries``: path without / in front -> Entry."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}

    def put(self, path: str, entry: Entry) -> str:
        """Where it came to lie.  A directory that is there is only changed, anything else is replaced."""
        place = self.place(path)
        self.parents(place)
        there = self.entries.get(place)
        if there is not None and there.kind == DIRECTORY and entry.kind != DIRECTORY:
            raise MinirunError(f"cannot put a {entry.kind} at /{place}", reason="a directory is there")
        self.entries[place] = entry
        return place

    def directory(self, path: str, mode: int = 0o755) -> None:
        self.put(path, Entry(kind=DIRECTORY, mode=mode))

    def link(self, path: str, target: str) -> None:
        self.put(path, Entry(kind=LINK, mode=0o777, target=target))

    def text(self, path: str, text: str, mode: int = 0o644) -> None:
        content = text.encode()
        self.put(path, Entry(kind=FILE, mode=mode, content=content, size=len(content)))

    def parents(self, path: str) -> None:
        parts = path.split("/")[:-1]
        for count in range(1, len(parts) + 1):
            parent = "/".join(parts[:count])
            there = self.entries.setdefault(parent, Entry(kind=DIRECTORY, mode=0o755))
            if there.kind != DIRECTORY:
                raise MinirunError(f"cannot put anything below /{parent}", reason="it is not a directory")

    def place(self, path: str) -> str:
        """``path`` with the links among its parents followed, inside the tree; the last part is not followed."""
        wanted = [part for part in path.split("/") if part]
        done: list[str] = []
        left = MOST_LINKS
        while wanted:
            part = wanted.pop(0)
            if part == ".":
                continue
            if part == "..":
                done = done[:-1]
                continue
            here = self.entries.get("/".join([*done, part]))
            if here is None or here.kind != LINK or not wanted:
                done.append(part)
                continue
            left -= 1
            if not left:
                raise MinirunError(f"cannot put anything at /{path}", reason="its links go round in a circle")
            done = [] if here.target.startswith("/") else done
            wanted = [word for word in here.target.split("/") if word] + wanted
        return "/".join(done)

    def drop(self, patterns: list[str]) -> None:
        """Take out what a pattern fits, with all that is below it (fnmatch(3), where * does not stop at /)."""
        wild = [pattern for pattern in patterns if any(c in pattern for c in "*?[")]
        plain = {pattern for pattern in patterns if pattern not in wild}
        self.entries = {
            path: entry
            for path, entry in self.entries.items()
            if not any(fnmatchcase(path, pattern) for pattern in wild) and plain.isdisjoint(above(path))
        }


def above(path: str) -> list[str]:
    """a, a/b, a/b/c of a/b/c."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]

"""Which file a program of this host gets for each library it needs, as ld.so(8) would find it.

For a library's name, in order: DT_RPATH of who needs it and of those who loaded that one (unless it has a DT_RUNPATH),
DT_RUNPATH of who needs it, the loader's cache /etc/ld.so.cache, the usual directories.  The environment
(LD_LIBRARY_PATH, LD_PRELOAD) is the caller's and says nothing about an image.  $ORIGIN is the directory of the file.
"""

from __future__ import annotations

import mmap
import os
import sys
from struct import unpack_from

from minirun.errors import MinirunError
from minirun.images.rootfs import elf
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

CACHE = "/etc/ld.so.cache"
NEW, OLD = b"glibc-ld.so.cache1.1", b"ld.so-1.7.0"
USUAL = ("/lib64", "/usr/lib64", "/lib", "/usr/lib")


class Loaded(Record):
    """A file in the order of loading; ``by`` is who loaded it."""

    path: str
    program: elf.Program
    by: Loaded | None = None


def inspect(path: str) -> elf.Program | None:
    """None for what is no ELF file.  Raises MinirunError for a broken one."""
    with open(path, "rb") as file:
        if file.read(4) != elf.MAGIC:
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image:
            try:
                return elf.parse(image)
            except elf.BadElf as error:
                raise MinirunError(f"cannot read {path}", reason=str(error)) from error
            except BufferError:  # pragma: no cover (a view outlived an error)
                return None


def usual() -> tuple[str, ...]:
    """The directories that this distribution's loader knows without its cache."""
    triplet: str = getattr(sys.implementation, "_multiarch", "")
    return tuple(dict.fromkeys([*[f"{place}/{triplet}" for place in ("/lib", "/usr/lib") if triplet], *USUAL]))


class Finder:
    """The cache is read once."""

    def __init__(self) -> None:
        self.cache: dict[str, list[str]] = {}
        for name, path in cached(CACHE):
            self.cache.setdefault(name, []).append(path)

    def needed_by(self, path: str) -> list[str]:
        """The loader and every library of a program or a library, as this host's loader would take them."""
        first = inspect(path)
        if first is None:
            return []
        known: dict[str, str] = {}
        queue = [Loaded(path=path, program=first)]
        found = [first.loader] if first.loader else []
        for loaded in queue:
            for name in loaded.program.needed:
                if name in known or (first.loader and name == os.path.basename(first.loader)):
                    continue
                place = self.find(name, loaded, first)
                if not place:
                    raise MinirunError(
                        f"cannot find the library {name}", reason=f"{loaded.path} needs it",
                        hint="install its package, or leave out what needs it",
                    )  # fmt: skip
                known[name] = place
                found.append(place)
                program = inspect(place)
                if program is not None:
                    queue.append(Loaded(path=place, program=program, by=loaded))
        return found

    def find(self, name: str, loaded: Loaded, first: elf.Program) -> str:
        if "/" in name:
            candidates: Iterator[str] = iter([expanded(name, loaded.path)])
        else:
            candidates = self.candidates(name, loaded)
        for path in candidates:
            try:
                program = inspect(path)
            except (OSError, ValueError):
                continue
            if program is not None and (program.machine, program.bits) == (first.machine, first.bits):
                return path
        return ""

    def candidates(self, name: str, loaded: Loaded) -> Iterator[str]:
        if not loaded.program.runpath:
            above: Loaded | None = loaded
            while above is not None:
                if not above.program.runpath:
                    yield from (f"{expanded(place, above.path)}/{name}" for place in above.program.rpath)
                above = above.by
        yield from (f"{expanded(place, loaded.path)}/{name}" for place in loaded.program.runpath)
        yield from self.cache.get(name, ())
        yield from (f"{place}/{name}" for place in usual())


def expanded(place: str, path: str) -> str:
    """$ORIGIN, $LIB, $PLATFORM (ld.so(8), Dynamic string tokens)."""
    lib = f"lib/{getattr(sys.implementation, '_multiarch', '')}".rstrip("/")
    values = {"ORIGIN": os.path.dirname(os.path.realpath(path)), "LIB": lib, "PLATFORM": os.uname().machine}
    for name, value in values.items():
        place = place.replace(f"${{{name}}}", value).replace(f"${name}", value)
    return os.path.normpath(place)


def cached(path: str) -> Iterator[tuple[str, str]]:
    """(name, file) of ld.so.cache in glibc's form, in its order, without those for one kind of processor only."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return
    if data.startswith(OLD):  # the old form stands before the new one, aligned to 8
        data = data[(16 + unpack_from("=I", data, 12)[0] * 12 + 7) & ~7 :]
    if not data.startswith(NEW) or len(data) < 48:
        return
    for number in range(min(unpack_from("=I", data, 20)[0], (len(data) - 48) // 24)):
        _, key, value, _, hardware = unpack_from("=iIIIQ", data, 48 + number * 24)
        if not hardware:
            yield string(data, key), string(data, value)


def string(data: bytes, at: int) -> str:
    return data[at : data.find(b"\0", at)].decode("utf-8", "surrogateescape")

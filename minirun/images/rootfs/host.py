"""``[host]``: programs of this host, and what they need by their ELF loader and libraries.

Everything lies in the tree where it lies here: every directory and every link on the way is taken over, so that
/lib -> usr/lib and python3 -> python3.11 stay what they are.  A script brings its interpreter.  What an added
directory holds is looked at in the same way: Python's and Perl's modules bring their libraries.
"""

from __future__ import annotations

import hashlib
import os
import stat
from fnmatch import fnmatchcase
from glob import glob

from minirun.errors import MinirunError
from minirun.images.rootfs.libraries import CACHE, Finder, usual
from minirun.images.rootfs.tree import DIRECTORY, FILE, LINK, MOST_LINKS, Entry, Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SEARCH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
NEVER = ("/proc", "/sys", "/dev", "/run")


class Gather:
    """Takes files of this host into ``tree``, each once."""

    def __init__(self, tree: Tree, skip: list[str]) -> None:
        self.tree = tree
        self.skip = skip
        self.finder = Finder()
        self.seen: set[str] = set()
        self.notes: list[str] = []

    def path(self, path: str) -> str:
        """A path with all that is on the way to it; where it really lies."""
        wanted = [part for part in path.split("/") if part and part != "."]
        done: list[str] = []
        left = MOST_LINKS
        while wanted:
            part = wanted.pop(0)
            if part == "..":
                done = done[:-1]
                continue
            here = "/" + "/".join([*done, part])
            entry = look(here)
            if entry.kind != LINK:
                done.append(part)
                if entry.kind == FILE or here[1:] not in self.tree.entries:
                    self.tree.put(here, entry)
                continue
            left -= 1
            if not left:
                raise MinirunError(f"cannot take {path} into an image", reason="its links go round in a circle")
            self.tree.put(here, entry)
            done = [] if entry.target.startswith("/") else done
            wanted = entry.target.split("/") + wanted
            wanted = [word for word in wanted if word and word != "."]
        return "/" + "/".join(done)

    def take(self, path: str, inside: bool = False) -> None:
        """A file, a link or a directory with all that is in it, and what these need.

        ``inside`` a directory that was added: of what is there by the way, only libraries are looked for, and what
        is missing is noted.
        """
        real = self.path(path)
        if real in self.seen:
            return
        self.seen.add(real)
        if real.startswith(tuple(f"{place}/" for place in NEVER)) or real in ("/", *NEVER):
            raise MinirunError(f"cannot take {path} into an image", reason="it is the kernel's, or all there is")
        if not stat.S_ISDIR(os.stat(real).st_mode):
            self.needs(real, inside)
            return
        for name in sorted(os.listdir(real)):
            inner = f"{real}/{name}"
            if any(fnmatchcase(name, pattern) for pattern in self.skip) or not ordinary(inner):
                continue
            if os.path.islink(inner) and not os.path.exists(inner):
                self.tree.put(inner, look(inner))  # it points to nothing here as well
            else:
                self.take(inner, inside=True)

    def needs(self, path: str, inside: bool) -> None:
        """Of an ELF file: loader and libraries.  Of a script that may be executed: its interpreter."""
        try:
            for found in self.finder.needed_by(path):
                self.seen.add(self.path(found))
        except MinirunError as error:
            if not inside:
                raise
            self.notes.append(error.headline())
        if not inside and os.access(path, os.X_OK):
            for found in interpreter(path):
                self.take(found)


def ordinary(path: str) -> bool:
    """Neither a socket nor a device nor a pipe, which stand for something that is here only."""
    mode = os.lstat(path).st_mode
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)


def look(path: str) -> Entry:
    """A file of this machine, root's in the tree: whose it is here says nothing there."""
    try:
        found = os.lstat(path)
    except OSError as error:
        raise MinirunError(f"cannot take {path} into an image", reason=error.strerror or "") from error
    mode = stat.S_IMODE(found.st_mode)
    if stat.S_ISLNK(found.st_mode):
        return Entry(kind=LINK, mode=0o777, target=os.readlink(path))
    if stat.S_ISDIR(found.st_mode):
        return Entry(kind=DIRECTORY, mode=mode)
    if not stat.S_ISREG(found.st_mode):
        raise MinirunError(
            f"cannot take {path} into an image", reason="it is neither a file nor a directory nor a link"
        )
    return Entry(kind=FILE, mode=mode, source=path, size=found.st_size)


def interpreter(path: str) -> list[str]:
    """execve(2), Interpreter scripts; of ``#!/usr/bin/env NAME`` both."""
    with open(path, "rb") as file:
        first = file.read(256).partition(b"\n")[0]
    words = first[2:].decode("utf-8", "surrogateescape").split() if first.startswith(b"#!") else []
    if not words:
        return []
    if os.path.basename(words[0]) != "env":
        return words[:1]
    name = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), "")
    return [words[0], program(name)] if name else words[:1]


def program(word: str) -> str:
    """A path, or a name that is looked for where programs are."""
    if "/" in word:
        found = os.path.abspath(word)
    else:
        found = next((f"{place}/{word}" for place in SEARCH if os.access(f"{place}/{word}", os.X_OK)), "")
    if not found or not os.path.isfile(found):
        raise MinirunError(f"cannot find the program {word}", reason="it is not on this host")
    return found


def fill(
    tree: Tree, own: dict[str, Any], wanted: dict[str, list[str]], say: Callable[[str], None]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Into ``tree``; what the configuration and the labels get from it."""
    programs = [program(word) for word in [*own.get("programs", []), *wanted.get("program", [])]]
    places = [*own.get("add", []), *wanted.get("add", [])]
    for name in wanted.get("with", []):
        places += of_set(own.get("sets", {}), name)
    if not programs and not places:
        raise MinirunError(
            "there is nothing to put into the image",
            hint="--program PATH (and --with SET, --add PATH) say what",
            exit_code=2,
        )
    gather = Gather(tree, own.get("skip", []))
    for path in [*programs, *places]:
        gather.take(path)
    for note in gather.notes:
        say(note)
    config: dict[str, Any] = {"Cmd": programs[:1]} if programs else {}
    if far := unusual(gather):
        config["Env"] = [f"LD_LIBRARY_PATH={':'.join(far)}"]
    labels = {"dev.minirun.input.programs": " ".join(programs), "dev.minirun.input.sha256": summary(tree)}
    return config, {name: text for name, text in labels.items() if text}


def of_set(sets: dict[str, list[str]], name: str) -> list[str]:
    if name not in sets:
        raise MinirunError(f"there is no set {name!r}", reason=f"there are {' '.join(sorted(sets))}", exit_code=2)
    found = []
    for pattern in sets[name]:
        found += sorted(glob(pattern)) if any(c in pattern for c in "*?[") else [pattern]
    return found


def unusual(gather: Gather) -> list[str]:
    """Where libraries lie that the loader finds by its cache alone: in the image there is none."""
    known = {os.path.realpath(place) for place in usual()}
    listed = {os.path.realpath(os.path.dirname(path)) for paths in gather.finder.cache.values() for path in paths}
    taken = {os.path.dirname(path) for path in gather.seen if ".so" in os.path.basename(path)}
    return sorted((taken & listed) - known) if os.path.exists(CACHE) else []


def summary(tree: Tree) -> str:
    """One digest over path and content of every file that was taken."""
    total = hashlib.sha256()
    for path, entry in sorted(tree.entries.items()):
        if entry.source:
            with open(entry.source, "rb") as file:
                total.update(
                    f"{path}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode("utf-8", "surrogateescape")
                )
    return total.hexdigest()

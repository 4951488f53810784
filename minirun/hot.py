"""The start-up bundle: every module of minirun in one file, without what only people and type checkers read.

Fifty modules found, opened and unmarshalled one by one cost twice what a whole container costs in the kernel.  So
``make setup`` writes them into one file next to the bytecode of this one: each module compiled from its source with
docstrings, annotations of functions and ``if TYPE_CHECKING`` taken out, unmarshalled when it is imported.  Line
numbers stay; so does the meaning.  A source that is newer than the bundle (its size or time differs) switches the
bundle off: whoever edits the code runs what was edited.

The extension modules that the way to exec needs are in it by path: finding them would list three directories.

``native/bundle.py`` writes it.
"""

import posix
import sys
from _imp import create_dynamic, exec_dynamic
from marshal import loads

from _frozen_importlib import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

PACKAGE = __file__.rpartition("/")[0]
TAG = sys.implementation.cache_tag
PATH = f"{PACKAGE}/__pycache__/hot.{TAG}.bundle"
VERSION = sys.version + "/1"


class Finder:
    """A meta path finder and loader for what the bundle holds (importlib.abc)."""

    def __init__(self, fd: int, codes: "dict[str, tuple[int, int, str, bool]]", libraries: "dict[str, str]") -> None:
        self.fd = fd
        self.codes = codes
        self.libraries = libraries

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "ModuleSpec | None":
        if name in self.codes:
            origin, package = self.codes[name][2:]
            spec = ModuleSpec(name, self, origin=origin, is_package=package)  # type: ignore[arg-type]
            spec.has_location = True
            if package:
                spec.submodule_search_locations = [origin.rpartition("/")[0]]
            return spec
        if name in self.libraries:
            return ModuleSpec(name, self, origin=self.libraries[name])  # type: ignore[arg-type]
        return None

    def create_module(self, spec: "ModuleSpec") -> "ModuleType | None":
        return create_dynamic(spec) if spec.name in self.libraries else None

    def exec_module(self, module: "ModuleType") -> None:
        entry = self.codes.get(module.__name__)
        if entry is None:
            exec_dynamic(module)
        else:
            exec(loads(posix.pread(self.fd, entry[1], entry[0])), module.__dict__)


def install() -> bool:
    """Use the bundle, if it is there, whole, and as new as the sources.

    The file is an index (its length in the first eight bytes), then the modules' codes: read when imported.
    """
    try:
        fd = posix.open(PATH, posix.O_RDONLY | posix.O_CLOEXEC)
        size = int.from_bytes(posix.read(fd, 8), "little")
        version, owner, sources, codes, libraries = loads(posix.read(fd, size))
        if version != VERSION or owner != PACKAGE:
            return False
        for path, mtime, length in sources:
            found = posix.stat(path)
            if found.st_mtime_ns != mtime or found.st_size != length:
                return False
    except (OSError, ValueError, EOFError, TypeError):
        return False
    sys.meta_path.insert(0, Finder(fd, codes, libraries))  # type: ignore[arg-type]
    return True

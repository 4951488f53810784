"""The start-up bundle: minirun's modules in one file, without what only people and type checkers read.

Fifty modules found, opened and unmarshalled one by one cost twice what a whole container costs in the kernel.  So
``make setup`` (native/bundle.py) compiles each from its source, leaves out docstrings, annotations of functions
and ``if TYPE_CHECKING``, and writes

    the index      what it was made from, and where everything is
    one train      for each verb: all modules it needs, in the order in which they finish importing; one read, one
                   unmarshalling, and then they are executed without a search for any
    single codes   for every other module, found through ``Finder`` when somebody imports it

Line numbers stay; so does the meaning.  A source whose time or size is another than the index says switches the
bundle off: whoever edits the code runs what was edited.
"""

import posix
import sys
from _frozen_importlib import ModuleSpec
from _imp import create_dynamic, exec_dynamic
from marshal import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

PACKAGE = __file__.rpartition("/")[0]
PATH = f"{PACKAGE}/__pycache__/hot.{sys.implementation.cache_tag}.bundle"
VERSION = sys.version + "/2"
Module: "type[ModuleType]" = type(sys)


class Finder:
    """A meta path finder and loader for what the bundle holds (importlib.abc)."""

    def __init__(self, fd: int, codes: "Any", libraries: "dict[str, str]", trains: "dict[str, tuple[int, int]]") -> None:
        self.fd = fd
        self.codes = codes
        self.libraries = libraries
        self.trains = trains

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

    def board(self, train: str) -> None:
        """Execute all modules of a train that are not there yet."""
        at, size = self.trains.get(train, (0, 0))
        modules = sys.modules
        for name, origin, code in loads(posix.pread(self.fd, size, at)) if size else ():
            if name in modules:
                continue
            module = Module(name)
            module.__file__ = origin
            parent, _, own = name.rpartition(".")
            module.__package__ = parent
            if origin.endswith("/__init__.py"):
                module.__package__ = name
                module.__path__ = [origin[:-12]]
            modules[name] = module
            exec(code, module.__dict__)
            setattr(modules[parent], own, module)


active: "list[Finder]" = []


def board(train: str) -> None:
    """Make ready what ``train`` (a module's name) will import; without a bundle, imports do it one by one."""
    for finder in active:
        finder.board(train)


def install() -> bool:
    """Use the bundle, if it is there, whole, and as new as the sources."""
    try:
        fd = posix.open(PATH, posix.O_RDONLY | posix.O_CLOEXEC)
        size = int.from_bytes(posix.read(fd, 8), "little")
        version, owner, sources, codes, libraries, trains = loads(posix.read(fd, size))
        if version != VERSION or owner != PACKAGE:
            return False
        for path, mtime, length in sources:
            found = posix.stat(path)
            if found.st_mtime_ns != mtime or found.st_size != length:
                return False
    except (OSError, ValueError, EOFError, TypeError):
        return False
    finder = Finder(fd, codes, libraries, trains)
    sys.meta_path.insert(0, finder)
    active.append(finder)
    return True

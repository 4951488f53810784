"""The start-up bundle: minirun's modules in one file, without what only people and type checkers read.

Fifty modules found, opened and unmarshalled one by one cost twice what a whole container costs in the kernel.  So
``make setup`` (native/bundle.py) compiles each from its source, leaves out docstrings, annotations of functions
and ``if TYPE_CHECKING``, and writes one file:

    this module    what the command executes first (native/entry.py)
    the head       whose bundle it is, and where the rest lies
    one train      for each verb: all modules it needs, in the order in which they finish importing, in a few
                   sections; they are executed without a search for any
    single codes   for every other module, found through ``Finder`` when somebody imports it

The meaning stays; line numbers stay in single codes, and ``--debug`` boards no train.  A source whose time or size
is not what it was is imported from its file, and a train that carries it is not boarded: whoever edits the code
runs what was edited.
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
VERSION = sys.version + "/4"
FIRST = 16384  # this module and the head lie within the first bytes
Module: "type[ModuleType]" = type(sys)


def unchanged(path: str, mtime: int, size: int) -> bool:
    """Is the source what the bundle was made from?"""
    try:
        found = posix.stat(path)
    except OSError:
        return False
    return found.st_mtime_ns == mtime and found.st_size == size


class Finder:
    """A meta path finder and loader for what the bundle holds (importlib.abc)."""

    def __init__(self, fd: int, libraries: "dict[str, str]", trains: "dict[str, list[tuple[int, int]]]") -> None:
        self.fd = fd
        self.libraries = libraries
        self.trains = trains
        self.singles: Any = None

    def read(self, at: int, size: int) -> "Any":
        """A section of the file; nothing if the file was cut short (a full disk, a crash)."""
        try:
            return loads(posix.pread(self.fd, size, at))
        except (ValueError, EOFError, TypeError):
            return ()

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "ModuleSpec | None":
        if name in self.libraries:
            return ModuleSpec(name, self, origin=self.libraries[name])  # type: ignore[arg-type]
        if not name.startswith("minirun"):
            return None
        if self.singles is None:
            self.singles = self.read(*self.trains[""][0]) or {}
        entry = self.singles.get(name)
        if entry is None or not unchanged(*entry[:3]):
            return None
        package = entry[0].endswith("/__init__.py")
        spec = ModuleSpec(name, self, origin=entry[0], is_package=package)  # type: ignore[arg-type]
        spec.has_location = True
        if package:
            spec.submodule_search_locations = [entry[0][:-12]]
        return spec

    def create_module(self, spec: "ModuleSpec") -> "ModuleType | None":
        return create_dynamic(spec) if spec.name in self.libraries else None

    def exec_module(self, module: "ModuleType") -> None:
        if module.__name__ in self.libraries:
            exec_dynamic(module)
        else:
            exec(loads(self.singles[module.__name__][3]), module.__dict__)

    def board(self, train: str) -> None:
        """Execute the modules of a train that are not there yet, up to the first that was edited since."""
        for section in self.trains.get(train, ()):
            cars = self.read(*section)
            for _, origin, mtime, size, _ in cars:
                if not unchanged(origin, mtime, size):
                    return
            self.run(cars)

    def run(self, cars: "Any") -> None:
        """Modules, without importlib: nothing has to be found, and nobody else is importing."""
        modules = sys.modules
        for name, origin, _, _, code in cars:
            if name in modules:
                continue
            module = Module(name)
            module.__file__ = origin
            parent, _, own = name.rpartition(".")
            if parent and parent not in modules:  # it came with a train that did not go this time
                __import__(parent)
            module.__package__ = parent
            if origin.endswith("/__init__.py"):
                module.__package__ = name
                module.__path__ = [origin[:-12]]
            modules[name] = module
            exec(code, module.__dict__)
            if parent:
                setattr(modules[parent], own, module)


active: "list[Finder]" = []


def board(train: str) -> None:
    """Make ready what ``train`` (a module's name) will import; without a bundle, imports do it one by one."""
    for finder in active:
        finder.board(train)


def install(fd: int, head: "Any") -> None:
    """Use the bundle open as ``fd``, if it is this interpreter's and this package's."""
    version, owner, libraries, trains = head
    if version == VERSION and owner == PACKAGE:
        finder = Finder(fd, libraries, trains)
        sys.meta_path.insert(2, finder)  # behind the built-in and frozen modules
        if "--debug" not in sys.argv:
            active.append(finder)
        board("minirun.cli.entry")

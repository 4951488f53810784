"""Write the start-up bundle that ``minirun/hot.py`` reads.

    python native/bundle.py        (with the interpreter that will run minirun: bytecode is its own)
"""

from __future__ import annotations

import __future__

import ast
import os
import sys
from importlib.util import find_spec
from marshal import dumps
from pathlib import Path
from types import CodeType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from minirun import hot  # noqa: E402 (the path is set above)

LIBRARIES = ("_json", "_cffi_backend", "minirun._native")


class Strip(ast.NodeTransformer):
    """Take out what only people and type checkers read."""

    def body(self, node: Any) -> Any:
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            node.body = node.body[1:] or [ast.copy_location(ast.Pass(), first)]
        self.generic_visit(node)
        return node

    def visit_FunctionDef(self, node: Any) -> Any:
        node.returns = None
        return self.body(node)

    visit_Module = visit_ClassDef = body

    def visit_arg(self, node: Any) -> Any:
        node.annotation = None
        return node

    def visit_ImportFrom(self, node: Any) -> Any:
        return None if node.module == "__future__" else node

    def visit_If(self, node: Any) -> Any:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return [self.visit(inner) for inner in node.orelse] or None
        self.generic_visit(node)
        return node


def lean(source: str, path: str) -> CodeType:
    """A module's code, without docstrings, annotations of functions and ``if TYPE_CHECKING``."""
    tree = Strip().visit(ast.parse(source, path))
    tree.body = tree.body or [ast.Pass(lineno=1, col_offset=0)]
    flags = __future__.annotations.compiler_flag
    code: CodeType = compile(ast.fix_missing_locations(tree), path, "exec", flags=flags, dont_inherit=True)
    return code


def module_files() -> dict[str, Path]:
    """Every module of the package, by name."""
    package = Path(hot.PACKAGE)
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def library_files() -> dict[str, str]:
    """The extension modules' files (a built-in one has none)."""
    specs = {name: find_spec(name) for name in LIBRARIES}
    return {name: spec.origin for name, spec in specs.items() if spec and spec.origin and spec.origin.startswith("/")}


def build() -> Path:
    """Write the bundle; returns its path."""
    files = module_files()
    blobs = {name: dumps(lean(path.read_text(), str(path))) for name, path in files.items()}
    sources = [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files.values()]

    def index(start: int) -> bytes:
        codes, at = {}, start
        for name, blob in blobs.items():
            codes[name] = (at, len(blob), str(files[name]), files[name].name == "__init__.py")
            at += len(blob)
        return dumps((hot.VERSION, hot.PACKAGE, sources, codes, library_files()))

    room = len(index(1 << 30)) + 8  # offsets are written in the same width whatever they are
    head = index(room)
    target = Path(hot.PATH)
    target.parent.mkdir(exist_ok=True)
    new = target.with_suffix(".new")
    new.write_bytes(len(head).to_bytes(8, "little") + head.ljust(room - 8, b"\0") + b"".join(blobs.values()))
    new.replace(target)
    return target


if __name__ == "__main__":
    if "no_debug_ranges" not in sys._xoptions:  # columns of every instruction would double the size
        os.execv(sys.executable, [sys.executable, "-X", "no_debug_ranges", *sys.argv])
    print(build())

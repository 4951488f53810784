"""Sizes (design.md, Size and taste): Python 300 soft, 400 hard, functions 50; C 400 and 60.

An exception is a row in a table here, with its reason; a row that is no longer needed is an error too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

MODULE_SOFT, MODULE_HARD, FUNCTION, FUNCTION_P90 = 300, 400, 50, 30
C_FILE, C_FUNCTION = 400, 60

# Files above the soft cap: how long they may be at most, and why they are one file.
LONG_FILES = {
    "minirun/plan/ops.py": (640, "the closed set of operations: one small class each, one list of truth for C"),
}
LONG_FUNCTIONS: dict[str, str] = {}


def python_files() -> list[Path]:
    folders = ("minirun", "native", "tests", "docs", "rootfs")
    return sorted(p for folder in folders for p in (ROOT / folder).rglob("*.py") if "__pycache__" not in p.parts)


def c_files() -> list[Path]:
    folders = ("native", "tests")
    return sorted(p for folder in folders for p in (ROOT / folder).rglob("*.[ch]"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Every function of a Python file and its length in lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{name_of(path)}:{node.name}", (node.end_lineno or 0) - node.lineno + 1


def c_functions(path: Path) -> Iterator[tuple[str, int]]:
    """Every function of a C file: clang-format puts its braces into the first column."""
    start, title, previous = 0, "", ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line == "{":
            start, title = number, previous
        elif line.startswith("}") and start:
            name = re.search(r"(\w+)\(", title)
            yield f"{name_of(path)}:{name.group(1) if name else title}", number - start + 2
            start = 0
        previous = line


def test_modules_are_short() -> None:
    lengths = {name_of(path): path.read_text().count("\n") for path in python_files()}
    too_long = {name: lines for name, lines in lengths.items() if lines > LONG_FILES.get(name, (MODULE_SOFT, ""))[0]}
    assert not too_long, f"above {MODULE_SOFT} lines; split them, or ask for a row in LONG_FILES"
    needless = [name for name in LONG_FILES if lengths.get(name, 0) <= MODULE_SOFT]
    assert not needless, "rows that are no longer needed"


def test_only_the_list_of_operations_is_above_the_hard_cap() -> None:
    assert {name for name, (most, _) in LONG_FILES.items() if most > MODULE_HARD} == {"minirun/plan/ops.py"}


def test_functions_are_short() -> None:
    lengths = dict(pair for path in python_files() for pair in functions(path))
    too_long = {name: lines for name, lines in lengths.items() if lines > FUNCTION and name not in LONG_FUNCTIONS}
    assert not too_long
    assert not [name for name in LONG_FUNCTIONS if lengths.get(name, 0) <= FUNCTION], "rows no longer needed"


def test_most_functions_are_shorter_still() -> None:
    package = [p for p in python_files() if name_of(p).startswith("minirun/")]
    lengths = sorted(lines for path in package for _, lines in functions(path))
    assert lengths[len(lengths) * 9 // 10] <= FUNCTION_P90


def test_c_is_short() -> None:
    assert not {name_of(p): n for p in c_files() if (n := p.read_text().count("\n")) > C_FILE}
    assert not {name: n for path in c_files() for name, n in c_functions(path) if n > C_FUNCTION}
    assert sum(1 for path in c_files() for _ in c_functions(path)) > 100, "the pattern finds no functions any more"

"""The start-up bundle: the same results with it and without it; whoever edits the code runs what was edited."""

from __future__ import annotations

import ast
import copy
import dis
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest

from native import bundle
from tests.conftest import ROOT, run
from tests.installed import Installed

SOURCES = sorted((ROOT / "minirun").rglob("*.py"))
CALL = "from minirun.cli.entry import entry\nentry()\n"
SAID = 'raise usage("the edited one")  # '


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed"))


@pytest.fixture
def installed(built: Installed) -> Iterator[Installed]:
    """As built; what a test changes in it is put back, times included."""
    files = [*(built.root / "minirun").rglob("*.py"), *built.files()]
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
    yield built
    for path, (data, time) in before.items():
        if not path.exists() or (path.read_bytes(), path.stat().st_mtime_ns) != (data, time):
            path.write_bytes(data)
            os.utime(path, ns=(time, time))
    assert built.modules("features")[1]


def codes(code: CodeType, name: str = "") -> Iterator[tuple[str, CodeType]]:
    """A module's code and every function's in it, by qualified name."""
    yield name, code
    for item in code.co_consts:
        if isinstance(item, CodeType):
            yield from codes(item, f"{name}.{item.co_name}@{item.co_firstlineno}")


def lines(code: CodeType) -> set[int]:
    return {line for _, line in dis.findlinestarts(code) if line}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_lean_keeps_functions_and_lines(path: Path) -> None:
    """A traceback from lean code points into the source: every function is there, on its line."""
    source = path.read_text()
    lean = dict(codes(bundle.lean(source, str(path))))
    whole = dict(codes(compile(source, str(path), "exec", dont_inherit=True)))
    checking = {line for node in ast.walk(ast.parse(source)) for line in type_checking(node)}
    for name, code in whole.items():
        if code.co_firstlineno not in checking:
            assert name in lean, name
            left = lean[name]
            assert (left.co_varnames, left.co_freevars, left.co_flags & 0xF) == (
                code.co_varnames, code.co_freevars, code.co_flags & 0xF,
            )  # fmt: skip
            assert lines(left) <= lines(code) | {left.co_firstlineno} | set(range(code.co_firstlineno + 3))
    for name, code in lean.items():
        assert code.co_filename == str(path)
        assert name in whole


def type_checking(node: ast.AST) -> range:
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return range(node.lineno, (node.end_lineno or 0) + 1)
    return range(0)


def test_lean_leaves_out_what_only_people_read() -> None:
    source = '''"""Doc."""
from __future__ import annotations
TYPE_CHECKING = False
if TYPE_CHECKING:
    import nothing
else:
    here = 1
class Point:
    """Doc."""
    x: int
    def go(self, a: Nowhere) -> Nowhere:
        """Doc."""
def empty():
    """Only a docstring."""
'''
    space: dict[str, object] = {}
    exec(bundle.lean(source, "x.py"), space)
    point = space["Point"]
    assert space["here"] == 1 and "nothing" not in space
    assert point.__doc__ is None and point.go.__doc__ is None  # type: ignore[attr-defined]
    assert point.__annotations__ == {"x": "int"}, "a record's annotations are its fields"
    assert point.go.__annotations__ == {}  # type: ignore[attr-defined]


def test_the_same_with_the_bundle_and_without(installed: Installed, tmp_path: Path) -> None:
    asked = [
        ("--version",), ("features",), ("spec", "-f", "-b", tmp_path), ("state", "nobody"), ("create",),
        ("run", "--explain", "-b", tmp_path, "web"), ("run", "--explain=json", "-b", tmp_path, "web"),
        ("run", "--explain", "-b", "/nowhere", "web"), ("kill", "nobody", "NOSUCH"),
        ("--log-format", "json", "start", "x"),
    ]  # fmt: skip

    def answers() -> list[tuple[int, str, str]]:
        found = []
        for argv in asked:
            done = installed("--root", tmp_path / "state", *argv)
            found.append((done.returncode, done.stdout, done.stderr))
        return found

    modules, active = installed.modules("features")
    assert active and "minirun.hot" in modules
    bundled = answers()
    for file in installed.files():
        file.unlink()
    assert not installed.modules("features")[1]
    alone = answers()
    for argv, one, other in zip(asked, bundled, alone, strict=True):
        if "json" not in argv:  # a log line has the time of day
            assert one == other, argv
    assert [code for code, _, _ in bundled][:3] == [0, 0, 0]


@pytest.mark.parametrize("train", [train for train in bundle.TRAINS if train not in bundle.PACKED])
def test_a_train_goes_without_those_before_it(installed: Installed, tmp_path: Path, train: str) -> None:
    """start needs a network as run does, and comes by another train."""
    script = tmp_path / "alone"
    text = installed.script.read_text()
    assert text.endswith(CALL)
    script.write_text(
        text.removesuffix(CALL) + f"hot.board({train!r})\n__import__({train!r})\nprint(len(hot.active))\n"
    )
    script.chmod(0o755)
    done = run(script)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


@pytest.mark.parametrize("module", ["cli/main.py", "cli/oci_spec.py", "errors.py", "runtime/features.py", "hot.py"])
def test_an_edited_source_is_what_runs(installed: Installed, module: str) -> None:
    """A module of the first train, of a verb's train, a single one, and the bundle's own reader."""
    path = installed.root / "minirun" / module
    path.write_text(path.read_text() + '\nimport posix\nposix.write(2, b"edited\\n")\n')
    done = installed("features")
    assert done.returncode == 0
    assert "edited" in done.stderr


def test_a_deleted_source_is_gone(installed: Installed) -> None:
    (installed.root / "minirun" / "runtime" / "features.py").unlink()
    assert installed("features").returncode == 125


@pytest.mark.parametrize("keep", [0, 1, 8, 100, 5000, 16384, 20000])
def test_a_broken_bundle_is_no_bundle(installed: Installed, keep: int) -> None:
    """Cut short by a full disk, say: slower, but right."""
    for file in installed.files():
        file.write_bytes(file.read_bytes()[:keep])
    done = installed("features")
    assert (done.returncode, done.stderr) == (0, "")


def test_another_interpreter_s_bundle_is_no_bundle(installed: Installed) -> None:
    hot = installed.root / "minirun" / "hot.py"
    hot.write_text(hot.read_text().replace("VERSION = sys.version", 'VERSION = "another " + sys.version'))
    assert not installed.modules("features")[1]


def test_a_moved_package_does_not_use_its_old_bundle(installed: Installed, tmp_path: Path) -> None:
    shutil.copytree(installed.root / "minirun", tmp_path / "minirun", symlinks=True)
    script = tmp_path / "command"
    script.write_text(installed.script.read_text().replace(str(installed.root), str(tmp_path)))
    script.chmod(0o755)
    moved = copy.copy(installed)
    moved.script, moved.root = script, tmp_path
    modules, active = moved.modules("features")
    assert not active and "minirun.runtime.features" in modules

"""What is imported in a sandbox after its first mount has to be there: by name in the table, in memory before."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun import hot
from minirun.vm.sandbox import calls
from minirun.vm.sandbox.luggage import Luggage
from tests.conftest import ROOT

PACKAGE = ROOT / "minirun" / "vm" / "sandbox"
# On the host's side of it, and what is imported before the container is entered.
OUTSIDE = {"enter.py", "explain.py", "zygote.py", "luggage.py"}
PACKED = {f"minirun.vm.sandbox.calls.{theme}" for theme in calls.THEMES}


@pytest.fixture(scope="module")
def before() -> set[str]:
    """The modules of a zygote that waits for its order."""
    program = f"""
import sys
sys.path[:0] = {[str(ROOT), *sys.path]!r}
import minirun.vm.sandbox.zygote, minirun.vm.sandbox.inside, minirun.vm.sandbox.trace
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-ISE", "-c", program], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(module, name of it or "") of every import that is executed, at any depth."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((str(node.module), alias.name) for alias in node.names)
        yield from imported(node)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_nobody_imports_what_is_not_there(path: Path, before: set[str]) -> None:
    if path.name in OUTSIDE:
        return
    for module, name in imported(ast.parse(path.read_text())):
        if module == "__future__":
            continue
        assert {module, f"{module}.{name}"} & (before | PACKED), f"{module} {name}"
        if module == "minirun.vm.sandbox.calls" and (PACKAGE / "calls" / f"{name}.py").exists():
            assert f"{module}.{name}" in before | PACKED


def test_the_themes_are_what_their_modules_serve() -> None:
    calls.everything()
    served: dict[str, set[str]] = {}
    for name, function in calls.TABLE.items():
        served.setdefault(function.__module__.rpartition(".")[2], set()).add(name)
    del served["plain"]
    assert served == {theme: set(names.split()) for theme, names in calls.THEMES.items()}


def test_a_module_is_found_in_the_luggage_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    from marshal import dumps

    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(hot, "active", list(hot.active))
    code = dumps(compile("VALUE = __name__", "x", "exec"))
    luggage = Luggage([(f"minirun.vm.sandbox.calls.{name}", "x.py", 0, 0, code) for name in ("here", "there")])
    luggage.unpack()
    try:
        calls.bring("here")  # as a train of one
        from minirun.vm.sandbox.calls import there  # type: ignore[attr-defined]

        assert sys.modules["minirun.vm.sandbox.calls.here"].VALUE == "minirun.vm.sandbox.calls.here"
        assert there.VALUE == "minirun.vm.sandbox.calls.there"
        with pytest.raises(ModuleNotFoundError):
            __import__("minirun.vm.sandbox.calls.elsewhere")
        with pytest.raises(ModuleNotFoundError):
            __import__("this_is_for_the_path_finder")
    finally:
        for name in ("here", "there"):
            del sys.modules[f"minirun.vm.sandbox.calls.{name}"]

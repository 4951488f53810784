"""Imports run one way (design.md, Rooms): read from the source by ``ast``, lazy imports inside functions included.

What only type checkers import (``if TYPE_CHECKING``) costs nothing at run time and binds nothing: it is left out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "minirun"

# From the faces down; a room may import rooms of a higher number, and itself.
RANK = {
    "cli": 0, "shim": 0,
    "lab": 1,
    "container": 2,
    "images": 3, "network": 3, "runtime": 3,
    "vm": 4,
    "engine": 5,
    "cgroups": 6,
    "facts": 7,
    "plan": 8,
    "spec": 9,
    "linux": 10,
}  # fmt: skip
FREE = {"record", "errors", "hints", "hot"}  # for everybody; they import each other only
PURE = {"spec", "plan", "record", "errors", "hints"}
PURE_FILES = {
    "cgroups/device_program.py", "cli/options.py", "cli/parse.py", "engine/protocol.py", "vm/layout.py",
    "vm/boot/acpi.py", "vm/boot/aml.py", "vm/boot/bzimage.py", "vm/boot/cmdline.py", "vm/boot/cpu.py",
    "vm/boot/cpuid.py", "vm/boot/elf.py", "vm/boot/entry.py", "vm/boot/realmode.py", "vm/boot/zeropage.py",
    "vm/devices/acpi_pm.py", "vm/devices/i8042.py", "vm/devices/serial.py", "vm/initramfs.py",
    "vm/channel.py", "images/challenge.py", "images/reference.py", "images/media.py", "images/configuration.py",
}  # fmt: skip
IMPURE = {"os", "posix", "minirun.linux", "minirun.facts", "subprocess", "socket", "_socket", "fcntl", "ctypes"}
EXTENSIONS = {
    "minirun._native": "linux/__init__.py",
    "minirun._seccomp": "linux/libseccomp.py",
    "minirun._kvm": "linux/kvm.py",
}
# What one module may import although its rank says no: with the reason.
EXCEPTIONS: dict[tuple[str, str], str] = {}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Every node that can run."""
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            assert isinstance(child, ast.If)
            for other in child.orelse:
                yield from statements(other)
            continue
        yield child
        yield from statements(child)


def exists(name: str) -> bool:
    base = ROOT.joinpath(*name.split("."))
    return base.is_dir() or base.with_suffix(".py").exists() or name in EXTENSIONS


@cache
def imports(path: Path) -> frozenset[str]:
    """The modules that ``path`` can import, in full: ``from minirun.linux import bpf`` is minirun.linux.bpf."""
    found = set()
    for node in statements(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            base = node.module or ""
            for alias in node.names:
                full = f"{base}.{alias.name}"
                found.add(full if base.startswith("minirun") and exists(full) else base)
    return frozenset(found)


def room(name: str) -> str:
    """minirun.plan.ops -> plan, minirun.facts -> facts, minirun -> ""."""
    return (name.split(".") + [""])[1]


def place(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room_of(path: Path) -> str:
    return place(path).split("/")[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=place)
def test_imports_run_one_way(path: Path) -> None:
    own = room_of(path)
    for name in imports(path):
        if not name.startswith("minirun.") or name in EXTENSIONS or (place(path), name) in EXCEPTIONS:
            continue
        other = room(name)
        if other == own:
            continue
        assert own not in FREE or other in FREE, f"{place(path)} is for everybody and imports {name}"
        if other in FREE:
            continue
        assert own in RANK, f"{place(path)} has no place in RANK and imports {name}"
        assert other in RANK, f"{place(path)} imports {name}, which has no place in RANK"
        assert RANK[other] > RANK[own], f"{place(path)} imports {name}: rooms import downwards only"


def test_the_compiled_modules_belong_to_linux() -> None:
    for extension, owner in EXTENSIONS.items():
        assert {place(path) for path in modules() if extension in imports(path)} == {owner}


def test_pyroute2_is_for_verbs_that_people_wait_for() -> None:
    """Its import is fifty attaches long (HACKING.md, 8): two modules have it, and no container's start has them."""
    users = {place(path) for path in modules() if any(name.split(".")[0] == "pyroute2" for name in imports(path))}
    assert users == {"network/live.py", "network/orphans.py"}
    callers = {"minirun.network.live": {"cli/network.py", "network/networks.py"}}
    callers["minirun.network.orphans"] = {"network/repair.py"}
    for name, allowed in callers.items():
        found = {path for path in modules() if any(each.startswith(name) for each in imports(path))}
        assert {place(path) for path in found} == allowed
        for path in found:  # inside a function, never at its top
            tops = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
            assert not [node for node in tops if name.rpartition(".")[2] in ast.unparse(node)]


def test_nothing_pure_looks_at_the_machine() -> None:
    for path in modules():
        if room_of(path) in PURE or place(path) in PURE_FILES:
            for name in imports(path):
                assert name not in IMPURE and not name.startswith("minirun.linux"), f"{place(path)} imports {name}"


def test_errors_imports_nothing() -> None:
    assert imports(PACKAGE / "errors.py") == {"__future__"}
    assert imports(PACKAGE / "record.py") == {"__future__"}


def test_types_for_checkers_are_never_imported() -> None:
    users = {place(path) for path in modules() if "minirun.spec.types" in imports(path)}
    assert not users


def test_the_exceptions_are_still_needed() -> None:
    for file, name in EXCEPTIONS:
        assert name in imports(PACKAGE / file), f"{file} no longer imports {name}: take the row out"


def test_every_module_teaches() -> None:
    """A module opens with a docstring: what it is, in what order, which man page."""
    silent = [place(path) for path in modules() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert not silent

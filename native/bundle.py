"""Write the start-up bundle that ``minirun/hot.py`` reads.

python native/bundle.py        (with the interpreter that will run minirun: bytecode is its own)
"""

from __future__ import annotations
import __future__

import ast
import os
import subprocess
import sys
from importlib.util import find_spec
from marshal import dumps
from pathlib import Path
from types import CodeType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from minirun import hot  # noqa: E402 (the path is set above)
from minirun.vm.sandbox.calls import THEMES  # noqa: E402

PART = 48 * 1024
LIBRARIES = ("_json", "_cffi_backend", "minirun._native", "minirun._seccomp", "minirun._kvm")
ROOT_OF_PACKAGE = Path(hot.PACKAGE).parent

# A train for each verb's module: what it imports, and what it is known to import on its way when all goes well;
# without what is there already because another train went before it.
PLANNED = (
    "minirun.plan.wire", "minirun.cgroups.device_program", "minirun.cgroups.device_filter", "minirun.linux.bpf",
)  # fmt: skip
FILTERED = ("minirun.plan.seccomp", "minirun.engine.filter_cache", "minirun.runtime.notify")
SANDBOXED = ("minirun.plan.sandbox", "minirun.vm.sandbox.enter")
# Both processes need these: before there are two.
ZYGOTE = ("minirun.facts", "minirun.runtime.isolation", "minirun.runtime.root", "minirun.vm.sandbox.zygote")
IN_THE_SANDBOX = ("minirun.vm.sandbox.inside",)
ENTRY, FIRST = "minirun.cli.entry", "minirun.cli.main"
GROUP = ("minirun.cli.groups", "minirun.cli.container_options")
STARTED = (
    "minirun.container.client_side", "minirun.container.monitor", "minirun.container.place",
    "minirun.container.logfile", "minirun.container.prepare", "minirun.container.users",
    "minirun.container.default_filter", "minirun.images.snapshot", "minirun.network.resolver", "minirun.runtime.run",
    "minirun.runtime.start", "minirun.runtime.lifecycle", *PLANNED, *FILTERED,
)  # fmt: skip
MADE = ("minirun.container.devices", "minirun.container.flags", "minirun.container.make", "minirun.container.names")
TRAINS: dict[str, tuple[str, tuple[str, ...]]] = {
    ENTRY: ("", (ENTRY,)),
    FIRST: (ENTRY, (FIRST,)),
    "minirun.cli.oci_run": (FIRST, ("minirun.cli.oci_run", "minirun.runtime.run", *PLANNED)),
    "minirun.runtime.start": ("minirun.cli.oci_run", ("minirun.runtime.start", "minirun.runtime.lifecycle")),
    "minirun.plan.seccomp": ("minirun.cli.oci_run", FILTERED),
    "minirun.vm.vmm": ("minirun.cli.oci_run", ("minirun.runtime.machine", "minirun.plan.machine", "minirun.vm.vmm")),
    "minirun.vm.sandbox.zygote": (ENTRY, ZYGOTE),
    "minirun.vm.sandbox.inside": ("minirun.vm.sandbox.zygote", IN_THE_SANDBOX),
    "minirun.vm.sandbox.calls": (
        "minirun.vm.sandbox.inside",
        tuple(f"minirun.vm.sandbox.calls.{name}" for name in THEMES),
    ),
    "minirun.vm.sandbox.enter": ("minirun.cli.oci_run", SANDBOXED),
    "minirun.cli.oci_start": (FIRST, ("minirun.cli.oci_start",)),
    "minirun.cli.oci_exec": (FIRST, ("minirun.cli.oci_exec", "minirun.plan.wire", "minirun.engine.filter_cache")),
    "minirun.cli.oci_state": (FIRST, ("minirun.cli.oci_state",)),
    "minirun.cli.oci_kill": (FIRST, ("minirun.cli.oci_kill",)),
    "minirun.cli.oci_list": (FIRST, ("minirun.cli.oci_list",)),
    # The verbs that people use: the group's table first, then the verb; what its monitor needs is imported before it is
    # forked.
    "minirun.cli.groups": (FIRST, GROUP),
    "minirun.cli.container_run": ("minirun.cli.groups", (*GROUP, "minirun.cli.container_run", *STARTED, *MADE)),
    "minirun.cli.container_life": ("minirun.cli.groups", (*GROUP, "minirun.cli.container_life", *STARTED)),
    "minirun.cli.container_ps": ("minirun.cli.groups", (*GROUP, "minirun.cli.container_ps")),
    "minirun.cli.container_streams": (
        "minirun.cli.groups",
        (
            *GROUP,
            "minirun.cli.container_streams",
            "minirun.container.executing",
            "minirun.container.words",
            "minirun.container.users",
            "minirun.plan.wire",
            "minirun.engine.filter_cache",
        ),
    ),
    "minirun.network.attach": ("minirun.cli.container_run", ("minirun.network.attach", "minirun.network.netns")),
}


PACKED = ("minirun.vm.sandbox.calls",)  # its modules lie in it as bytes: minirun/vm/sandbox/luggage.py


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


def finish_order(names: tuple[str, ...]) -> list[str]:
    """Import ``names`` in a fresh interpreter; minirun's modules in the order in which they finished."""
    program = f"""
import importlib.machinery, sys
order = []
load = importlib.machinery.SourceFileLoader.exec_module
def exec_module(self, module):
    load(self, module)
    order.append(module.__name__)
importlib.machinery.SourceFileLoader.exec_module = exec_module
sys.path[:0] = {[str(ROOT_OF_PACKAGE), *sys.path]!r}
for name in {names!r}:
    __import__(name)
print(*[name for name in order if name.startswith("minirun") and name != "minirun.hot"])
"""
    done = subprocess.run([sys.executable, "-ISE", "-c", program], check=True, capture_output=True, text=True)
    return done.stdout.split()


def stamp(path: Path) -> tuple[str, int, int]:
    """What tells whether a source was edited since."""
    found = path.stat()
    return str(path), found.st_mtime_ns, found.st_size


def short(code: CodeType) -> CodeType:
    """The code without its line table, for trains: a fifth less to read. --debug does not board, and has lines."""
    inner = tuple(short(item) if isinstance(item, CodeType) else item for item in code.co_consts)
    return code.replace(co_consts=inner, co_linetable=b"")


def parts(cars: list[Any]) -> list[tuple[Any, ...]]:
    """Cut a train where a part would need memory of its own from the kernel: malloc(3) keeps and reuses less."""
    found: list[list[Any]] = [[]]
    for car in cars:
        if found[-1] and len(dumps(tuple(found[-1]))) > PART:
            found.append([])
        found[-1].append(car)
    return [tuple(part) for part in found]


def imported(train: str) -> tuple[str, ...]:
    """By a train and those that it goes behind."""
    behind, names = TRAINS[train]
    return (*(imported(behind) if behind else ()), *names)


def build() -> Path:
    """Write the bundle; returns its path."""
    files = module_files()
    codes = {name: lean(path.read_text(), str(path)) for name, path in files.items()}
    sections = {"": [dumps({name: (*stamp(path), dumps(codes[name])) for name, path in files.items()})]}
    for train, (behind, _) in TRAINS.items():
        there = finish_order(imported(behind)) if behind else []
        order = [name for name in finish_order(imported(train)) if name not in there]
        cars = [(name, *stamp(files[name]), short(codes[name])) for name in order]
        if train in PACKED:
            cars = [(*car, dumps(code)) for *car, code in cars]  # type: ignore[misc]
        sections[train] = [dumps(part) for part in parts(cars)]
    places: dict[str, list[tuple[int, int]]] = {}
    at = hot.FIRST
    for train, several in sections.items():
        for section in several:
            places.setdefault(train, []).append((at, len(section)))
            at += len(section)
    first = dumps(
        ((hot.VERSION, hot.PACKAGE, library_files(), places), stamp(files["minirun.hot"]), codes["minirun.hot"])
    )
    if len(first) > hot.FIRST:
        raise SystemExit(f"the head of the bundle has {len(first)} bytes: raise FIRST in minirun/hot.py")
    target = Path(hot.PATH)
    target.parent.mkdir(exist_ok=True)
    new = target.with_suffix(".new")
    new.write_bytes(first.ljust(hot.FIRST, b"\0") + b"".join(b"".join(several) for several in sections.values()))
    new.replace(target)
    return target


if __name__ == "__main__":
    if "no_debug_ranges" not in sys._xoptions:  # columns of every instruction would double the size
        os.execv(sys.executable, [sys.executable, "-X", "no_debug_ranges", *sys.argv])
    print(build())

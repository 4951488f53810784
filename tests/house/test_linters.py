"""The linters are tests: ruff, mypy --strict, clang-format, and two compilers that have nothing to say."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from native import build
from tests.conftest import ROOT, require, run

FOLDERS = ("minirun", "native", "tests", "rootfs")
C_FOLDERS = (
    "native/init", "native/border", "native/seccomp", "native/vm", "native/fuzz", "native/measure", "native/reaper",
    "tests/probe", "tests/bench",
)  # fmt: skip
HEADERS = ["-I", str(ROOT / "native" / "border"), "-I", str(ROOT / "native" / "init")]


def c_files(suffixes: str = ".c.h") -> list[Path]:
    return sorted(p for folder in C_FOLDERS for p in (ROOT / folder).glob("*.[ch]") if p.suffix in suffixes)


def tool(name: str) -> str:
    """A tool of the virtual environment."""
    return str(Path(sys.executable).parent / name)


def test_ruff_finds_nothing() -> None:
    done = run(tool("ruff"), "check", "--quiet", "--output-format=concise", *FOLDERS, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_python_is_formatted() -> None:
    done = run(tool("ruff"), "format", "--check", "--quiet", *FOLDERS, cwd=ROOT)
    assert done.returncode == 0, f"make format\n{done.stdout}{done.stderr}"


def test_types_hold() -> None:
    done = run(tool("mypy"), "--no-error-summary", cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("scripts", ["tests/bench", "rootfs/lab", "rootfs/kernel"])
def test_types_of_scripts_hold(scripts: str) -> None:
    """These files import each other as scripts do, by their folder: they are checked from there."""
    folder = ROOT / scripts
    done = run(
        tool("mypy"), "--config-file", ROOT / "pyproject.toml", "--no-explicit-package-bases", "--no-error-summary",
        "--exclude", "^$", *sorted(path.name for path in folder.glob("*.py")), cwd=folder, timeout=300,
        env={**os.environ, "MYPYPATH": f"{ROOT}:{ROOT / 'rootfs' / 'lab'}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("clang-format")
def test_c_is_formatted() -> None:
    done = run("clang-format", "--dry-run", "-Werror", *c_files(), cwd=ROOT)
    assert done.returncode == 0, f"make format\n{done.stderr}"


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_compilers_have_nothing_to_say(compiler: str) -> None:
    """Both compilers: each warns of what the other does not see."""
    if compiler == "clang":
        require("clang")
    for path in c_files(".c"):
        strict = build.WARNINGS if "native" in path.parts else build.WARNINGS[:2]
        if path.parent.name in ("border", "seccomp", "vm"):
            strict = build.WARNINGS[:2]
        pure = path.parent.name in ("init", "measure") or path.name == "plan.c"
        standard = "-std=c11" if pure else "-std=gnu11"
        done = run(compiler, *strict, "-Werror", standard, "-O1", "-fsyntax-only", *HEADERS, path)
        assert done.returncode == 0, done.stderr


def test_the_program_has_no_library(tmp_path: Path) -> None:
    """minirun-init is static and free of libc: nothing of the host's can get into it."""
    require("compiler")
    built = build.build_init(tmp_path / "minirun-init").read_bytes()
    assert built[:4] == b"\x7fELF"
    assert b"/ld-linux" not in built and b"GLIBC" not in built
    assert len(built) < 64 * 1024, "it is copied into a memfd for every container"

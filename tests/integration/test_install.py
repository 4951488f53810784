"""make install: into a prefix, usable from anywhere by anybody, and taken away without a trace."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, run

PYTHON = ROOT / ".venv" / "bin" / "python"
INSTALL = ROOT / "native" / "install.py"


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture(scope="module")
def prefix() -> Iterator[Path]:
    """Not below tmp_path: another user must be able to reach it."""
    folder = Path(tempfile.mkdtemp(prefix="minirun-prefix-"))
    folder.chmod(0o755)
    (folder / "share" / "man").mkdir(parents=True)  # there before us, so it stays
    done = run(PYTHON, INSTALL, folder, umask=0o077)
    assert done.returncode == 0, done.stderr
    yield folder
    shutil.rmtree(folder)


def test_it_works_from_another_directory_as_another_user(prefix: Path):
    who = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    program = prefix / "bin" / "minirun"
    done = run(program, "--version", cwd="/", env={}, **who)
    assert done.stdout.startswith("minirun version "), done.stderr
    done = run(program, "doctor", cwd="/", env={}, **who)
    assert f"{prefix}/lib/minirun/minirun/minirun-init" in done.stdout, done.stderr
    assert "start-up bundle     in use" in done.stdout
    assert str(ROOT) not in done.stdout


def test_its_dependencies_are_its_own(prefix: Path):
    library = str(prefix / "lib" / "minirun")
    names = "click, pyroute2, rich.progress, urllib3, zstandard"
    code = f"import sys; sys.path[:0] = [{library!r}]; import {names}; print(click.__file__)"
    done = run("/usr/bin/python3", "-ISE", "-c", code)
    assert done.stdout.startswith(str(prefix)), done.stderr


def test_manual_pages_and_completions_are_where_they_are_looked_for(prefix: Path):
    assert (prefix / "share/man/man8/minirun-run.8").read_text() == (ROOT / "docs/man/minirun-run.8").read_text()
    assert run("bash", "-n", prefix / "share/bash-completion/completions/minirun").returncode == 0
    assert (prefix / "share/zsh/site-functions/_minirun").read_text().startswith("#compdef minirun")
    assert (prefix / "share/fish/vendor_completions.d/minirun.fish").exists()


@pytest.mark.needs("busybox")
def test_its_recipes_are_found(prefix: Path, tmp_path: Path):
    program = prefix / "bin" / "minirun"
    done = run(program, "--storage", tmp_path, "image", "build-rootfs", "busybox", cwd="/", env={})
    assert done.returncode == 0, done.stderr
    assert not (prefix / "lib/minirun/minirun/images/rootfs/recipes/busybox.toml").is_symlink()


def test_again_changes_nothing_and_removing_leaves_nothing(prefix: Path):
    before = tree(prefix)
    assert run(PYTHON, INSTALL, prefix).returncode == 0
    assert tree(prefix) == before
    assert run(PYTHON, INSTALL, "--remove", prefix).returncode == 0
    assert tree(prefix) == ["share", "share/man"]
    assert "nothing of minirun" in run(PYTHON, INSTALL, "--remove", prefix).stderr


def test_it_says_how_it_is_used():
    done = run(PYTHON, INSTALL)
    assert (done.returncode, done.stderr) == (2, "usage: install.py [--remove] PREFIX\n")

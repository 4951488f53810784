"""Trees that somebody else wrote: removed and measured however deep they are, and never left by a link."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from minirun.images.tree import remove_tree, usage

DEPTH = 1500


def deep(path: Path) -> Path:
    """Directories in each other, farther down than a path has bytes or a process has descriptors; a page at the end."""
    path.mkdir()
    fd = os.open(path, os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir("directory", dir_fd=fd)
        below = os.open("directory", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    file = os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=fd)
    os.write(file, b"x" * 4096)
    os.close(file)
    os.close(fd)
    return path


def test_removed_however_deep(tmp_path: Path) -> None:
    tree = deep(tmp_path / "tree")
    remove_tree(str(tree), keep_top=True)
    assert list(tree.iterdir()) == []
    remove_tree(str(tree))
    assert not tree.exists()
    remove_tree(str(tree))


def test_measured_however_deep(tmp_path: Path) -> None:
    """As du(1) has it."""
    tree = deep(tmp_path / "tree")
    for name in ("one", "two"):
        (tree / name).mkdir()
        (tree / name / "file").write_bytes(b"x" * 10000)
    (tree / "link").symlink_to("/usr")
    try:
        top = tree.stat().st_blocks * 512
        told = subprocess.run(["du", "-sB1", str(tree)], capture_output=True, text=True, check=True).stdout
        assert usage(str(tree)) == int(told.split()[0]) - top
        assert usage(str(tmp_path / "nothing")) == 0 == usage(str(tree / "link"))
    finally:
        remove_tree(str(tree))


def test_links_are_removed_not_followed(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/file").touch()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/link").symlink_to(tmp_path / "out")
    remove_tree(str(tmp_path / "tree"))
    (tmp_path / "top").symlink_to(tmp_path / "out")
    remove_tree(str(tmp_path / "top"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"] and (tmp_path / "out/file").exists()

"""Groups of resctrl's, carried out on a directory that looks like one: no processor here has the real thing.

What a directory cannot do is left out: the kernel's own files are made by the test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minirun.engine import resctrl
from minirun.plan.ops import MakeCgroup


class Init:
    pid = 4242


class Site:
    def __init__(self) -> None:
        self.init = Init()
        self.undo: list[Any] = []


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new directory has the kernel's files at once, as in resctrl; rmdir(2) takes them along."""
    import posix
    import shutil

    mkdir = posix.mkdir

    def with_files(path: str, mode: int) -> None:
        mkdir(path, mode)
        for name in ("schemata", "tasks"):
            (Path(path) / name).write_text("")

    class Kernel:
        mkdir = staticmethod(with_files)
        rmdir = staticmethod(shutil.rmtree)
        access, F_OK, strerror = staticmethod(posix.access), posix.F_OK, staticmethod(posix.strerror)

    monkeypatch.setattr(resctrl, "posix", Kernel)
    (tmp_path / "info").mkdir()
    (tmp_path / "info/last_cmd_status").write_text("ok\n")
    return tmp_path


def group(tree: Path, path: str, *lines: str, existing: bool = False) -> Any:
    return MakeCgroup(path=path, controllers=[], properties=list(lines), resctrl=str(tree), existing=existing)


def test_made_filled_and_taken_away(tree: Path) -> None:
    site: Any = Site()
    resctrl.make(site, group(tree, "/web", "L3:0=ff"))
    assert (tree / "web/schemata").read_text() == "L3:0=ff\n" and (tree / "web/tasks").read_text() == "4242"
    site.undo.pop()()
    assert not (tree / "web").exists()
    resctrl.remove(str(tree / "web"))


def test_one_that_is_there_must_agree(tree: Path) -> None:
    site: Any = Site()
    (tree / "gold").mkdir()
    (tree / "gold/tasks").write_text("")
    (tree / "gold/schemata").write_text("    MB:0=100;1=100\n    L3:0=00ff;1=fffff\n")
    resctrl.make(site, group(tree, "/gold", "L3:1=FFFFF;0=ff"))
    assert (tree / "gold/tasks").read_text() == "4242" and not site.undo, "not ours to remove"
    with pytest.raises(FileExistsError, match="it exists, with other schemata") as caught:
        resctrl.make(site, group(tree, "/gold", "L3:0=f"))
    assert caught.value.filename == str(tree / "gold")


def test_one_that_must_be_there(tree: Path) -> None:
    site: Any = Site()
    with pytest.raises(FileNotFoundError):
        resctrl.make(site, group(tree, "/gold", existing=True))
    (tree / "tasks").write_text("")
    resctrl.make(site, group(tree, "/", existing=True))
    assert (tree / "tasks").read_text() == "4242" and not (tree / "gold").exists()
    (tree / "schemata").write_text("L3:0=ff\n")
    with pytest.raises(FileExistsError, match="it exists, with other schemata"):
        resctrl.make(site, group(tree, "/", "L3:0=f"))
    assert not site.undo and (tree / "schemata").read_text() == "L3:0=ff\n"


def test_the_kernel_says_why(tree: Path) -> None:
    (tree / "info/last_cmd_status").write_text("mask f00 has non-consecutive 1-bits\n")
    site: Any = Site()
    (tree / "web").mkdir()
    with pytest.raises(OSError, match="mask f00 has non-consecutive 1-bits"):
        resctrl.make(site, group(tree, "/web", "L3:0=f0f"))

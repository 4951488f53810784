"""update --l3-cache-schema and --mem-bw-schema, on a directory that looks like resctrl (as in test_resctrl)."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minirun import facts
from minirun.cgroups import tree
from minirun.engine import resctrl
from minirun.errors import MinirunError
from minirun.runtime import schemata
from minirun.runtime.status import start_time
from minirun.runtime.store import State

L3 = {"l3CacheSchema": "L3:0=f"}


class Entry:
    """Of the store's, what ``schemata`` uses."""

    def __init__(self, rdt: dict[str, Any] | None) -> None:
        self.rdt = rdt
        self.saved: list[list[str]] = []

    def config(self) -> dict[str, Any]:
        return {"linux": {} if self.rdt is None else {"intelRdt": self.rdt}}

    def save(self, state: State) -> None:
        self.saved.append(list(state.resctrl))


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new directory has the kernel's files at once; rmdir(2) takes them along."""

    class Kernel:
        @staticmethod
        def mkdir(path: str, mode: int) -> None:
            os.mkdir(path, mode)
            for name in ("schemata", "tasks"):
                (Path(path) / name).write_text("")

        rmdir = staticmethod(shutil.rmtree)

    monkeypatch.setattr(schemata, "posix", Kernel)
    monkeypatch.setattr(resctrl, "posix", Kernel)
    monkeypatch.setattr(facts, "find_resctrl", lambda: str(tmp_path))
    return tmp_path


@pytest.fixture
def state() -> Iterator[State]:
    """A process in a pid namespace that is not its own: without a cgroup, it is the container."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield State(
            id="web", bundle="", created="", owner=0, rootfs="", annotations={}, cgroup="", cgroupRoot="",
            pid=process.pid, startTime=start_time(process.pid),
        )  # fmt: skip
        process.kill()


def change(rdt: dict[str, Any] | None, state: State, lines: dict[str, str]) -> Any:
    entry: Any = Entry(rdt)
    return entry, schemata.change(entry, state, lines, "the command line")


def test_a_container_without_a_group_gets_one(mount: Path, state: State) -> None:
    entry, back = change(None, state, {**L3, "memBwSchema": "MB:0=20"})
    assert (mount / "web/schemata").read_text() == "L3:0=f\nMB:0=20\n"
    assert (mount / "web/tasks").read_text() == str(state.pid)
    assert state.resctrl == [f"{mount}/web"], "delete takes it away"
    back()
    assert not (mount / "web").exists() and entry.saved[-1] == [] == state.resctrl


def test_a_second_time_it_is_there(mount: Path, state: State) -> None:
    change(None, state, L3)
    (mount / "web/schemata").write_text("L3:0=f\n")
    _, back = change(None, state, {"l3CacheSchema": "L3:0=1"})
    assert (mount / "web/schemata").read_text() == "L3:0=1\n" and state.resctrl == [f"{mount}/web"]
    back()
    assert (mount / "web/schemata").read_text() == "L3:0=f\n", "and it stays"


def test_the_group_it_was_created_in(mount: Path, state: State) -> None:
    (mount / "gold").mkdir()
    (mount / "gold/schemata").write_text("L3:0=0f\n")
    entry, _ = change({"closID": "gold"}, state, L3)
    assert (mount / "gold/schemata").read_text().startswith("L3:0=f\n") and not entry.saved


@pytest.mark.parametrize(
    ("rdt", "reason"),
    [({"closID": "/"}, "its group is the default one"), ({"closID": "gone"}, "No such file or directory")],
)
def test_refused(mount: Path, state: State, rdt: dict[str, Any], reason: str) -> None:
    with pytest.raises(MinirunError, match=f"cannot update container web.*{reason}") as caught:
        change(rdt, state, L3)
    assert caught.value.pointer == "/linux/intelRdt"
    assert not [path for path in mount.iterdir() if path.name != "info"]


def test_somebody_else_s_group_is_left_alone(mount: Path, state: State) -> None:
    (mount / "web").mkdir()
    (mount / "web/schemata").write_text("L3:0=ff\n")
    with pytest.raises(MinirunError, match="File exists"):
        change(None, state, L3)
    assert (mount / "web/schemata").read_text() == "L3:0=ff\n" and state.resctrl == []


def test_what_the_kernel_refuses_leaves_nothing(mount: Path, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    (mount / "info").mkdir()
    (mount / "info/last_cmd_status").write_text("mask f0f has non-consecutive 1-bits\n")
    real = tree.write

    def write(path: str, value: str) -> None:
        if path.endswith("/schemata"):
            raise OSError(22, "Invalid argument", path)
        real(path, value)

    monkeypatch.setattr(tree, "write", write)
    with pytest.raises(MinirunError, match="mask f0f has non-consecutive 1-bits"):
        change(None, state, {"l3CacheSchema": "L3:0=f0f"})
    assert not (mount / "web").exists() and state.resctrl == []

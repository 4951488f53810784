"""The store: ids, the state's file, and a status that is derived, never written down."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun.errors import MinirunError
from minirun.runtime import status
from minirun.runtime.root import default_root
from minirun.runtime.store import ID_LONGEST, State, Store, check_id


@pytest.mark.parametrize("name", ["a", "web-1", "_x", "+x", "-x", "a.b", "A_b+c.d-e", "0", "x" * ID_LONGEST])
def test_good_ids(name: str) -> None:
    assert check_id(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".a",
        "a..b",
        "a/b",
        "/",
        "../x",
        "a b",
        "a\n",
        "a\0b",
        "ä",
        "a;b",
        "a%",
        "x" * (ID_LONGEST + 1),
        "٣",
    ],
)
def test_bad_ids(name: str) -> None:
    """A name becomes a directory and a cgroup: it must not be able to climb."""
    with pytest.raises(MinirunError) as caught:
        check_id(name)
    assert caught.value.message.startswith("invalid container id")
    assert caught.value.face().isprintable() or "\n" not in caught.value.headline()


def test_the_default_root() -> None:
    assert default_root({}, 0) == "/run/minirun"
    assert default_root({"XDG_RUNTIME_DIR": "/run/user/7"}, 0) == "/run/minirun"
    assert default_root({"XDG_RUNTIME_DIR": "/run/user/7"}, 7) == "/run/user/7/minirun"
    assert default_root({"XDG_RUNTIME_DIR": "relative"}, 7) == "/tmp/minirun-7"
    assert default_root({}, 7) == "/tmp/minirun-7"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "deep" / "state"))


def a_state(**other: object) -> State:
    values: dict[str, object] = {
        "id": "web", "bundle": "/b", "created": "2026-01-01T00:00:00Z", "owner": 0, "rootfs": "/b/rootfs",
        "annotations": {"a/b": "ü\n"}, "cgroup": "", "cgroupRoot": "",
    }  # fmt: skip
    return State(**{**values, **other})  # type: ignore[arg-type]


def test_reserve_is_exclusive(store: Store) -> None:
    store.reserve("web").close()
    with pytest.raises(MinirunError) as caught:
        store.reserve("web")
    assert caught.value.message == "container web exists already"
    assert store.ids() == ["web"]


def test_the_root_is_for_its_owner_only(store: Store) -> None:
    store.reserve("web").close()
    assert os.stat(store.root).st_mode & 0o777 == 0o700
    assert os.stat(f"{store.root}/web").st_mode & 0o777 == 0o700


def test_somebody_else_s_root_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "open"
    root.mkdir()
    root.chmod(0o777)
    for use in (lambda store: store.guard(), lambda store: store.reserve("web"), lambda store: store.open("web")):
        with pytest.raises(MinirunError) as caught:
            use(Store(str(root)))
        assert "not ours alone" in caught.value.reason


def test_a_link_in_the_place_of_a_container_is_not_followed(store: Store, tmp_path: Path) -> None:
    store.prepare()
    os.symlink(tmp_path, f"{store.root}/web")
    with pytest.raises(MinirunError):
        store.open("web")


def test_a_missing_container_is_named_as_callers_expect(store: Store) -> None:
    """containerd and podman look for "does not exist" in a runtime's message."""
    with pytest.raises(MinirunError) as caught:
        store.open("web")
    assert caught.value.headline() == "container web does not exist"
    assert store.ids() == []


def test_state_goes_round(store: Store) -> None:
    entry = store.reserve("web")
    state = a_state(pid=7, startTime=8, complete=True)
    entry.save(state)
    assert store.open("web").load() == state
    read = json.loads(Path(store.root, "web", "state.json").read_text())
    assert read["annotations"] == {"a/b": "ü\n"}
    assert set(read) == set(State.FIELDS)
    assert os.listdir(f"{store.root}/web") == ["state.json"], "nothing half-written lies about"


def test_no_state_yet(store: Store) -> None:
    """A create that was killed at its very beginning."""
    entry = store.reserve("web")
    state = entry.load()
    assert (state.id, state.pid, state.complete) == ("web", 0, False)
    assert status.status(entry, state, locked=True) == status.STOPPED
    other = store.open("web")
    assert status.status(other, state) == status.CREATING, "somebody holds the lock: it is under way"
    entry.close()
    assert status.status(other, state) == status.STOPPED


def test_remove_takes_everything(store: Store) -> None:
    entry = store.reserve("web")
    entry.save(a_state())
    entry.write("config.json", b"{}")
    assert entry.config() == {}
    for folder in ("notify", ".stats.1"):  # the second is of an events that was killed
        os.mkdir(f"{entry.path}/{folder}")
        Path(f"{entry.path}/{folder}/file").touch()
    entry.remove()
    assert store.ids() == []


def test_a_lock_on_a_removed_directory_is_worth_nothing(store: Store) -> None:
    first = store.reserve("web")
    second = store.open("web")
    first.remove()
    assert not second.lock()


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(["sleep", "60"])
    yield child
    child.kill()
    child.wait()


def test_alive_means_the_same_process(process: subprocess.Popen[bytes]) -> None:
    began = status.start_time(process.pid)
    assert began > 0
    assert status.alive(a_state(pid=process.pid, startTime=began))
    assert not status.alive(a_state(pid=process.pid, startTime=began + 1)), "a pid that is used again"
    assert not status.alive(a_state(pid=0, startTime=0))
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert status.start_time(process.pid) == 0, "a zombie is not alive"
    process.wait()
    assert status.start_time(process.pid) == 0


def test_a_name_with_brackets_does_not_confuse(tmp_path: Path) -> None:
    """/proc/PID/stat has the command's name in brackets, and a name may hold some: ") R 1" for example."""
    program = tmp_path / ") R 1 ("
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as child:
        try:
            line = Path(f"/proc/{child.pid}/stat").read_text()
            assert status.start_time(child.pid) == int(line.rpartition(")")[2].split()[19])
        finally:
            child.kill()


def test_status_of_a_process(store: Store, process: subprocess.Popen[bytes]) -> None:
    entry = store.reserve("web")
    state = a_state(pid=process.pid, startTime=status.start_time(process.pid), complete=True)
    assert status.status(entry, state) == status.RUNNING
    process.kill()
    process.wait()
    assert status.status(entry, state) == status.STOPPED


def test_the_specification_s_document() -> None:
    state = a_state(pid=7)
    assert status.document(state, status.RUNNING) == {
        "ociVersion": "1.3.0", "id": "web", "status": "running", "pid": 7, "bundle": "/b",
        "annotations": {"a/b": "ü\n"},
    }  # fmt: skip
    assert status.document(state, status.STOPPED)["pid"] == 0
    assert status.document(state, status.RUNNING, pid=1)["pid"] == 1
    assert "annotations" not in status.document(a_state(annotations={}), status.RUNNING)

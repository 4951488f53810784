"""kill -9 in the middle: at every call of a load, an import, an rm and a prune that changes the world."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, run
from tests.integration.image_maker import Storage, docker_files, layer, one_layout, write_tar

KILLED = ROOT / "tests" / "integration" / "killed.py"


def killed(storage: Storage, number: int, *words: str | Path) -> bool:
    """Was it killed, at its Nth call?  False: it has fewer, and came to its end."""
    done = run(sys.executable, KILLED, str(number), "self", *storage.command[1:], *words, cwd=ROOT)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


def everywhere(storage: Storage, *words: str | Path) -> int:
    """Kill it at each call, one after the other, looking after each; how many calls it has."""
    number = 1
    while killed(storage, number, *words):
        assert storage("image", "ls").returncode == 0
        number += 1
    return number


def whole(storage: Storage) -> list[str]:
    """Every name leads to an image that can be saved."""
    names = storage.names()
    for name in names:
        if not name.startswith("<"):
            storage.ok("image", "save", "-o", storage.path / "saved", name)
    return names


def test_load(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    path = write_tar(tmp_path / "a.tar", docker_files(layer(a="1"), layer(b="2")))
    calls = everywhere(storage, "image", "load", "-q", "-i", path)
    assert calls > 20
    assert whole(storage) == ["made:1"]
    storage.ok("image", "rm", "made:1")
    storage.ok("image", "prune", "-f")
    assert storage.files() == ["images.json"]


def test_killed_load_leaves_nothing_that_prune_does_not_find(tmp_path: Path) -> None:
    for number in range(5, 40, 7):
        storage = Storage(tmp_path / str(number))
        path = write_tar(tmp_path / "a.tar", one_layout())
        assert killed(storage, number, "image", "load", "-q", "-i", path)
        storage.ok("image", "prune", "-f")
        assert [name for name in storage.files() if not whole(storage) and name != "images.json"] == []


@pytest.mark.parametrize("words", [("rm", "made:1"), ("prune", "-a", "-f")], ids=["rm", "prune"])
def test_rm_and_prune(tmp_path: Path, words: tuple[str, ...]) -> None:
    """After each call the image is there and whole, or its name is gone."""
    storage = Storage(tmp_path)
    path = write_tar(tmp_path / "a.tar", docker_files())
    number = 1
    while True:
        storage.ok("image", "load", "-q", "-i", path)
        if not killed(storage, number, "image", *words):
            break
        assert whole(storage) in ([], ["made:1"])
        number += 1
    assert number > 5
    storage.ok("image", "prune", "-f")
    assert storage.files() == ["images.json"]


def loading(storage: Storage, path: Path) -> subprocess.Popen[bytes]:
    """A load that has got most of its archive, and waits for the rest."""
    process = subprocess.Popen([str(word) for word in (*storage.command, "image", "load")], stdin=subprocess.PIPE)
    assert process.stdin
    process.stdin.write(write_tar(path, docker_files(layer(a="x" * 300_000))).read_bytes()[:250_000])
    process.stdin.flush()
    until = time.monotonic() + 10
    while not any(name.startswith("ingest/") for name in storage.files()):
        assert time.monotonic() < until
        time.sleep(0.01)
    return process


def test_a_load_from_a_pipe_that_is_killed_with_its_data(tmp_path: Path) -> None:
    """The lock goes with the process: the next verb need not wait."""
    storage = Storage(tmp_path)
    process = loading(storage, tmp_path / "a.tar")
    done = storage("image", "rm", "nothing")  # in use: it may not take anything away, and says what it may not
    assert done.returncode == 125
    assert "the storage is in use" in done.stderr
    process.kill()
    process.communicate()
    storage.ok("image", "prune", "-f")
    assert storage.files() == []


def test_control_c_leaves_nothing(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    process = loading(storage, tmp_path / "a.tar")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 130
    assert storage.files() == []


def test_many_at_once(tmp_path: Path) -> None:
    """Ten loads, tags and removals together: nobody loses a name that somebody else gave."""
    storage = Storage(tmp_path)
    paths = [write_tar(tmp_path / f"{n}.tar", docker_files(layer(a=str(n)), tags=(f"n:{n}",))) for n in range(10)]
    running = [
        subprocess.Popen([str(word) for word in (*storage.command, "image", "load", "-q", "-i", path)])
        for path in paths
    ]
    assert [process.wait(60) for process in running] == [0] * 10
    assert whole(storage) == [f"n:{number}" for number in range(10)]
    removing = [subprocess.Popen([str(word) for word in (*storage.command, "image", "rm", f"n:{n}")],
                                 stdout=subprocess.DEVNULL) for n in range(10)]  # fmt: skip
    assert [process.wait(60) for process in removing] == [0] * 10
    storage.ok("image", "prune", "-f")
    assert storage.files() == ["images.json"]

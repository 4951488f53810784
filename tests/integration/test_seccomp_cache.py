"""The cache of compiled filters: it is used, it is bounded, and whatever somebody does to it, no filter gets weaker."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from minirun.engine import filter_cache
from minirun.engine.filter_cache import filter_of, key_of
from minirun.engine.filter_compile import compile_lines
from tests.conftest import Bundle, Runtime
from tests.installed import Installed
from tests.integration.profiles import default, number, profile, rule
from tests.integration.seen import ask

pytestmark = pytest.mark.needs("seccomp")
LINES = ["default errno 1", "newer errno 38", "allow read write"]
OTHER = ["default allow"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "cache" / "filters"
    assert filter_of(LINES, str(folder)) == compile_lines(LINES)
    return folder


def file(place: Path, lines: list[str] = LINES) -> Path:
    return place / key_of(lines).hex()


def test_what_is_kept_is_only_ours(place: Path) -> None:
    assert [path.name for path in place.iterdir()] == [key_of(LINES).hex()]
    assert place.stat().st_mode & 0o777 == 0o700 and file(place).stat().st_mode & 0o777 == 0o600


def found(place: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """What the cache gives, with a compiler that says a word of its own."""
    monkeypatch.setattr("minirun.engine.filter_compile.compile_lines", lambda lines: b"compiled")
    return filter_of(LINES, str(place))


def test_it_is_used(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(place, monkeypatch) != b"compiled"


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def swap(place: Path) -> None:
    """A filter that allows everything, whole and ours, under the name of ours."""
    filter_of(OTHER, str(place))
    file(place, OTHER).replace(file(place))


def linked(place: Path) -> None:
    outside = place.parent / "outside"
    file(place).rename(outside)
    file(place).symlink_to(outside)


def a_fifo(place: Path) -> None:
    file(place).unlink()
    os.mkfifo(file(place), 0o600)


def a_directory(place: Path) -> None:
    file(place).unlink()
    file(place).mkdir()


SPOILED: dict[str, Any] = {
    **{f"bit at {at}": lambda place, at=at: flip(file(place), at) for at in (0, 40, 70, 90, 120, -1)},
    "cut": lambda place: os.truncate(file(place), 200),
    "empty": lambda place: os.truncate(file(place), 0),
    "longer": lambda place: file(place).write_bytes(file(place).read_bytes() + bytes(8)),
    "huge": lambda place: os.truncate(file(place), 1 << 30),
    "another's, whole": swap,
    "a link": linked,
    "a fifo": a_fifo,
    "a directory": a_directory,
    "others may write": lambda place: file(place).chmod(0o622),
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_spoiled_file_is_never_loaded(place: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    SPOILED[how](place)
    assert found(place, monkeypatch) == b"compiled"


@pytest.mark.needs("root")
def test_a_file_of_another_user_is_not_used(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(file(place), 1000, 1000)
    assert found(place, monkeypatch) == b"compiled"


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_cache_that_others_can_write_is_not_used(place: Path, monkeypatch: pytest.MonkeyPatch, mode: int) -> None:
    place.chmod(mode)
    before = sorted(place.iterdir())
    assert found(place, monkeypatch) == b"compiled"
    assert sorted(place.iterdir()) == before


@pytest.mark.needs("root")
def test_a_cache_of_another_user_or_behind_a_link_is_not_used(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = place.parent / "link"
    link.symlink_to(place)
    assert found(link, monkeypatch) == b"compiled"
    os.chown(place, 1000, 1000)
    assert found(place, monkeypatch) == b"compiled"


def test_another_libseccomp_compiles_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filter_cache, "stamp", lambda path: (1, 2))
    assert found(place, monkeypatch) == b"compiled"


def test_no_place_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for nowhere in ("", "/proc/nowhere/filters", f"{tmp_path}/file/filters", f"{tmp_path}/file"):
        assert filter_of(LINES, nowhere) == compile_lines(LINES)


def test_it_does_not_grow(place: Path) -> None:
    """The oldest go first, a dead writer's file among them; ours, which is used just now, is there."""
    (place / ".dead").write_bytes(b"x")
    os.utime(place / ".dead", (1, 1))
    for n in range(filter_cache.MOST + 5):
        filter_of(["default allow", f"errno {n + 1} read"], str(place))
    left = {path.name for path in place.iterdir()}
    assert len(left) == filter_cache.MOST and ".dead" not in left and key_of(LINES).hex() not in left


@pytest.mark.needs("root", "busybox")
def test_one_cache_for_all_state_directories(bundle: Bundle, tmp_path: Path) -> None:
    """containerd has a --root for each namespace.  The second run loads no libseccomp, and its filter holds as well."""
    bundle.config["linux"]["seccomp"] = default()
    installed = Installed(tmp_path / "installed")
    env = {**os.environ}
    seen = []
    cache = Path("/run/minirun/.filters")
    before = set(cache.iterdir()) if cache.is_dir() else set()
    bundle.config["linux"]["seccomp"]["syscalls"].append(rule("ERRNO", "getppid", errno=51))  # never seen before
    for name in ("one", "two"):
        runtime = Runtime(tmp_path / name, installed.script)
        modules, _ = installed.modules(
            "--root", runtime.root, "run", "-b", bundle.args("/probe", "caps").write(), runtime.name(), env=env
        )
        seen.append("_seccomp" in modules)
    assert seen == [True, False]
    for path in set(cache.iterdir()) - before:
        path.unlink()


@pytest.mark.needs("root", "busybox")
def test_without_a_cache_the_filter_holds(minirun: Runtime, bundle: Bundle) -> None:
    """Cold and warm, and after somebody emptied the directory."""
    bundle.config["linux"]["seccomp"] = profile(rule("ERRNO", "getppid", errno=18))
    for attempt in ("cold", "warm", "emptied"):
        if attempt == "emptied":
            shutil.rmtree("/run/minirun/.filters", ignore_errors=True)
        assert ask(minirun, bundle, f"call {number('getppid')}") == ["EXDEV"]

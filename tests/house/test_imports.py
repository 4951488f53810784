"""The import budget (design.md, Speed): start-up is the product, so every module on the way to exec is on a list.

Each verb runs through the real entry script; what it leaves in ``sys.modules`` beyond the bare interpreter must be on
the verb's list, with the start-up bundle and without it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import run
from tests.installed import Installed, write_config

# Built in or a small extension; `__future__` is what an unbundled module's first line imports.
CHEAP = {"__future__", "_imp", "_json", "errno", "fcntl", "gc", "marshal", "posix"}
FILTERS = {"_blake2"}  # built in; the cache of system call filters, which nearly every caller's bundle has
NATIVE = {"_cffi_backend", "_native", "_native.lib"}
STANDARD = {
    "create": CHEAP | NATIVE | FILTERS | {"_struct", "select"},
    "start": CHEAP | NATIVE | {"_struct", "select"},
    "run": CHEAP | NATIVE | FILTERS | {"_struct", "select"},
    "exec": CHEAP | NATIVE | FILTERS | {"_struct", "select"},
    "kill": CHEAP | NATIVE | {"_struct", "select"},
    "delete": CHEAP | NATIVE | {"_struct", "select"},
    "pause": CHEAP | NATIVE | {"_struct", "select"},
    "resume": CHEAP | NATIVE | {"_struct", "select"},
    "state": CHEAP | NATIVE | {"_socket", "select"},  # asks a created container's gate whether anybody is there
    "list": CHEAP | NATIVE | {"_socket", "pwd", "select"},
    "spec": CHEAP | NATIVE,
    "features": CHEAP | NATIVE | {"_seccomp", "_seccomp.lib", "_struct"},  # libseccomp and the kernel are asked
}
# Rooms of minirun that a verb has no business in.
CLOSED = {
    "state": {"plan", "engine", "images", "network", "vm"},
    "list": {"plan", "engine", "images", "network", "vm"},
    "spec": {"plan", "engine", "cgroups", "images", "network", "vm"},
    "features": {"engine", "cgroups", "images", "network", "vm"},
    "kill": {"images", "network", "vm"},
    "delete": {"images", "network", "vm"},
}
# Never, on any of them; the lists above say it already, this says it to whoever wants to make them longer.
NEVER = {
    "click", "dataclasses", "enum", "typing", "re", "pathlib", "subprocess", "logging", "pyroute2", "json",
    "collections", "functools", "contextlib", "inspect", "os", "site", "argparse", "shutil", "tempfile", "threading",
    "asyncio", "socket", "struct", "signal", "importlib", "importlib.machinery", "warnings", "datetime", "random",
}  # fmt: skip


def test_the_lists_are_sane() -> None:
    for verb, allowed in STANDARD.items():
        assert not allowed & NEVER, verb


@pytest.fixture(scope="module", params=["bundle", "no bundle"])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, set[str]]]:
    """verb -> modules, from one container's life."""
    installed = Installed(tmp_path_factory.mktemp("installed"))
    if request.param == "no bundle":
        for file in installed.files():
            file.unlink()
    yield a_life(installed, tmp_path_factory.mktemp("life"), request.param == "bundle")


def a_life(installed: Installed, folder: Path, bundled: bool) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    bare = installed.bare()
    name = f"t-{uuid.uuid4().hex[:12]}"
    state = folder / "state"

    def verb(verb: str, *argv: str | Path, **more: object) -> None:
        modules, active = installed.modules("--root", state, verb, *argv, **more)
        assert active == bundled, f"{verb}: the start-up bundle is {'not ' * bundled}in use"
        found[verb] = modules - bare

    verb("features")
    verb("spec", "-b", folder)
    write_config(folder, "sleep", "60")
    try:
        with open(folder / "out", "wb") as out:
            verb("create", "-b", folder, name, capture_output=False, stdout=out, stderr=out)
        for words in ("state ID", "start ID", "list", "exec ID /bin/busybox true", "pause ID", "resume ID"):
            verb(*words.replace("ID", name).split())
        for words in ("kill ID KILL", "delete --force ID"):
            verb(*words.replace("ID", name).split())
        write_config(folder, "true")
        for _ in range(20):  # on a busy machine it takes longer than a moment, and its parent gets a name: more imports
            verb("run", "-b", folder, name)
            if "prctl" not in found["run"]:
                break
    finally:
        run(installed.script, "--root", state, "delete", "--force", name)
    return found


@pytest.mark.needs("root", "busybox")
@pytest.mark.parametrize("verb", STANDARD)
def test_budget(verb: str, seen: dict[str, set[str]]) -> None:
    unlisted = sorted(name for name in seen[verb] - STANDARD[verb] if not name.startswith("minirun"))
    assert not unlisted, f"{verb} imports what is not on its list"
    rooms = {(name.split(".") + [""])[1] for name in seen[verb] if name.startswith("minirun")}
    assert not rooms & CLOSED.get(verb, {"images", "network", "vm"})


@pytest.mark.needs("root", "busybox")
def test_a_query_imports_less_than_a_creation(seen: dict[str, set[str]]) -> None:
    assert len(seen["state"]) < len(seen["create"]) * 2 // 3

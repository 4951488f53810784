"""Fixtures for all tests: needs (probed by trying), bundles, a runtime, and a host that must be as it was before.

``needs("root")`` skips with a reason; ``MINIRUN_REQUIRE=root,kvm`` turns such a skip into a failure.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import reach
from tests.host import changes, host_picture
from tests.needs import BUSYBOX, ROOT, require, run

__all__ = ["BUSYBOX", "ROOT", "require", "run"]  # what other tests have from here
Json = dict[str, Any]
MINIRUN = reach.MINIRUN


@pytest.fixture(autouse=True)
def _needs(request: pytest.FixtureRequest) -> None:
    for mark in request.node.iter_markers("needs"):
        require(*mark.args)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-goldens", action="store_true", help="rewrite tests/unit/golden/*.plan; read the diff")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*names): what the test cannot run without (see PROBES in tests/needs.py)")


# -- the lab -------------------------------------------------------------------------------------------------------


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """What a test that failed in the lab had in its hands goes where it outlives the lab."""
    outcome = yield
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    if outcome.get_result().failed and folder is not None and "MINIRUN_IN_LAB" in os.environ:  # type: ignore[attr-defined]
        target = Path("/run/lab/artefacts") / folder.name
        target.mkdir(parents=True, exist_ok=True)
        for file in folder.iterdir():
            if file.is_file() and file.stat().st_size < 1 << 20:
                shutil.copy(file, target)


# -- bundles --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def probe_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tests/probe, static: what integration tests run as the container's process."""
    require("compiler")
    target = tmp_path_factory.mktemp("probe") / "probe"
    sources = sorted((ROOT / "tests" / "probe").glob("*.c"))
    subprocess.run(["cc", "-O1", "-static", "-o", target, *sources], check=True)
    return target


@pytest.fixture(scope="session")
def rootfs_master(probe_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system: busybox, its links, the probe as /probe."""
    require("busybox")
    base = tmp_path_factory.mktemp("master")
    os.chmod(base.parent, 0o755)  # an ordinary user's container must be able to cross it
    os.chmod(base, 0o755)
    root = base / "rootfs"
    for name in ("bin", "etc", "tmp", "proc", "sys", "dev", "root", "home"):
        (root / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin" / "busybox")
    for applet in (
        "sh",
        "true",
        "false",
        "sleep",
        "cat",
        "echo",
        "id",
        "ls",
        "mount",
        "hostname",
        "ps",
        "env",
        "stat",
        "head",
    ):
        (root / "bin" / applet).symlink_to("busybox")
    shutil.copy(probe_program, root / "probe")
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000::/home/guest:/bin/sh\n")
    (root / "etc" / "group").write_text("root:x:0:\nguest:x:1000:\n")
    os.chmod(root / "tmp", 0o1777)
    return root


def base_config(*args: str, rootless: bool = False, uid: int = 0, gid: int = 0) -> Json:
    """minirun's own template, without a terminal, with ``args``."""
    from minirun.spec.template import template

    config = template(rootless=rootless, uid=uid, gid=gid)
    config["process"]["terminal"] = False
    config["process"]["args"] = list(args) or ["/probe", "true"]
    return config


class Bundle:
    """A directory with a config.json and a rootfs of its own (hard links to the master's files)."""

    def __init__(self, path: Path, master: Path) -> None:
        self.path = path
        self.rootfs = path / "rootfs"
        shutil.copytree(master, self.rootfs, symlinks=True, copy_function=os.link)
        self.config = base_config("/probe", "pid")

    def write(self) -> Path:
        (self.path / "config.json").write_text(json.dumps(self.config))
        return self.path

    def args(self, *words: str) -> Bundle:
        self.config["process"]["args"] = list(words)
        return self


@pytest.fixture
def bundle(tmp_path: Path, rootfs_master: Path) -> Bundle:
    os.chmod(tmp_path.parent, 0o755)
    os.chmod(tmp_path, 0o755)
    return Bundle(tmp_path, rootfs_master)


# -- the runtime ----------------------------------------------------------------------------------------------------


class Runtime:
    """minirun with a state directory of its own; every container it made is deleted in the end."""

    def __init__(self, root: Path, program: Path | str = MINIRUN) -> None:
        self.root = root
        self.program = program
        self.used: list[str] = []

    def __call__(self, *argv: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
        return run(self.program, "--root", self.root, *argv, **more)

    def name(self) -> str:
        """A fresh container id."""
        self.used.append(f"t-{uuid.uuid4().hex[:12]}")
        return self.used[-1]

    def run(self, bundle: Bundle, *flags: str, **more: Any) -> subprocess.CompletedProcess[str]:
        """``run`` in the foreground."""
        return self("run", "-b", bundle.write(), *flags, self.name(), **more)

    def output(self, bundle: Bundle, *words: str) -> str:
        """What the container prints; it must end well."""
        if words:
            bundle.args(*words)
        done = self.run(bundle)
        assert done.returncode == 0, f"exit {done.returncode}: {done.stderr}"
        return done.stdout

    def create(self, bundle: Bundle, *flags: str) -> str:
        """``create``; with files for stdio, because a pipe would be held open by the waiting init."""
        name = self.name()
        with open(bundle.path / "out", "wb") as out, open(bundle.path / "err", "w+b") as err:
            done = subprocess.run(
                [str(self.program), "--root", str(self.root), "create", "-b", str(bundle.write()), *flags, name],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, timeout=60,
            )  # fmt: skip
        assert done.returncode == 0, (bundle.path / "err").read_text()
        return name

    def start(self, bundle: Bundle, *flags: str) -> str:
        """``create`` and ``start``."""
        name = self.create(bundle, *flags)
        done = self("start", name)
        assert done.returncode == 0, done.stderr
        return name

    def state(self, name: str) -> Json:
        done = self("state", name)
        assert done.returncode == 0, done.stderr
        found: Json = json.loads(done.stdout)
        return found


@pytest.fixture
def minirun(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Runtime]:
    if "clean_host" in request.fixturenames:  # begin earlier, end later: what is deleted here must be gone there
        request.getfixturevalue("clean_host")
    assert MINIRUN.exists(), "make setup first"
    runtime = Runtime(tmp_path / "state")
    yield runtime
    for name in runtime.used:
        runtime("delete", "--force", name)


# -- the host -------------------------------------------------------------------------------------------------------


@pytest.fixture
def clean_host(request: pytest.FixtureRequest) -> Iterator[None]:
    """The test must leave the host as it found it; one that failed has said enough already.

    A network namespace is taken apart by the kernel some time after its last process.
    """
    before = host_picture()
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed == failed:
        end = time.monotonic() + 3
        while (left := changes(before, host_picture())) and time.monotonic() < end:
            time.sleep(0.05)
        assert not left

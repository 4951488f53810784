"""A storage of one's own with the busybox image in it, and the ``container`` verbs on it."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.conftest import MINIRUN, run

IMAGE = "busybox"


class Shop:
    """``minirun --storage S --root R container ...``; ``close`` removes every container and says what is left."""

    def __init__(self, storage: Path, root: Path) -> None:
        self.storage = storage
        self.root = root
        self.base = [str(MINIRUN), "--storage", str(storage), "--root", str(root)]

    def command(self, *argv: str | Path) -> list[str]:
        return [*self.base, "container", *map(str, argv)]

    def __call__(self, *argv: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
        if "input" in more:
            more["stdin"] = None
        return run(*self.command(*argv), **more)

    def out(self, *argv: str | Path, **more: Any) -> str:
        """What it prints; it must end well."""
        done = self(*argv, **more)
        assert done.returncode == 0, f"{argv}: exit {done.returncode}: {done.stderr}"
        return done.stdout.strip()

    def start(self, *argv: str | Path) -> subprocess.Popen[bytes]:
        """In the background of the test, its ends as pipes."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self.command(*argv), stdin=pipe, stdout=pipe, stderr=pipe)

    def background(self, *argv: str, name: str = "", flags: tuple[str, ...] = ()) -> str:
        """``run -d --net none`` of a command; its id."""
        named = ("--name", name) if name else ()
        return self.out("run", "-d", "--net", "none", *named, *flags, IMAGE, *argv)

    def directory(self, word: str) -> Path:
        name = self.storage / "names" / word
        return self.storage / "containers" / (str(name.readlink()) if name.is_symlink() else word)

    def status(self, word: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.directory(word) / "status.json").read_text())
        return found

    def until(self, word: str, *wanted: str, seconds: float = 10) -> dict[str, Any]:
        """Its status, once that is one of ``wanted``."""
        end = time.monotonic() + seconds
        while (found := self.status(word))["status"] not in wanted:
            assert time.monotonic() < end, f"{word} is {found['status']}, not {wanted}"
            time.sleep(0.02)
        return found

    def mounts(self) -> list[str]:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return [line.split()[4] for line in lines if line.split()[4].startswith(f"{self.storage}/")]

    def left(self) -> dict[str, list[str]]:
        """Whatever of containers is still there."""
        names = [path.name for path in (self.storage / "names").iterdir()] if (self.storage / "names").exists() else []
        folder = self.storage / "containers"
        entries = [path.name for path in self.root.iterdir() if path.name[0] != "."] if self.root.exists() else []
        made = [path.name for path in folder.iterdir()] if folder.exists() else []
        return {"containers": made, "names": names, "runtime": entries, "mounts": self.mounts()}

    def close(self) -> None:
        ids = self.out("ps", "-aq", "--no-trunc").split()
        if ids:
            self.out("rm", "-f", "-v", *ids)
        self("prune", "-f")
        nothing: dict[str, list[str]] = {"containers": [], "names": [], "runtime": [], "mounts": []}
        assert self.left() == nothing


def stock(storage: Path) -> Path:
    """The busybox image in a new storage."""
    done = run(MINIRUN, "--storage", storage, "--root", storage / "none", "image", "build-rootfs", IMAGE, timeout=120)
    assert done.returncode == 0, done.stderr
    return storage


def copy(master: Path, storage: Path) -> Path:
    shutil.copytree(master, storage, symlinks=True)
    return storage

"""Ordinary users at the command line: one without an account, and one made for the test, with ranges of ids."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import NamedTuple

from tests.conftest import MINIRUN, Bundle, Json, base_config, run
from tests.integration.seen import MARK, answers, questions

Done = CompletedProcess[str]


class Account(NamedTuple):
    """A user of /etc/passwd; ``first`` is where the range of ids begins that /etc/subuid and /etc/subgid give."""

    name: str
    uid: int
    gid: int
    first: int
    size: int

    def rows(self) -> list[Json]:
        """The user as root, the range behind."""
        return [
            {"containerID": 0, "hostID": self.uid, "size": 1},
            {"containerID": 1, "hostID": self.first, "size": self.size},
        ]


@contextmanager
def account() -> Iterator[Account]:
    """Made by useradd(8), which gives ranges too, and removed with them."""
    name = f"mrt{uuid.uuid4().hex[:8]}"
    made = run("useradd", "--no-create-home", "--user-group", name)
    assert made.returncode == 0, made.stderr
    try:
        uid, gid = (int(run("id", option, name).stdout) for option in ("-u", "-g"))
        first, size = 0, 0
        for line in Path("/etc/subuid").read_text().splitlines():
            owner, start, count = line.split(":")
            if owner == name:
                first, size = int(start), int(count)
        assert f"{name}:{first}:{size}" in Path("/etc/subgid").read_text().splitlines()
        yield Account(name, uid, gid, first, size)
    finally:
        run("userdel", name)


class Person:
    """An ordinary user with a bundle and a runtime directory of their own."""

    def __init__(self, place: Path, bundle: Bundle, uid: int, gid: int) -> None:
        self.bundle = bundle
        self.uid, self.gid = uid, gid
        self.runtime_dir = place / "runtime"
        self.used: list[str] = []
        self.who: Json = {"user": uid, "group": gid, "extra_groups": []} if os.geteuid() == 0 else {}
        self.env = {"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(self.runtime_dir)}
        self.runtime_dir.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(self.runtime_dir, uid, gid)
            self.own(uid, gid)
        bundle.config = base_config(rootless=True, uid=uid, gid=gid)

    def own(self, uid: int, gid: int) -> None:
        """The rootfs's directories; its files are hard links to the master's."""
        rootfs = self.bundle.rootfs
        for path in [self.bundle.path, rootfs, *rootfs.iterdir()]:
            if path.is_dir() and not path.is_symlink():
                os.chown(path, uid, gid)

    def __call__(self, *words: str | Path, **more: object) -> Done:
        return run(MINIRUN, *words, **{"env": self.env, "cwd": self.bundle.path, **self.who, **more})

    def name(self) -> str:
        self.used.append(f"u{len(self.used)}")
        return self.used[-1]

    def run(self, *flags: str) -> Done:
        self.bundle.write()
        return self("run", *flags, self.name())

    def ask(self, *asked: str, flags: tuple[str, ...] = ()) -> list[str]:
        (self.bundle.rootfs / ".mark").write_text(MARK)
        self.bundle.args(*questions(*asked))
        done = self.run(*flags)
        assert done.returncode == 0, done.stderr
        return answers(done.stdout)

    def start(self, *words: str) -> str:
        self.bundle.args(*words).write()
        with open(self.bundle.path / "out", "wb") as out:
            name = self.name()
            done = self("run", "-d", name, capture_output=False, stdout=out, stderr=out)
        assert done.returncode == 0, (self.bundle.path / "out").read_text()
        return name

    def leave(self) -> None:
        for name in self.used:
            self("delete", "--force", name)

"""An ordinary user at the people's verbs: a home, a runtime directory, and whatever a container could leave of him."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from tests.conftest import MINIRUN, Json, run
from tests.integration.people import Account

Done = CompletedProcess[str]
TUN = Path("/dev/net/tun")


class Citizen:
    """``within``: words that go before every command (a mount namespace where /dev/net/tun is as it is elsewhere)."""

    def __init__(self, place: Path, account: Account) -> None:
        self.place, self.account = place, account
        self.home, self.runtime_dir = place / "home", place / "run"
        self.root, self.storage = self.runtime_dir / "minirun", self.home / ".local/share/minirun"
        self.within: list[str] = []
        for folder in (self.home, self.runtime_dir):
            folder.mkdir(mode=0o700)
            os.chown(folder, account.uid, account.gid)
        self.env = {"PATH": "/usr/bin:/bin", "HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.runtime_dir)}

    def words(self, *words: str | Path) -> list[str]:
        drop = ["setpriv", "--reuid", str(self.account.uid), "--regid", str(self.account.gid), "--clear-groups"]
        return [*self.within, *drop, str(MINIRUN), *[str(word) for word in words]]

    def __call__(self, *words: str | Path, **more: object) -> Done:
        return run(*self.words(*words), **{"env": self.env, "cwd": str(self.place), **more})

    def begin(self, *words: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.words(*words), env=self.env, cwd=self.place, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def container(self, *words: str | Path, **more: object) -> str:
        """It must end well."""
        done = self("container", *words, **more)
        assert done.returncode == 0, f"exit {done.returncode}: {done.stderr}"
        return done.stdout

    def run(self, *words: str | Path) -> str:
        return self.container("run", "--rm", "--net", "none", *words)

    def inspect(self, name: str) -> Json:
        (found,) = json.loads(self.container("inspect", name))
        return dict(found)

    # what is left

    def processes(self) -> list[str]:
        """Of the user and of his range; a moment is given to whoever has to reap them."""
        return until(lambda: self.find_processes(), [])

    def find_processes(self) -> list[str]:
        found = []
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
                if words != [b""] and words and self.is_his(entry.stat().st_uid):
                    found.append(f"{entry.name} {words[0].decode()}")
            except OSError:
                continue
        return found

    def is_his(self, uid: int) -> bool:
        return uid == self.account.uid or self.account.first <= uid < self.account.first + self.account.size

    def files_of_others(self) -> list[str]:
        """Below the storage, whatever belongs to his range."""
        return [
            str(path) for path in self.storage.rglob("*") if path.lstat().st_uid not in (0, self.account.uid)
        ]  # fmt: skip

    def containers(self) -> list[str]:
        return os.listdir(self.storage / "containers")

    def clear(self) -> None:
        for name in self("container", "ps", "-aq").stdout.split():
            self("container", "rm", "-f", name)

    def nothing_left(self) -> None:
        assert self.containers() == [] and os.listdir(self.storage / "names") == []
        assert self.processes() == []
        for name in (".holders", ".outside"):
            assert not (self.root / name).is_dir() or os.listdir(self.root / name) == []
        assert [name for name in os.listdir(self.root) if not name.startswith(".")] == []


def until(look: Callable[[], object], wanted: object) -> list[str]:
    end = time.monotonic() + 5
    while (found := look()) != wanted and time.monotonic() < end:
        time.sleep(0.02)
    assert isinstance(found, list)
    return found


class Tun:
    """A mount namespace in which everybody may open /dev/net/tun, as udev has it; here perhaps nobody may."""

    def __init__(self, place: Path, mode: str = "666") -> None:
        script = (
            f"mount -t tmpfs none {place} && mknod -m {mode} {place}/tun c 10 200 && mount --bind {place}/tun {TUN}"
        )
        words = ["unshare", "-m", "--propagation", "slave", "sh", "-c", f"{script} && echo ready && exec sleep 600"]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == "ready\n", line
        self.within = ["nsenter", "-t", str(self.process.pid), "-m"]

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

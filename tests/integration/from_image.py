"""Containers from an image: a storage of the test session's own, with an image that has what the flags ask for."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from tests.conftest import BUSYBOX, MINIRUN

NAME = "tried:1"
PASSWD = "root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000::/home/guest:/bin/sh\nbroken:x\n"
GROUP = "root:x:0:\nguest:x:1000:\naudio:x:63:guest,other\nvideo:x:44:other\n"
APPLETS = (
    "sh", "true", "false", "sleep", "cat", "echo", "id", "ls", "mount", "hostname", "ps", "env", "stat", "head", "df",
    "touch", "pwd", "grep", "wc", "kill", "mkdir", "rm", "chown", "chmod", "ln", "tail", "sort", "unshare",
)  # fmt: skip
CHANGES = (
    'CMD ["sh", "-c", "echo from the image"]', "ENV PLACE=image", "ENV LEFT=alone", "WORKDIR /srv/here",
    "VOLUME /data", "LABEL of=image", "LABEL run.oci.hooks.stdout=/tmp/never", "EXPOSE 80/tcp", "STOPSIGNAL SIGINT",
)  # fmt: skip


def archive() -> bytes:
    """A root file system: busybox, passwd with people and traps, something below /data."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("bin", "etc", "root", "tmp", "home", "data", "data/deep", "proc", "sys", "dev"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(entry)
        add(tar, "bin/busybox", Path(BUSYBOX).read_bytes(), 0o755)
        add(tar, "etc/passwd", PASSWD.encode())
        add(tar, "etc/group", GROUP.encode())
        add(tar, "data/of-image", b"kept\n", 0o640, uid=7, gid=8)
        add(tar, "data/deep/file", b"too\n")
        add(tar, "notes", b"no program\n")
        for name in APPLETS:
            link(tar, f"bin/{name}", "busybox")
        link(tar, "data/link", "of-image")
        link(tar, "trap", "/etc")  # -w /trap/x leads into the image's own /etc
        link(tar, "far", "../../../../../../etc")
    return out.getvalue()


def add(tar: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.uid, entry.gid, entry.mtime = len(data), mode, uid, gid, 1_600_000_000
    tar.addfile(entry, io.BytesIO(data))


def link(tar: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    tar.addfile(entry)


class Containers:
    """``minirun`` with a storage and a root of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.storage = place / "storage"
        self.command = [str(MINIRUN), "--storage", str(self.storage), "--root", str(place / "root")]

    def __call__(self, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self.command, *words], capture_output=True, text=True, timeout=60, **more)

    def ok(self, *words: str, **more: Any) -> str:
        done = self(*words, **more)
        assert done.returncode == 0, f"{words}: exit {done.returncode}: {done.stderr}{done.stdout}"
        return done.stdout.removesuffix("\n")

    def run(
        self, *flags: str, args: tuple[str, ...] = (), image: str = NAME, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        return self("container", "run", "--rm", "--net", "none", *flags, image, *args, **more)

    def said(self, *flags: str, args: tuple[str, ...] = (), image: str = NAME, **more: Any) -> str:
        done = self.run(*flags, args=args, image=image, **more)
        assert done.returncode == 0, f"{flags} {args}: exit {done.returncode}: {done.stderr}{done.stdout}"
        return done.stdout.removesuffix("\n")

    def config(self, *flags: str, image: str = NAME) -> Any:
        """--explain=json"""
        return json.loads(self.ok("container", "run", "--explain=json", "--net", "none", *flags, image))

    def load(self) -> None:
        """The image, and the same without changes: ``plain:1``."""
        for name, changes in ((NAME, CHANGES), ("plain:1", ())):
            words = [word for change in changes for word in ("--change", change)]
            subprocess.run([*self.command, "image", "import", *words, "-", name], input=archive(), check=True,
                           capture_output=True)  # fmt: skip

    def left(self) -> list[str]:
        """What should not be there: containers, mounts, anonymous volumes, cgroups."""
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        found = [place for place in mounts if place.startswith(str(self.place))]
        found += [str(path) for path in (self.storage / "containers").glob("*")]
        found += [str(path) for path in (self.storage / "volumes").glob("?" * 64)]
        return found + [str(path) for path in (self.place / "root").glob("[!.]*")]

    def remove(self) -> None:
        shutil.rmtree(self.place)

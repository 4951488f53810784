"""``minirun image build-rootfs``: each recipe twice is one digest, it runs, and nothing of this machine is in it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from minirun.images.store import Image, Images
from tests.conftest import MINIRUN, ROOT, require, run


def build(storage: Path, *words: str | Path, code: int = 0, **more: Any) -> subprocess.CompletedProcess[str]:
    done = run(MINIRUN, "--storage", storage, "image", "build-rootfs", *words, timeout=300, **more)
    assert done.returncode == code, done.stderr
    return done


def image_of(storage: Path, name: str) -> Image:
    return Images(str(storage)).find(name)


def unpacked(storage: Path, image: Image, target: Path) -> Path:
    """By tar(1): what is tested here is the archive."""
    target.mkdir()
    done = run("tar", "-xpf", Images(str(storage)).blobs.path(image.layers[0].digest), "-C", target)
    assert done.returncode == 0, done.stderr
    return target


def members(storage: Path, image: Image) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(Images(str(storage)).blobs.path(image.layers[0].digest)) as archive:
        return {member.name: member for member in archive}


def leftovers(storage: Path) -> list[str]:
    return [str(path) for name in ("tmp", "ingest") for path in (storage / name).glob("*")]


# -- busybox


@pytest.mark.needs("busybox")
def test_busybox_twice_is_one_digest_and_quick(tmp_path):
    start = time.monotonic()
    first = build(tmp_path / "a", "busybox", cwd=tmp_path)
    assert time.monotonic() - start < 3  # some 0.15 s on a quiet machine
    assert first.stdout.splitlines()[0] == "busybox:latest"
    build(tmp_path / "b", "busybox", env={"PATH": "/usr/bin:/bin", "TZ": "Pacific/Apia"}, umask=0o077)
    one, other = (image_of(tmp_path / name, "busybox") for name in "ab")
    assert (one.manifest_digest, one.id) == (other.manifest_digest, other.id)
    assert one.config["created"] == "2023-06-10T00:00:00Z"
    assert one.config["config"]["Cmd"] == ["sh"]
    labels = one.config["config"]["Labels"]
    assert labels["dev.minirun.recipe"] == "busybox" and labels["dev.minirun.input.package"].startswith(
        "busybox-static"
    )
    assert build(tmp_path / "a", "busybox", "-q", "-t", "box:2").stdout.strip() == one.id
    assert image_of(tmp_path / "a", "box:2").target == one.target
    assert not leftovers(tmp_path / "a")


@pytest.mark.needs("busybox", "root")
def test_busybox_runs(tmp_path):
    build(tmp_path / "s", "busybox")
    root = unpacked(tmp_path / "s", image_of(tmp_path / "s", "busybox"), tmp_path / "root")
    done = run(
        "chroot", root, "/bin/sh", "-c", "id; grep guest /etc/passwd | cut -d: -f1; ls -ld /tmp", env={"PATH": "/sbin"}
    )
    assert done.stdout.splitlines()[:2] == ["uid=0(root) gid=0(root)", "guest"], done.stderr
    assert "drwxrwxrwt" in done.stdout
    assert (root / "home/guest").stat().st_uid == 1000


@pytest.mark.needs("busybox", "root")
def test_an_ordinary_user_builds_the_same(tmp_path):
    with tempfile.TemporaryDirectory(prefix="minirun-recipes-") as folder:  # tmp_path lies where he cannot go
        os.chmod(folder, 0o755)
        as_nobody(Path(folder), tmp_path)


def as_nobody(base: Path, tmp_path: Path) -> None:
    storage = base / "s"
    storage.mkdir()
    os.chown(storage, 65534, 65534)
    build(storage, "busybox", user=65534, group=65534, extra_groups=[])
    build(tmp_path / "mine", "busybox")
    assert image_of(storage, "busybox").manifest_digest == image_of(tmp_path / "mine", "busybox").manifest_digest
    assert (storage / "images.json").stat().st_uid == 65534


@pytest.mark.needs("busybox")
def test_another_busybox_is_used_and_said_but_not_locked(tmp_path):
    text = (ROOT / "rootfs" / "busybox.toml").read_text()
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        "".join(line for line in text.splitlines(keepends=True) if not line.startswith(("amd64", "arm64")))
    )
    done = build(tmp_path / "s", recipe)
    assert "the recipe does not know this busybox" in done.stderr
    labels = image_of(tmp_path / "s", "busybox").config["config"]["Labels"]
    assert len(labels["dev.minirun.input.sha256"]) == 64
    done = build(tmp_path / "t", recipe, "--locked", code=125)
    assert done.stderr.startswith("minirun: an input is not pinned: busybox-static") and "hint" in done.stderr
    assert not (tmp_path / "t" / "images.json").exists() and not leftovers(tmp_path / "t")


# -- a file of one's own


def test_a_recipe_of_ones_own(tmp_path):
    (tmp_path / "hello.sh").write_text("#!/bin/sh\necho hello\n")
    (tmp_path / "hello.sh").chmod(0o700)
    (tmp_path / "own.toml").write_text("""
        name = "own:1"
        date = 2024-01-01T00:00:00Z
        [config]
        Entrypoint = ["/bin/hello"]
        [labels]
        a = "b"
        [directories]
        srv = "750"
        [copy]
        "bin/hello" = "hello.sh"
        [files]
        "etc/motd" = "hi\\n"
        [owners]
        "etc/motd" = "7:8"
    """)
    build(tmp_path / "s", "./own.toml", cwd=tmp_path)
    image = image_of(tmp_path / "s", "own:1")
    found = members(tmp_path / "s", image)
    assert (found["bin/hello"].mode, found["srv"].mode, found["etc/motd"].uid, found["etc/motd"].gid) == (
        0o755,
        0o750,
        7,
        8,
    )
    assert {member.mtime for member in found.values()} == {1704067200}
    assert image.config["config"]["Labels"]["a"] == "b"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nothing"], 125, "there is no recipe 'nothing'"),
        (["busybox", "--suite", "sid"], 2, "--suite is for recipes of the kind debian"),
        (["host"], 2, "there is nothing to put into the image"),
        (["host", "--program", "no-such-program"], 125, "cannot find the program no-such-program"),
        (["host", "--program", "sh", "--with", "moon"], 2, "there is no set 'moon'"),
        (["host", "--add", "/proc/version"], 125, "cannot take /proc/version"),
        (["host", "--add", "/nowhere"], 125, "cannot take /nowhere into an image: No such file"),
        (["busybox", "-t", "UPPER CASE"], 125, "UPPER CASE"),
    ],
)
def test_what_cannot_be_built_is_said_and_leaves_nothing(words, code, said, tmp_path):
    done = build(tmp_path / "s", *words, code=code)
    assert said in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "s" / "images.json").exists() and not leftovers(tmp_path / "s")


# -- this host


def test_programs_of_this_host_run_with_their_libraries(tmp_path):
    """python3 with its library, the modules that are shared objects, too; as little of the host as that takes."""
    words = ["host", "--program", "python3", "--with", "python,certificates", "-t", "python"]
    build(tmp_path / "a", *words)
    image = image_of(tmp_path / "a", "python")
    assert image.config["config"]["Cmd"] == ["/usr/bin/python3"]
    found = members(tmp_path / "a", image)
    assert not [name for name in found if "__pycache__" in name or name.startswith(("proc/", "dev/", "run/", "home"))]
    assert not {member.uid for member in found.values()} - {0}
    if os.geteuid() == 0:
        root = unpacked(tmp_path / "a", image, tmp_path / "root")
        program = "import ctypes, hashlib, json, sqlite3, ssl, zlib; print(json.dumps(ssl.OPENSSL_VERSION))"
        done = run("/usr/sbin/chroot", root, "/usr/bin/python3", "-c", program, env={})
        assert done.stdout.startswith('"OpenSSL'), done.stderr


def test_programs_of_this_host_twice_are_one_digest(tmp_path):
    words = ["host", "--program", "bash", "--program", "ls", "--with", "nss", "-t", "tools"]
    for name in "ab":
        build(tmp_path / name, *words)
    one, other = (image_of(tmp_path / name, "tools") for name in "ab")
    assert one.manifest_digest == other.manifest_digest
    labels = one.config["config"]["Labels"]
    assert labels["dev.minirun.input.programs"] == "/usr/bin/bash /usr/bin/ls"
    assert "an input is not pinned" in build(tmp_path / "c", *words, "--locked", code=125).stderr


@pytest.mark.needs("root")
def test_a_script_brings_its_interpreter(tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/usr/bin/env sh\necho it runs\n")
    script.chmod(0o755)
    build(tmp_path / "s", "host", "--program", script, "-t", "script")
    root = unpacked(tmp_path / "s", image_of(tmp_path / "s", "script"), tmp_path / "root")
    done = run("/usr/sbin/chroot", root, script, env={"PATH": "/usr/bin:/bin"})
    assert done.stdout == "it runs\n", done.stderr


# -- Debian


@pytest.mark.slow
@pytest.mark.needs("root", "mmdebstrap")
def test_debian_twice_is_one_digest_and_says_nothing_of_this_machine(debian_pair, tmp_path):
    one, other = (image_of(debian_pair / name, "debian:bookworm") for name in "ab")
    assert (one.manifest_digest, one.id) == (other.manifest_digest, other.id)
    root = unpacked(debian_pair / "a", one, tmp_path / "root")
    there = {str(path.relative_to(root)) for path in root.rglob("*")}
    gone = {"etc/hostname", "etc/resolv.conf", "etc/machine-id", "etc/apt/sources.list", "var/cache/ldconfig/aux-cache"}
    assert not there & gone and not list((root / "var/log").rglob("*.log")) and not list((root / "dev").iterdir())
    assert not list((root / "var/lib/apt/lists").glob("*_*"))
    assert max(path.lstat().st_mtime for path in root.rglob("*")) <= 1686355200
    named = run("grep", "-rIl", "-w", socket.gethostname() + "$", root / "etc", root / "var").stdout
    assert len(socket.gethostname()) < 4 or not named, named
    done = run("/usr/sbin/chroot", root, "dpkg", "--audit", env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    check_lock(debian_pair / "lock", root)


def check_lock(written: Path, root: Path) -> None:
    """Without a third build."""
    from minirun.errors import MinirunError
    from minirun.images.rootfs import debian, lock

    path = {"lock": [str(written)]}
    rows = lock.read(str(written))
    assert debian.check(rows, "bookworm", path, locked=True) == str(written)
    assert [row[:3] for row in rows] == [row[:3] for row in installed(root)]
    with pytest.raises(MinirunError, match=r"the packages are not those of lock: .* has another digest"):
        debian.check(installed(root), "bookworm", path, locked=True)


def installed(root: Path) -> list[tuple[str, str, str, str]]:
    from minirun.images.rootfs import lock

    return lock.rows((root / "var/lib/dpkg/status").read_text().splitlines(), [])


def test_without_a_name_the_recipes_are_listed():
    done = run(MINIRUN, "image", "build-rootfs")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["busybox", "debian", "host"]
    assert json.dumps(done.stderr) == '""'


WATCHED = """
import sys
from minirun.images.rootfs.debian import watched
watched(["sh", "-c", "trap 'echo cleaned > $0; exit' TERM; echo begun > $0; sleep 1000 & wait", sys.argv[1]], {})
"""


def test_a_tool_is_asked_to_end_when_the_build_is_killed(tmp_path):
    """prctl(2), PR_SET_PDEATHSIG, by setpriv(1): mmdebstrap takes down its own files and mounts."""
    require("setpriv")
    file = tmp_path / "file"
    file.touch()
    with subprocess.Popen([sys.executable, "-c", WATCHED, file], cwd=ROOT) as build_process:
        until(file, "begun\n")
        build_process.kill()
    until(file, "cleaned\n")


def until(file: Path, text: str) -> None:
    end = time.monotonic() + 10
    while file.read_text() != text:
        assert time.monotonic() < end, file.read_text()
        time.sleep(0.02)


@pytest.mark.needs("root")
def test_who_cannot_pull_busybox_is_told_of_the_recipe(tmp_path):
    words = ["--storage", tmp_path / "s", "--root", tmp_path / "r", "container", "run", "--rm"]
    done = run("unshare", "-n", MINIRUN, *words, "busybox", "true")
    assert done.returncode == 125 and "hint     minirun image build-rootfs busybox makes one" in done.stderr
    done = run("unshare", "-n", MINIRUN, *words, "debian", "true")  # the recipe's own name is of a suite
    assert "hint     minirun image build-rootfs debian -t debian:latest makes one" in done.stderr

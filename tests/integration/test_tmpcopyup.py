"""tmpcopyup: all that a directory can hold, and what is hostile in it; test_mounts.py has the plain case."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from minirun.facts import find_cgroup_root
from tests.conftest import Bundle, Runtime, run
from tests.integration.seen import ask, mounts

pytestmark = pytest.mark.needs("root", "busybox")


@pytest.fixture
def source(bundle: Bundle) -> Path:
    """A directory of the rootfs with a tmpfs on it that begins as its copy."""
    folder = bundle.rootfs / "data"
    folder.mkdir()
    bundle.config["mounts"].append(
        {"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "size=64m"]}
    )
    return folder


def test_special_files(minirun: Runtime, bundle: Bundle, source: Path) -> None:
    os.mkfifo(source / "fifo", 0o640)
    os.mknod(source / "char", 0o020604, os.makedev(1, 3))
    os.mknod(source / "block", 0o060600, os.makedev(7, 300))
    os.chown(source / "fifo", 3, 4)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(source / "socket"))
    names = ("fifo", "char", "block", "socket")
    seen = ask(minirun, bundle, *(f"stat /data/{name}" for name in names))
    assert [line.split()[:5] for line in seen] == [
        ["fifo", "0640", "3", "4", "0:0"],
        ["char", "0604", "0", "0", "1:3"],
        ["block", "0600", "0", "0", "7:300"],
        ["socket", oct((source / "socket").lstat().st_mode & 0o7777)[2:].zfill(4), "0", "0", "0:0"],
    ]


def test_attributes_and_times(minirun: Runtime, bundle: Bundle, source: Path, clean_host: None) -> None:
    """Seen from outside, through the container's root: extended attributes of every class, and nanoseconds."""
    (source / "sub").mkdir()
    for path, mode in ((source / "file", 0o4755), (source / "sub/file", 0o640), (source / "sub", 0o3770)):
        if not path.exists():
            path.write_text("x")
        os.chown(path, 11, 12)
        path.chmod(mode)
    capability = bytes.fromhex("0100000200040000000000000000000000000000")  # VFS_CAP_REVISION_2, net_bind_service
    kept = {
        source / "file": {"security.capability": capability, "trusted.t": b"\0\1"},
        source / "sub": {"trusted.long": b"v" * 3000},
    }
    for path, values in kept.items():
        for name, value in values.items():
            os.setxattr(path, name, value)
    for path in (source / "sub/file", source / "sub", source):
        os.utime(path, ns=(1_000_000_000_000_000_001, 1_100_000_000_000_000_002))
    name = minirun.start(bundle.args("/probe", "pause"))
    inside = Path(f"/proc/{minirun.state(name)['pid']}/root/data")
    for path, values in kept.items():
        copy = inside / path.relative_to(source)
        assert {key: os.getxattr(copy, key) for key in os.listxattr(copy)} == values
    for place in ("sub/file", "sub", "."):
        assert (inside / place).stat().st_mtime_ns == 1_100_000_000_000_000_002, place
    assert [oct((inside / place).stat().st_mode) for place in ("file", "sub")] == ["0o104755", "0o43770"]
    assert minirun("delete", "--force", name).returncode == 0


def test_many_and_large_and_deep(minirun: Runtime, bundle: Bundle, source: Path) -> None:
    for number in range(3000):
        (source / f"{number:05}{'n' * 100}").touch()
    (source / "sparse").write_bytes(b"")
    os.truncate(source / "sparse", 5 << 20)
    with (source / "sparse").open("r+b") as file:
        file.seek(4 << 20)
        file.write(b"here")
    deep = source.joinpath(*["d"] * 100)
    deep.mkdir(parents=True)
    (deep / ("l" * 255)).write_text("down")
    seen = ask(minirun, bundle, "ls /data", "stat /data/sparse", f"cat /data/{'d/' * 100}{'l' * 255}")
    assert len(seen[0].splitlines()) == 3002
    assert seen[1].endswith(str(5 << 20)) and seen[2] == "down"


def test_too_deep(minirun: Runtime, bundle: Bundle, source: Path, clean_host: None) -> None:
    source.joinpath(*["d"] * 200).mkdir(parents=True)
    done = minirun.run(bundle)
    assert done.returncode == 125 and "/mounts/7" in done.stderr and "-> EMLINK" in done.stderr


def test_too_large(minirun: Runtime, bundle: Bundle, source: Path, clean_host: None) -> None:
    bundle.config["mounts"][-1]["options"] = ["tmpcopyup", "size=1m"]
    (source / "file").write_bytes(b"x" * (2 << 20))
    done = minirun.run(bundle)
    assert done.returncode == 125 and "No space left" in done.stderr and "and file did not" in done.stderr


def test_a_directory_that_is_missing(minirun: Runtime, bundle: Bundle, source: Path) -> None:
    """An empty tmpfs, as under runc; and what is below another mount is copied from there."""
    source.rmdir()
    bundle.config["mounts"] += [
        {"destination": "/mnt", "type": "none", "source": "rootfs/etc", "options": ["bind", "ro"]},
        {"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "ro"]},
    ]
    seen = ask(minirun, bundle, "ls /data", "ls /mnt", "mountinfo")
    assert seen[0] == "" and seen[1].split() == ["group", "passwd"]
    assert "ro" in mounts(seen[2])["/mnt"].options


def test_in_a_user_namespace(minirun: Runtime, open_bundle: Bundle, clean_host: None) -> None:
    """Owners by the mapping; a device, which nobody may make there, is left out; so is what only the host may set."""
    linux = open_bundle.config["linux"]
    linux["namespaces"].append({"type": "user"})
    rows = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    linux.update(uidMappings=rows, gidMappings=rows)
    source = open_bundle.rootfs / "home"
    (source / "file").write_text("x")
    os.mknod(source / "null", 0o020666, os.makedev(1, 3))
    os.mkfifo(source / "fifo")
    os.setxattr(source / "file", "trusted.t", b"1")
    for path in (source, source / "file", source / "fifo"):
        os.chown(path, 100005, 100006)
    open_bundle.config["mounts"].append(
        {"destination": "/home", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}
    )
    seen = ask(minirun, open_bundle, "ls /home", "stat /home/file", "stat /home")
    assert seen[0].split() == ["fifo", "file"]
    assert [line.split()[2:4] for line in seen[1:]] == [["5", "6"]] * 2


SWAP = """
import ctypes, os, sys
exchange = ctypes.CDLL(None).renameat2
while True:
    exchange(-100, sys.argv[1].encode(), -100, sys.argv[2].encode(), 2)
"""


@pytest.mark.parametrize("kinds", ["file and link", "directory and link", "file and fifo", "file and directory"])
def test_swapped_while_it_is_copied(
    minirun: Runtime, bundle: Bundle, source: Path, clean_host: None, kinds: str
) -> None:
    """Nothing of the host is ever copied in, nothing hangs; a run that meets the swap may fail, and says so."""
    secret = bundle.path / "secret"
    secret.mkdir()
    (secret / "s").write_text("SECRET")
    makers = {
        "file": lambda path: path.write_text("own"), "fifo": os.mkfifo,
        "link": lambda path: path.symlink_to(secret if "directory" in kinds else secret / "s"),
        "directory": lambda path: path.mkdir() or (path / "s").write_text("own"),
    }  # fmt: skip
    for name, kind in zip(("a", "b"), kinds.split(" and "), strict=True):
        makers[kind](source / name)
    swapper = subprocess.Popen(["python3", "-c", SWAP, source / "a", source / "b"])
    try:
        for _ in range(12):
            script = "for f in /data/* /data/*/*; do [ -f $f ] && [ ! -L $f ] && cat $f; done; true"
            done = minirun.run(bundle.args("/bin/sh", "-c", script), timeout=20)
            assert "SECRET" not in done.stdout
            assert done.returncode in (0, 125), done.stderr
    finally:
        swapper.kill()
        swapper.wait()


@pytest.mark.needs("runc")
def test_like_runc(minirun: Runtime, bundle: Bundle, source: Path) -> None:
    """The same listing: kinds, modes, owners, where links lead.  (At a device or a fifo runc 1.1 fails.)"""
    (source / "d/e").mkdir(parents=True)
    (source / "d/f").write_text("f" * 70000)
    (source / "d/link").symlink_to("../../etc")
    os.chown(source / "d", 5, 6)
    source.chmod(0o1751)
    bundle.args("/bin/busybox", "find", "/data", "-exec", "/bin/busybox", "stat", "-c", "%n %F %a %u %g %N", "{}", ";")
    seen = []
    for program in ("runc", minirun.program):
        words = ("--root", bundle.path / "state", "run", "-b", bundle.write(), minirun.name())
        script = 'mount --make-rprivate /; mount --bind "$1" /sys/fs/cgroup; shift; exec "$@"'
        done = run("unshare", "-m", "sh", "-ec", script, "sh", find_cgroup_root(), program, *words)
        assert done.returncode == 0, done.stderr
        seen.append(sorted(done.stdout.splitlines()))
    assert seen[0] == seen[1]

"""Where mounts go: links in a destination, what is missing, the rootfs itself; as under runc."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from minirun.facts import find_cgroup_root
from tests.conftest import MINIRUN, Bundle, Json, Runtime, run
from tests.integration.seen import ask, mounts

pytestmark = pytest.mark.needs("root", "busybox")


def add(bundle: Bundle, destination: str, *options: str, source: Path | str = "tmpfs", kind: str = "tmpfs") -> None:
    entry: Json = {"destination": destination, "type": kind, "source": str(source), "options": list(options)}
    bundle.config["mounts"].append(entry)


def link(bundle: Bundle, name: str, target: str) -> None:
    path = bundle.rootfs / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def absolute(bundle: Bundle) -> str:
    link(bundle, "l", "/made/here")
    return "/l"


def relative(bundle: Bundle) -> str:
    link(bundle, "etc/l", "../made/here")
    return "/etc/l"


def in_the_middle(bundle: Bundle) -> str:
    link(bundle, "var/run", "/run")
    return "/var/run/x/y"


def chain(bundle: Bundle) -> str:
    link(bundle, "a", "b/c")
    link(bundle, "b", "/srv/b")
    link(bundle, "srv/b", "../home/none")
    return "/a"


def half_there(bundle: Bundle) -> str:
    link(bundle, "l", "home/x")
    return "/l/y"


def climbing(bundle: Bundle) -> str:
    link(bundle, "l", "../../../../../../../../tmp/../made")
    return "/l/z"


def to_the_root(bundle: Bundle) -> str:
    link(bundle, "l", "/")
    return "/l/made"


def there(bundle: Bundle) -> str:
    link(bundle, "l", "/home")
    return "/l"


def dots(bundle: Bundle) -> str:
    return "home//../home/./a/../b"


Way = Callable[[Bundle], str]
WAYS: dict[Way, str] = {
    absolute: "/made/here", relative: "/made/here", in_the_middle: "/run/x/y", chain: "/home/none/c",
    half_there: "/home/x/y", climbing: "/made/z", to_the_root: "/made", there: "/home", dots: "/home/b",
}  # fmt: skip


@pytest.mark.parametrize("kind", ["tmpfs", "directory", "file"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_links_lead_where_they_would_inside(
    minirun: Runtime, bundle: Bundle, clean_host: None, way: Way, kind: str
) -> None:
    destination = way(bundle)
    if kind == "tmpfs":
        add(bundle, destination)
    elif kind == "directory" or way is there:
        add(bundle, destination, "bind", source=bundle.rootfs / "etc", kind="none")
    else:
        add(bundle, destination, "bind", source=bundle.rootfs / "etc/group", kind="none")
    assert WAYS[way] in mounts(ask(minirun, bundle, "mountinfo")[0])


PURE_V2 = 'mount --make-rprivate /; mount --bind "$1" /sys/fs/cgroup; shift; exec "$@"'


@pytest.mark.needs("runc")
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_like_runc(bundle: Bundle, clean_host: None, way: Way) -> None:
    """The same target, and the same made in the rootfs on the way."""
    add(bundle, way(bundle), "size=64k")
    bundle.args("/probe", "mountinfo")
    seen = []
    for program in ("runc", MINIRUN):
        before = {path for path in bundle.rootfs.rglob("*") if not path.is_symlink()}
        name = f"t-{uuid.uuid4().hex[:12]}"
        words = ("--root", bundle.path / "state", "run", "-b", bundle.write(), name)
        done = run("unshare", "-m", "sh", "-ec", PURE_V2, "sh", find_cgroup_root(), program, *words)
        assert done.returncode == 0, done.stderr
        made = sorted({path for path in bundle.rootfs.rglob("*") if not path.is_symlink()} - before)
        targets = [target for target, mount in mounts(done.stdout).items() if "size=64k" in mount.superblock]
        seen.append((targets, [(path, path.stat().st_mode) for path in made if "/proc/" not in str(path)]))
        for path in reversed(made):
            path.rmdir() if path.is_dir() else path.unlink()
    assert seen[0] == seen[1] and seen[1][0] == [WAYS[way]]


@pytest.mark.parametrize("kind", ["tmpfs", "none"])
@pytest.mark.parametrize("target", ["l", "/l", "m", "missing/../x"])
def test_links_that_lead_nowhere(minirun: Runtime, bundle: Bundle, clean_host: None, target: str, kind: str) -> None:
    """In a circle, of one or two; and above what is not there, which openat2(2) cannot resolve either."""
    link(bundle, "l", target)
    link(bundle, "m", "l")
    add(bundle, "/l", "bind" if kind == "none" else "rw", source=bundle.rootfs / "etc", kind=kind)
    done = minirun.run(bundle)
    assert done.returncode == 125 and "-> ELOOP" in done.stderr and "/mounts/7" in done.stderr
    assert "hint" in done.stderr


@pytest.mark.parametrize("target", ["/canary/new", "../../../../../../../../../canary/new", "/proc/1/root/canary/new"])
@pytest.mark.parametrize("kind", ["tmpfs", "directory", "file"])
def test_dangling_links_are_made_inside(
    minirun: Runtime, bundle: Bundle, clean_host: None, target: str, kind: str
) -> None:
    """A link to a place that only the host has is dangling inside: the host's stays as it is."""
    canary = bundle.path / "canary"
    canary.mkdir()
    link(bundle, "l", target.replace("/canary", str(canary)))
    source = bundle.rootfs / ("etc" if kind == "directory" else "etc/group")
    add(bundle, "/l", "rw" if kind == "tmpfs" else "bind", source=source, kind="tmpfs" if kind == "tmpfs" else "none")
    done = minirun.run(bundle.args("/probe", "mountinfo"))
    assert list(canary.iterdir()) == []
    if not target.startswith("/proc"):
        assert f"{canary}/new" in mounts(done.stdout), done.stderr


# -- over the rootfs itself, and nested -------------------------------------------------------------------------------


def test_a_mount_over_the_rootfs_is_the_rootfs(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """What comes later goes into it, the program is its, and what was below is out of reach."""
    other = bundle.path / "other"
    bundle.rootfs.rename(other)
    bundle.rootfs.mkdir()
    bundle.config["mounts"].insert(0, {"destination": "/", "type": "bind", "source": "other", "options": ["rbind"]})
    bundle.config["root"]["readonly"] = True
    add(bundle, "/home/x", "size=64k")
    seen = ask_with_mark(minirun, bundle, other, "mountinfo", "openrw /etc/passwd", "ls /home")
    found = mounts(seen[0])
    assert found["/"].root.endswith("/other") and "/home/x" in found
    assert seen[1:] == ["EROFS", "x"]
    assert list(bundle.rootfs.iterdir()) == []


def ask_with_mark(minirun: Runtime, bundle: Bundle, root: Path, *asked: str) -> list[str]:
    real, bundle.rootfs = bundle.rootfs, root
    try:
        return ask(minirun, bundle, *asked)
    finally:
        bundle.rootfs = real


def test_a_tmpfs_over_the_rootfs_with_a_copy(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """A rootfs that may be written to and forgets."""
    for name in ("proc", "sys", "dev"):
        (bundle.rootfs / name).mkdir(exist_ok=True)
    bundle.config["mounts"].insert(0, {"destination": "/", "type": "tmpfs", "source": "none", "options": ["tmpcopyup"]})
    bundle.config["root"]["readonly"] = False
    seen = ask(minirun, bundle, "write /etc/new x", "cat /etc/new", "mountinfo")
    assert seen[1] == "x" and mounts(seen[2])["/"].fstype == "tmpfs"
    assert not (bundle.rootfs / "etc/new").exists()


@pytest.mark.parametrize("flag", [[], ["--no-pivot"]])
def test_over_the_rootfs_without_pivot(minirun: Runtime, bundle: Bundle, clean_host: None, flag: list[str]) -> None:
    other = bundle.path / "other"
    bundle.rootfs.rename(other)
    bundle.rootfs.mkdir()
    bundle.config["mounts"].insert(0, {"destination": "/", "type": "bind", "source": "other", "options": ["rbind"]})
    done = minirun.run(bundle.args("/probe", "stat", "/etc/passwd"), *flag)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("file")


def test_mounts_in_mounts(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """A target below an earlier mount is made in that mount, also through a link in it; a read-only one stays so."""
    tree = bundle.path / "tree"
    (tree / "in").mkdir(parents=True)
    (tree / "l").symlink_to("/home/through")
    add(bundle, "/home", "mode=755")
    add(bundle, "/mnt", "rbind", source=tree, kind="none")
    add(bundle, "/mnt/l/deep", "size=64k")
    add(bundle, "/mnt/in", "ro")
    found = mounts(ask(minirun, bundle, "mountinfo")[0])
    assert {"/home", "/mnt", "/home/through/deep", "/mnt/in"} <= set(found)
    assert "ro" in found["/mnt/in"].options and not (bundle.rootfs / "home/through").exists()


def test_names_at_their_limits(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    add(bundle, "/home/" + "n" * 255)
    add(bundle, "/home/" + "/".join(["d" * 200] * 15))
    assert len(mounts(ask(minirun, bundle, "mountinfo")[0])) > 8
    add(bundle, "/home/" + "n" * 256)
    done = minirun.run(bundle)
    assert done.returncode == 125 and "-> ENAMETOOLONG" in done.stderr


def test_modes_of_what_is_made(minirun: Runtime, bundle: Bundle) -> None:
    old = os.umask(0o077)
    try:
        add(bundle, "/new/dir")
        add(bundle, "/new/file", "bind", source=bundle.rootfs / "etc/group", kind="none")
        minirun.output(bundle, "/probe", "pid")
    finally:
        os.umask(old)
    modes = [oct((bundle.rootfs / name).stat().st_mode & 0o777) for name in ("new", "new/dir", "new/file")]
    assert modes == ["0o755", "0o755", "0o644"]

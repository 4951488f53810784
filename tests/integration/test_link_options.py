"""crun's options about links: copy-symlink, src-nofollow, dest-nofollow (crun.1), and what sources can be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import Bundle, Json, Runtime
from tests.integration.seen import ask, mounts

pytestmark = pytest.mark.needs("root", "busybox")


def add(bundle: Bundle, source: Path | str, destination: str, *options: str) -> None:
    entry: Json = {"destination": destination, "type": "none", "source": str(source), "options": ["bind", *options]}
    bundle.config["mounts"].append(entry)


@pytest.fixture
def link(bundle: Bundle) -> Path:
    """On the host a link to a file that is there; inside it would lead elsewhere."""
    (bundle.path / "target").write_text("the host's")
    path = bundle.path / "link"
    path.symlink_to("target")
    return path


def test_by_default_a_link_is_followed(minirun: Runtime, bundle: Bundle, link: Path) -> None:
    add(bundle, link, "/home/x")
    assert ask(minirun, bundle, "cat /home/x", "stat /home/x")[0] == "the host's"


def test_copy_symlink(minirun: Runtime, bundle: Bundle, link: Path, clean_host: None) -> None:
    """The link is made again, its directory with it; a second time it is there already; a file is bound as ever."""
    add(bundle, link, "/new/x", "copy-symlink")
    add(bundle, bundle.path / "target", "/new/target", "copy-symlink")
    for _ in range(2):
        seen = ask(minirun, bundle, "readlink /new/x", "cat /new/x", "mountinfo")
        assert seen[:2] == ["target", "the host's"]
        assert "/new/x" not in mounts(seen[2]) and "/new/target" in mounts(seen[2])


@pytest.mark.parametrize("there", ["file", "directory", "other link"])
def test_copy_symlink_replaces_nothing(
    minirun: Runtime, bundle: Bundle, link: Path, clean_host: None, there: str
) -> None:
    path = bundle.rootfs / "x"
    if there == "file":
        path.write_text("")
    elif there == "directory":
        path.mkdir()
    else:
        path.symlink_to("target/")
    add(bundle, link, "/x", "copy-symlink")
    done = minirun.run(bundle)
    assert done.returncode == 125 and "-> EEXIST" in done.stderr and "/mounts/7" in done.stderr


def test_copy_symlink_stays_inside(minirun: Runtime, bundle: Bundle, link: Path, clean_host: None) -> None:
    """The directory that it goes into may be a link of the image's."""
    outside = bundle.path / "outside"
    outside.mkdir()
    (bundle.rootfs / "l").symlink_to(outside)
    add(bundle, link, "/l/x", "copy-symlink")
    ask(minirun, bundle, "pid")
    assert list(outside.iterdir()) == [] and (bundle.rootfs / str(outside)[1:] / "x").is_symlink()


def test_src_nofollow(minirun: Runtime, bundle: Bundle, link: Path, clean_host: None) -> None:
    """The link itself is what is bound, and it is followed inside."""
    (bundle.rootfs / "home/target").write_text("the container's")
    add(bundle, link, "/home/x", "src-nofollow")
    seen = ask(minirun, bundle, "readlink /home/x", "cat /home/x", "mountinfo")
    assert seen[:2] == ["target", "the container's"]
    assert mounts(seen[2])["/home/x"].root.endswith("/link")


def test_dest_nofollow(minirun: Runtime, bundle: Bundle, link: Path, clean_host: None) -> None:
    """The target's link is covered, and what it leads to is not."""
    (bundle.rootfs / "home/real").write_text("real")
    (bundle.rootfs / "home/l").symlink_to("real")
    add(bundle, bundle.path / "target", "/home/l", "dest-nofollow")
    seen = ask(minirun, bundle, "cat /home/l", "cat /home/real", "mountinfo")
    assert seen[:2] == ["the host's", "real"]
    assert "/home/l" in mounts(seen[2]) and "/home/real" not in mounts(seen[2])


def test_both(minirun: Runtime, bundle: Bundle, link: Path, clean_host: None) -> None:
    (bundle.rootfs / "home/l").symlink_to("real")
    (bundle.rootfs / "home/missing").symlink_to("/home/made")
    add(bundle, link, "/home/l", "src-nofollow", "dest-nofollow")
    add(bundle, bundle.path / "target", "/home/none", "dest-nofollow")
    add(bundle, bundle.path / "target", "/home/missing", "dest-nofollow")
    seen = ask(minirun, bundle, "readlink /home/l", "cat /home/none", "cat /home/missing", "ls /home")
    assert seen == ["target", "the host's", "the host's", "l\nmissing\nnone"]


# -- sources that are no files ----------------------------------------------------------------------------------------


def test_a_source_through_a_descriptor(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """The caller's descriptors are not init's, and one of the host's mounts is not of its namespace."""
    fd = os.open(bundle.path, os.O_RDONLY)
    os.dup2(fd, 200)
    try:
        add(bundle, "/proc/self/fd/200", "/home")
        assert "-> ENOENT" in minirun.run(bundle, pass_fds=(200,)).stderr
        bundle.config["mounts"][-1]["source"] = f"/proc/{os.getpid()}/fd/200"
        done = minirun.run(bundle)
        assert done.returncode == 125 and "open_tree(2) -> EINVAL" in done.stderr, done.stderr
    finally:
        os.close(fd)
        os.close(200)


def test_a_device_as_a_source(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """Bound with nodev it is there and cannot be opened."""
    add(bundle, "/dev/zero", "/home/zero")
    add(bundle, "/dev/zero", "/home/closed", "nodev")
    seen = ask(minirun, bundle, "stat /home/zero", "openrw /home/zero", "openrw /home/closed")
    assert seen[0].split()[4] == "1:5" and seen[1:] == ["ok", "EACCES"]


def test_a_fifo_is_never_opened(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """As a source, in the place of a target, and of a directory on the way: nothing waits for a writer."""
    os.mkfifo(bundle.path / "fifo")
    os.mkfifo(bundle.rootfs / "fifo")
    add(bundle, bundle.path / "fifo", "/fifo")
    assert ask(minirun, bundle, "stat /fifo")[0].startswith("fifo")
    for destination, kind in (("/fifo/x", "tmpfs"), ("/fifo", "tmpfs")):
        bundle.config["mounts"][-1] = {"destination": destination, "type": kind, "source": "none"}
        done = minirun.run(bundle, timeout=20)
        assert done.returncode == 125 and "-> ENOTDIR" in done.stderr and "hint" in done.stderr, done.stderr

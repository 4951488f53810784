"""Attacks on mounts by somebody who shares a volume or the rootfs: names that change while minirun looks at them.

What must hold: nothing outside the rootfs is mounted on, made, written or shown, whatever the swap does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Bundle, Json, Runtime
from tests.integration.seen import mounts
from tests.integration.test_attacks_rootfs import Swapper, picture, refused_or_inside

pytestmark = pytest.mark.needs("root", "busybox")

RUNS = 8


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host: it must stay as it is, and nothing may be mounted on it."""
    cage = tmp_path / "canary"
    (cage / "new").mkdir(parents=True)
    (cage / "file").write_text("SECRET")
    before = picture(cage), Path("/proc/self/mountinfo").read_text().count(str(cage))
    yield cage
    assert (picture(cage), Path("/proc/self/mountinfo").read_text().count(str(cage))) == before


@pytest.fixture
def volume(bundle: Bundle, tmp_path: Path) -> Path:
    """A volume that another container may write to, bound on /vol."""
    folder = tmp_path / "volume"
    folder.mkdir()
    bundle.config["mounts"].append({"destination": "/vol", "source": str(folder), "options": ["rbind"]})
    return folder


ENTRIES: dict[str, Json] = {
    "tmpfs": {"type": "tmpfs", "source": "own", "options": ["size=64k"]},
    "copy": {"type": "tmpfs", "source": "own", "options": ["tmpcopyup"]},
    "directory": {"source": "rootfs/etc", "options": ["bind"]},
    "file": {"source": "config.json", "options": ["bind"]},
    "nofollow": {"source": "config.json", "options": ["bind", "dest-nofollow"]},
    "link": {"source": "link", "options": ["bind", "copy-symlink"]},
    "mapped": {
        "source": "config.json", "options": ["bind"],
        "uidMappings": [{"containerID": 0, "hostID": 5, "size": 9}],
        "gidMappings": [{"containerID": 0, "hostID": 5, "size": 9}],
    },
}  # fmt: skip


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("where", ["in the middle", "last", "dangling"])
def test_a_target_in_a_shared_volume(
    minirun: Runtime, bundle: Bundle, volume: Path, canary: Path, clean_host: None, where: str, entry: str
) -> None:
    """Directory and link change places below /vol: in the middle of a destination, at its end, and leading nowhere."""
    (bundle.path / "link").symlink_to("/etc")
    real, trap = volume / "x", volume / "y"
    real.mkdir()
    climb = "../" * 20
    trap.symlink_to(climb + str(canary)[1:] + ("/missing" if where == "dangling" else ""))
    destination = "/vol/x" if where == "last" else "/vol/x/new/z"
    bundle.config["mounts"].append({"destination": destination, **ENTRIES[entry]})
    bundle.args("/probe", "mountinfo")
    with Swapper(real, trap) as swapper:
        for _ in range(RUNS):
            done = refused_or_inside(minirun, bundle)
            if done.returncode == 0 and entry != "link":
                made = [
                    target for target, mount in mounts(done.stdout).items() if target.startswith(("/vol/", str(canary)))
                ]
                assert made, done.stdout
    assert swapper.count > 10


@pytest.mark.parametrize("kind", ["masked", "readonly", "remount"])
def test_a_path_that_is_swapped(
    minirun: Runtime, bundle: Bundle, volume: Path, canary: Path, clean_host: None, kind: str
) -> None:
    (volume / "x").mkdir()
    (volume / "x/file").write_text("own")
    (volume / "y").symlink_to("../" * 20 + str(canary)[1:])
    linux = bundle.config["linux"]
    if kind == "remount":
        bundle.config["mounts"].append({"destination": "/vol/x", "options": ["remount", "ro"], "type": "none"})
    else:
        linux[f"{kind}Paths"] = ["/vol/x", "/vol/x/file"]
    bundle.args("/bin/sh", "-c", "cat /vol/x/file /vol/y/file; true")
    with Swapper(volume / "x", volume / "y"):
        for _ in range(RUNS):
            done = refused_or_inside(minirun, bundle)
            assert "SECRET" not in done.stdout


def test_a_source_that_is_swapped_while_its_reach_is_judged(
    minirun: Runtime, open_bundle: Bundle, open_place: Path, clean_host: None
) -> None:
    """The host binds what a mapped root cannot reach; it binds what it judged, not what has the name by then.

    ``x`` is a directory that the container's root may reach, ``y`` a link to one that it may not; the link is the
    bundle's own word, so either may be bound, but never with the rights of one and the contents of the other half.
    """
    rows = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    open_bundle.config["linux"].update(uidMappings=rows, gidMappings=rows)
    open_bundle.config["linux"]["namespaces"].append({"type": "user"})
    closed = open_place / "closed"
    closed.mkdir(mode=0o700)
    for folder in (open_place / "x", closed / "z"):
        folder.mkdir()
        (folder / "name").write_text(folder.name)
    (open_place / "y").symlink_to(closed / "z")
    entry = {"destination": "/home", "source": str(open_place / "x"), "options": ["bind"]}
    open_bundle.config["mounts"].append(entry)
    open_bundle.args("/probe", "cat", "/home/name")
    seen = set()
    with Swapper(open_place / "x", open_place / "y"):
        for _ in range(RUNS):
            done = refused_or_inside(minirun, open_bundle)
            seen.add(done.stdout or "refused")
    assert seen <= {"x", "z", "refused"}


def test_the_kinds_change(minirun: Runtime, bundle: Bundle, volume: Path, canary: Path, clean_host: None) -> None:
    """A fifo, a socket, a device in the place of a target: refused or mounted on, never opened."""
    os.mkfifo(volume / "x")
    os.mknod(volume / "y", 0o020666, os.makedev(1, 3))
    for options in (["bind"], ["bind", "dest-nofollow"]):
        bundle.config["mounts"].append({"destination": "/vol/x", "source": "config.json", "options": options})
    bundle.config["mounts"].append({"destination": "/vol/x", "type": "tmpfs", "source": "own"})
    with Swapper(volume / "x", volume / "y"):
        for _ in range(RUNS):
            done = refused_or_inside(minirun, bundle)
            assert done.returncode == 125 and "-> ENOTDIR" in done.stderr

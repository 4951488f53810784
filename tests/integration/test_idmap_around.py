"""Id-mapped mounts: what is mounted below and around them, and file systems of all kinds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Bundle, Runtime, run
from tests.integration.mapping import add, in_a_mount_namespace, owners
from tests.integration.seen import ask, mounts

pytestmark = pytest.mark.needs("root", "busybox")


# -- what is below, and around -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("word", "below"), [("idmap", "65534 65534"), ("ridmap", "0 0")])
def test_mounts_below(
    minirun: Runtime,
    mapped: Bundle,
    volume: Path,
    clean_host: None,
    word: str,
    below: str,
) -> None:
    (volume / "sub").mkdir()
    add(mapped, volume, "/home", "rbind", word)
    mapped.args("/probe", "stat", "/home/root", "--", "stat", "/home/sub")
    words = (minirun.program, "--root", minirun.root, "run", "-b", mapped.write(), minirun.name())
    done = in_a_mount_namespace('mount -t tmpfs none "$1"; shift; exec "$@"', volume / "sub", *words)
    assert [owners(line) for line in done.stdout.splitlines()] == ["0 0", below], done.stderr


@pytest.mark.parametrize(("word", "shown"), [("", "master"), ("rprivate", ""), ("rslave", "master")])
def test_a_shared_source_stays_the_hosts(
    minirun: Runtime, mapped: Bundle, volume: Path, clean_host: None, word: str, shown: str
) -> None:
    """As with any other bind: a slave of the host's mount, so that nothing mounted inside appears outside."""
    add(mapped, volume, "/home", "rbind", "idmap", *([word] if word else []))
    mapped.args("/probe", "mountinfo")
    words = (minirun.program, "--root", minirun.root, "run", "-b", mapped.write(), minirun.name())
    done = in_a_mount_namespace('mount --bind "$1" "$1"; mount --make-shared "$1"; shift; exec "$@"', volume, *words)
    assert " ".join(mounts(done.stdout)["/home"].propagation) == shown, done.stderr


# -- other file systems --------------------------------------------------------------------------------------------


def test_a_new_tmpfs(minirun: Runtime, mapped: Bundle, clean_host: None) -> None:
    """It belongs to the host's root; its files to the container's, by the mapping."""
    add(mapped, "tmpfs", "/tmp", "idmap", "mode=755", "size=64k", "nodev", type="tmpfs")
    add(mapped, "tmpfs", "/home", "idmap", "tmpcopyup", "ro", type="tmpfs")
    (mapped.rootfs / "home/f").write_text("copied")
    os.chown(mapped.rootfs / "home", 100000, 100000)
    os.chown(mapped.rootfs / "home/f", 100000, 100001)
    seen = ask(
        minirun, mapped, "stat /tmp", "write /tmp/x y", "stat /tmp/x", "mountinfo", "stat /home/f", "cat /home/f"
    )
    assert [owners(seen[i]) for i in (0, 2, 4)] == ["0 0", "0 0", "0 1"] and seen[5] == "copied"
    found = mounts(seen[3])
    assert {"idmapped", "nodev"} <= found["/tmp"].options and "size=64k" in found["/tmp"].superblock
    assert {"idmapped", "ro"} <= found["/home"].options


@pytest.fixture
def disk(open_place: Path) -> Iterator[Path]:
    """An ext4 on a loop device, with a file of 5:6."""
    tree, image = open_place / "tree", open_place / "image"
    tree.mkdir()
    (tree / "five").write_text("on ext4")
    os.chown(tree / "five", 5, 6)
    with image.open("wb") as file:
        file.truncate(4 << 20)
    made = run("mkfs.ext4", "-q", "-d", tree, image)
    attached = run("losetup", "--find", "--show", image)
    if made.returncode or attached.returncode:
        pytest.skip(f"no ext4 on a loop device: {made.stderr}{attached.stderr}")
    yield Path(attached.stdout.strip())
    run("losetup", "-d", attached.stdout.strip())


def test_a_block_device_in_a_user_namespace(minirun: Runtime, mapped: Bundle, disk: Path, clean_host: None) -> None:
    """The container itself may not mount it; the host may, for it."""
    add(mapped, disk, "/home", "idmap", "ro", type="ext4")
    seen = ask(minirun, mapped, "stat /home/five", "cat /home/five", "mountinfo")
    assert (owners(seen[0]), seen[1]) == ("5 6", "on ext4")
    assert mounts(seen[2])["/home"].fstype == "ext4"


@pytest.mark.parametrize("word", ["idmap", "ridmap"])
def test_an_overlay_takes_no_mapping(
    minirun: Runtime, mapped: Bundle, volume: Path, clean_host: None, word: str
) -> None:
    """With ridmap it is enough that one is mounted below."""
    (volume / "sub").mkdir()
    add(mapped, volume if word == "ridmap" else volume / "sub", "/home", "rbind", word)
    words = (minirun.program, "--root", minirun.root, "run", "-b", mapped.write(), minirun.name())
    script = 'mount -t overlay none -o "lowerdir=$1:/etc" "$1"; shift; exec "$@"'
    done = in_a_mount_namespace(script, volume / "sub", *words)
    assert done.returncode == 125
    assert "host, mount_setattr(2) -> EINVAL" in done.stderr and "does not take id mappings" in done.stderr

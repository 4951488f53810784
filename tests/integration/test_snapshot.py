"""Snapshots: the merged tree mounted and gone again, what changed in it, and the layer that is made of that."""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun.errors import MinirunError
from minirun.images import snapshot as snapshots
from minirun.images.changes import changes
from minirun.images.compose import image_from
from minirun.images.layers import Layers
from minirun.images.pack import pack
from minirun.images.snapshot import Snapshot
from minirun.images.store import Images
from minirun.images.tree import remove_tree
from tests.integration.making import image, unpacked

pytestmark = pytest.mark.needs("root")
BASE = [
    ("dir", "etc", b"", {"mtime": 1_500_000_000}), ("file", "etc/passwd", b"root\n"), ("file", "etc/motd", b"hello\n"),
    ("dir", "usr"), ("dir", "usr/lib"), ("file", "usr/lib/a", b"a"), ("file", "usr/lib/b", b"b"),
    ("dir", "var"), ("dir", "var/cache"), ("file", "var/cache/x", b"x"), ("link", "lib", "usr/lib"),
]  # fmt: skip
TOP = [("file", "etc/.wh.motd"), ("file", "etc/hosts", b"127.0.0.1\n")]


class Mounted:
    """A snapshot on a directory, unmounted in the end."""

    def __init__(self, place: Path, lowers: list[Path], **more: object) -> None:
        self.snapshot = Snapshot(str(place / "c"), [str(path) for path in lowers], **more)  # type: ignore[arg-type]
        self.root = place / "c" / "rootfs"
        self.snapshot.prepare()

    def mount(self) -> Path:
        self.snapshot.mount(str(self.root))
        return self.root

    def unmount(self) -> None:
        self.snapshot.unmount(str(self.root))


@pytest.fixture
def lowers(tmp_path: Path) -> list[Path]:
    return unpacked(tmp_path, BASE, TOP)


@pytest.fixture
def mounted(tmp_path: Path, lowers: list[Path]) -> Iterator[Mounted]:
    made = Mounted(tmp_path, lowers)
    yield made
    made.unmount()


def mounts_below(path: Path) -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(path) in line]


def test_merged_private_and_gone(mounted: Mounted, tmp_path: Path) -> None:
    root = mounted.mount()
    assert sorted(os.listdir(root / "etc")) == ["hosts", "passwd"]
    (line,) = mounts_below(tmp_path)
    assert " shared:" not in line and "redirect_dir=nofollow" in line
    (root / "etc/passwd").write_text("changed\n")
    mounted.unmount()
    mounted.unmount()
    assert not mounts_below(tmp_path)
    assert (Path(mounted.snapshot.upper) / "etc/passwd").read_text() == "changed\n"
    assert (mounted.mount() / "etc/passwd").read_text() == "changed\n"
    mounted.unmount()
    mounted.snapshot.remove()
    assert os.listdir(tmp_path / "c") == ["rootfs"]


def test_busy_is_no_reason_to_stay(mounted: Mounted, tmp_path: Path) -> None:
    with open(mounted.mount() / "etc/passwd") as file:
        mounted.unmount()
        assert not mounts_below(tmp_path)
        assert file.read() == "root\n"


def test_ephemeral(tmp_path: Path, lowers: list[Path]) -> None:
    made = Mounted(tmp_path, lowers, ephemeral=True, size=1 << 20)
    try:
        root = made.mount()
        (root / "new").write_text("x")
        assert ("A", "/new") in changes(made.snapshot)
        with pytest.raises(OSError, match="No space left"):
            (root / "big").write_bytes(bytes(2 << 20))
    finally:
        made.unmount()
    assert not mounts_below(tmp_path)
    made.mount()
    assert not (root / "new").exists()
    made.unmount()
    made.snapshot.remove()


def test_what_cannot_be_had_is_refused(tmp_path: Path, lowers: list[Path]) -> None:
    with pytest.raises(MinirunError, match="overlayfs has no quota"):
        Mounted(tmp_path, lowers, size=1 << 20)
    with pytest.raises(MinirunError, match="root file system of 501 layers"):
        Mounted(tmp_path, lowers[:1] * 501)
    with pytest.raises(MinirunError, match="cannot take a path with one of"):
        Mounted(tmp_path / "a:b", lowers).mount()
    assert not mounts_below(tmp_path)


@pytest.mark.parametrize("way", ["one by one", "by page"])
def test_a_hundred_and_thirty_layers(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "one_by_one", lambda: way == "one by one")
    lowers = unpacked(
        tmp_path, *[[("file", f"f{number}", b""), ("file", "last", b"%d" % number)] for number in range(130)]
    )
    made = Mounted(tmp_path, lowers)
    here = os.getcwd()
    try:
        root = made.mount()
        assert len(os.listdir(root)) == 131
        assert (root / "last").read_text() == "129"
        (root / "new").write_text("x")
        (line,) = mounts_below(tmp_path)
        assert " shared:" not in line
    finally:
        made.unmount()
    assert os.getcwd() == here
    assert sorted(os.listdir(tmp_path / "c")) == ["rootfs", "upper", "work"]


def test_ids_are_mapped_and_layers_shared(tmp_path: Path) -> None:
    """In the container's user namespace 0 is 0; on the disk, too; in between it is 100000."""
    lowers = unpacked(tmp_path, [("file", "root", b""), ("file", "seven", b"", {"uid": 7, "gid": 8})])
    maps = ("0 100000 65536\n", "0 200000 65536\n")
    made = Mounted(tmp_path, lowers, maps=maps)
    try:
        root = made.mount()
        is_ = (root / "seven").stat()
        assert (is_.st_uid, is_.st_gid, (root / "root").stat().st_uid) == (100007, 200008, 100000)
        os.chown(root / "seven", 100001, 200001)
        assert len(mounts_below(tmp_path)) == 1, "the mapped layers are not left in the tree"
    finally:
        made.unmount()
    on_disk = (Path(made.snapshot.upper) / "seven").stat()
    assert (on_disk.st_uid, on_disk.st_gid) == (1, 1)
    assert (lowers[0] / "seven").stat().st_uid == 7
    assert not (tmp_path / "c/mapped").exists()


def test_in_the_form_for_user_namespaces(tmp_path: Path) -> None:
    """user.overlay.opaque in place of trusted.overlay.opaque; whiteouts are devices all the same (Linux 5.8)."""
    images = Images(str(tmp_path))
    made = image(
        images, BASE,
        [("file", "etc/.wh.motd"), ("dir", "usr/lib"), ("file", "usr/lib/.wh..wh..opq"), ("file", "usr/lib/z")],
    )  # fmt: skip
    lowers = Layers(str(tmp_path), userxattr=True).ensure(images, made)
    assert os.listxattr(f"{lowers[0]}/usr/lib") == ["user.overlay.opaque"]
    mounted = Mounted(tmp_path, [Path(path) for path in lowers], userxattr=True)
    try:
        root = mounted.mount()
        assert os.listdir(root / "etc") == ["passwd"] and os.listdir(root / "usr/lib") == ["z"]
        remove_tree(str(root / "var/cache"))
        (root / "var/cache").mkdir()
        assert [" ".join(row) for row in changes(mounted.snapshot)] == ["C /var", "C /var/cache", "D /var/cache/x"]
    finally:
        mounted.unmount()


def edit(root: Path) -> None:
    """What a container might do."""
    (root / "etc/passwd").write_text("other\n")
    (root / "etc/hosts").unlink()
    (root / "usr/lib/a").unlink()
    (root / "usr/lib/c").write_text("c")
    os.link(root / "usr/lib/c", root / "usr/lib/d")
    remove_tree(str(root / "var/cache"))
    (root / "var/cache").mkdir()
    (root / "var/cache/y").write_text("y")
    (root / "new").mkdir()
    (root / "new/deep").mkdir()
    os.setxattr(root / "new", "user.colour", b"green")
    (root / "lib2").symlink_to("lib")
    (root / "proc").mkdir()
    (root / "etc/hostname").touch()


CHANGED = """C /etc|D /etc/hosts|C /etc/passwd|A /lib2|A /new|A /new/deep|C /usr|C /usr/lib|D /usr/lib/a|A /usr/lib/c
A /usr/lib/d|C /var|C /var/cache|D /var/cache/x|A /var/cache/y""".replace("\n", "|").split("|")  # fmt: skip
TARGETS = ("/proc", "/etc/hostname")


def test_what_changed(mounted: Mounted) -> None:
    root = mounted.mount()
    assert changes(mounted.snapshot) == []
    assert (root / "usr/lib/b").read_text() == "b"
    os.chmod(root / "usr/lib", 0o755)  # copied up, and the same: no change
    assert changes(mounted.snapshot) == []
    edit(root)
    assert [" ".join(row) for row in changes(mounted.snapshot, TARGETS)] == CHANGED
    assert {("A", "/proc"), ("A", "/etc/hostname")} <= set(changes(mounted.snapshot))


def picture(root: Path) -> dict[str, tuple[object, ...]]:
    """A tree, attribute by attribute; directories' sizes are nobody's."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, directories, files in os.walk(root):
        for name in (*directories, *files):
            path = Path(folder, name)
            is_ = path.lstat()
            content: object = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
            xattrs = {
                key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)
            }
            found[str(path.relative_to(root))] = (
                is_.st_mode, is_.st_uid, is_.st_gid, is_.st_mtime_ns, content, xattrs,
                is_.st_nlink if path.is_file() else 0,
            )  # fmt: skip
    return found


def test_packed_and_unpacked_it_is_the_same_tree(mounted: Mounted, tmp_path: Path) -> None:
    root = mounted.mount()
    edit(root)
    images = Images(str(tmp_path))
    with images.shared():
        layer = pack(images, mounted.snapshot, TARGETS)
        again = pack(images, mounted.snapshot, TARGETS)
        assert layer == again, "the same upper is the same blob"
        made = image_from(images, base=images.find("localhost/t"), layers=[layer], name="localhost/two:latest")
        lowers = Layers(str(tmp_path)).ensure(images, made)
    with tarfile.open(images.blobs.path(layer[0].digest)) as archive:
        names = archive.getnames()
    assert {"usr/lib/.wh.a", "etc/.wh.hosts", "var/cache/.wh..wh..opq"} <= set(names)
    assert not {"proc", "etc/hostname"} & set(names)
    second = Mounted(tmp_path / "second", [Path(path) for path in lowers])
    try:
        (root / "etc/hostname").unlink()
        os.rmdir(root / "proc")
        expected, found = picture(root), picture(second.mount())
    finally:
        second.unmount()
    for pair in (expected, found):
        pair["etc"] = (*pair["etc"][:3], *pair["etc"][4:])  # hostname was taken away just now
    assert found == expected


def test_an_image_of_nothing_changed(mounted: Mounted, tmp_path: Path) -> None:
    mounted.mount()
    images = Images(str(tmp_path))
    with images.shared():
        descriptor, diff_id = pack(images, mounted.snapshot)
    assert descriptor.size < 100
    assert diff_id == "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"  # 1024 zeros


def test_removing_never_leaves(tmp_path: Path) -> None:
    """Links are removed, not followed; a mount is an error; a tree may be as deep as it likes."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "link").symlink_to(outside)
    here = os.open(tree, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    try:
        remove_tree(str(tree))
    finally:
        subprocess.run(["rm", "-rf", tree])  # pytest's own clean-up would fall over it
    assert not tree.exists() and (outside / "kept").exists()
    image(Images(str(tmp_path)), [("file", "f")])
    made = Mounted(tmp_path, unpacked(tmp_path, [("file", "f", b"")]))
    try:
        made.mount()
        with pytest.raises(OSError):
            remove_tree(str(tmp_path / "c"))
    finally:
        made.unmount()

"""The files of an image are those that podman unpacks: mode, owner, time, attributes, links, devices, content."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minirun.images.layers import Layers
from minirun.images.snapshot import Snapshot
from minirun.images.store import Images
from tests.conftest import MINIRUN, require, run
from tests.integration import making, tree_picture
from tests.integration.podman_here import CONFIG, Podman
from tests.integration.stage import stage
from tests.unit.tars import tar

pytestmark = [pytest.mark.needs("root", "podman")]
SCRIPT = Path(tree_picture.__file__)


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    require("root", "podman")
    with stage() as opened:
        (opened.place / "containers.conf").write_text(CONFIG)
        opened.env |= {"CONTAINERS_CONF": str(opened.place / "containers.conf")}
        yield Podman(opened)


def theirs(podman: Podman, layout: Path) -> dict[str, Any]:
    """What podman has unpacked, seen in its own namespace."""
    identity = podman.ok("pull", "-q", f"oci:{layout}")
    place = podman.ok("image", "mount", identity)
    try:
        found: dict[str, Any] = json.loads(podman.stage.ok(sys.executable, str(SCRIPT), place))
        return found
    finally:
        podman.ok("image", "unmount", identity)
        podman.ok("rmi", "-f", identity)


def ours(storage: Path, name: str) -> dict[str, Any]:
    images = Images(str(storage))
    with images.shared():
        lowers = Layers(str(storage)).ensure(images, images.find(name))
    snapshot = Snapshot(str(storage / "look"), lowers)
    snapshot.prepare()
    snapshot.mount(str(storage / "merged"), read_only=True)
    try:
        done = subprocess.run([sys.executable, SCRIPT, storage / "merged"], capture_output=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found
    finally:
        snapshot.unmount(str(storage / "merged"))


def compare(podman: Podman, storage: Path, name: str) -> int:
    """How many files were the same; none may differ."""
    layout = storage.parent / "layout"
    done = run(MINIRUN, "--storage", storage, "image", "export", name, layout)
    assert done.returncode == 0, done.stderr
    our, their = ours(storage, name), theirs(podman, layout)
    del our["."], their["."]  # podman's is 0555 whatever the tar says (containers/storage)
    assert sorted(our) == sorted(their)
    different = {path: (our[path], their[path]) for path in our if our[path] != their[path]}
    assert not different, dict(list(different.items())[:5])
    return len(our)


def odd_layers() -> list[bytes]:
    """All that a layer may have, in three."""
    pax = {"SCHILY.xattr.user.colour": "green", "mtime": "1600000000.123456789"}
    own = {"mode": 0o4711, "uid": 70_000, "gid": 6, "mtime": 7}
    first = tar(
        ("dir", "./", b"", {"mode": 0o755, "mtime": 1_500_000_000}),
        ("dir", "d", b"", {"mode": 0o2775, "uid": 3, "gid": 4, "mtime": 1_500_000_001}),
        ("file", "d/old", b"old", {"mtime": 5}),
        ("file", "d/f", b"hello" * 99, own), ("hard", "d/g", "d/f", own),
        ("file", "x", b"x", {"pax_headers": pax}), ("file", "large", b"L" * 3_000_000, {"mtime": 8}),
        ("link", "d/l", "../x", {"uid": 9, "mtime": 11}), ("link", "dangling", "/nowhere/at/all", {"mtime": 12}),
        ("fifo", "p", b"", {"mode": 0o600, "mtime": 13}),
        ("char", "null", b"", {"devmajor": 1, "devminor": 3, "mode": 0o666, "mtime": 14}),
        ("block", "disk", b"", {"devmajor": 259, "devminor": 300, "mode": 0o660, "mtime": 15}),
        ("dir", "gone", b"", {"mtime": 16}), ("file", "gone/f", b""), ("file", "n" * 200, b"long", {"mtime": 17}),
        ("dir", "hidden", b"", {"mtime": 18}), ("file", "hidden/below", b"", {"mtime": 18}),
        ("link", "lib", "d", {"mtime": 19}), ("file", "lib/through", b"t", {"mtime": 20}),
    )  # fmt: skip
    second = tar(
        ("file", "d/.wh.old"), ("dir", "d", b"", {"mode": 0o700, "uid": 3, "gid": 4, "mtime": 21}),
        ("file", ".wh.gone"),
        ("dir", "hidden", b"", {"mode": 0o755, "mtime": 22}), ("file", "hidden/.wh..wh..opq"),
        ("file", "hidden/above", b"a", {"mtime": 23}), ("link", "x", "large", {"mtime": 24}),
        ("file", "dangling", b"a file now", {"mtime": 25}),
    )  # fmt: skip
    third = tar(
        ("file", "hidden/last", b"", {"mtime": 26}), ("dir", "hidden", b"", {"mtime": 27}), ("file", ".wh.null")
    )
    return [first, second, third]


def test_of_an_image_with_everything(podman: Podman, tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    making.image(Images(str(storage)), *odd_layers(), name="localhost/odd:latest")
    assert compare(podman, storage, "localhost/odd") == 15


@pytest.mark.needs("busybox")
def test_of_busybox(podman: Podman, busybox_storage: Path, tmp_path: Path) -> None:
    done = run(MINIRUN, "--storage", busybox_storage, "image", "save", "-o", tmp_path / "b.tar", "busybox")
    assert done.returncode == 0, done.stderr
    assert run(MINIRUN, "--storage", tmp_path / "storage", "image", "load", "-i", tmp_path / "b.tar").returncode == 0
    assert compare(podman, tmp_path / "storage", "busybox") > 200


@pytest.mark.slow
@pytest.mark.needs("mmdebstrap")
def test_of_debian(podman: Podman, debian_pair: Path, tmp_path: Path) -> None:
    """A whole distribution: some six thousand files."""
    assert (
        run(MINIRUN, "--storage", debian_pair / "a", "image", "export", "debian:bookworm", tmp_path / "in").returncode
        == 0
    )
    assert run(MINIRUN, "--storage", tmp_path / "storage", "image", "load", "-i", tmp_path / "in").returncode == 0
    assert compare(podman, tmp_path / "storage", "debian:bookworm") > 5000

"""A storage that has been through something: files damaged, the disk full, everybody killed at any moment."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MINIRUN, ROOT, run
from tests.integration.shop import IMAGE, Shop, copy

pytestmark = pytest.mark.needs("root", "busybox")
STORM = ROOT / "tests" / "integration" / "storm.py"
DAMAGE = {
    "cut": b'{"id": "',
    "empty": b"",
    "list": b"[]",
    "zeros": bytes(300),
    "deep": b"[" * 5000,
}


@pytest.fixture
def two(shop: Shop) -> Shop:
    """``a`` has ended, ``b`` was only made."""
    shop.out("run", "--name", "a", "--net", "none", "-v", "data:/data", IMAGE, "true")
    shop.out("create", "--name", "b", IMAGE, "true")
    return shop


def refused(shop: Shop, *words: str, file: Path) -> None:
    """One error, which names the file; no defect."""
    done = run(*shop.base, *words)
    assert done.returncode != 0, words
    assert f"{file} is damaged" in done.stderr and "does not know" not in done.stderr, (words, done.stderr)


@pytest.mark.parametrize("name", ["record.json", "status.json"])
@pytest.mark.parametrize("damage", sorted(DAMAGE))
def test_a_damaged_container_is_named_and_can_be_removed(two: Shop, name: str, damage: str) -> None:
    file = two.directory("a") / name
    file.write_bytes(DAMAGE[damage])
    for words in (["start", "a"], ["inspect", "a"]):
        refused(two, "container", *words, file=file)
    listed = two("ps", "-a")
    assert "b" in listed.stdout.split() and f"{file} is damaged" in listed.stderr
    assert two.out("rm", "-f", "a") == "a"
    assert two.out("ps", "-a", "--format", "json").count("\n") == 0
    assert not (two.storage / "names" / "a").is_symlink()


def test_a_member_of_another_type(two: Shop) -> None:
    file = two.directory("a") / "record.json"
    whole = json.loads(file.read_text())
    changes: list[dict[str, object]] = [
        {"layers": "x"},
        {"asked": {"args": []}},
        {"asked": {**whole["asked"], "mounts": [1]}},
        {"tty": 1},
        {"id": None},
    ]
    for change in changes:
        file.write_text(json.dumps({**whole, **change}))
        refused(two, "container", "start", "a", file=file)
    del whole["name"]
    file.write_text(json.dumps(whole))
    refused(two, "container", "start", "a", file=file)
    two.out("rm", "-f", "a")


def test_prune_goes_on_beside_a_damaged_container_and_takes_nothing_that_it_may_need(two: Shop) -> None:
    file = two.directory("a") / "record.json"
    file.write_bytes(b"{}")
    done = run(*two.base, "system", "prune", "-af", "--volumes")
    assert done.returncode != 0 and done.stderr.count(f"{file} is damaged") == 1, done.stderr
    assert two.left()["containers"] == [file.parent.name]  # b is gone
    assert list((two.storage / "layers").glob("[0-9a-f]*")) and (two.storage / "volumes" / "data").exists()
    refused(two, "volume", "rm", "data", file=file)
    two.out("rm", "-f", file.parent.name)
    assert run(*two.base, "system", "prune", "-af").returncode == 0
    assert not list((two.storage / "layers").glob("[0-9a-f]*"))


@pytest.mark.parametrize("text", [b"{}", b'{"images": 3}', b'{"images": {"a": 1}}', b"["])
def test_damaged_names_of_images(two: Shop, text: bytes) -> None:
    file = two.storage / "images.json"
    whole = file.read_bytes()
    file.write_bytes(text)
    for words in (["image", "ls"], ["container", "run", IMAGE, "true"], ["system", "prune", "-f"]):
        refused(two, *words, file=file)
    file.write_bytes(whole)
    assert run(*two.base, "image", "inspect", IMAGE).returncode == 0  # nothing was taken away


@pytest.mark.parametrize("text", [b"{}", b'{"name": 3}', b"[]"])
def test_a_damaged_network_or_volume(two: Shop, text: bytes) -> None:
    for verb, name, file in (
        ("volume", "data", two.storage / "volumes" / "data" / "volume.json"),
        ("network", "n1", two.storage / "networks" / "n1.json"),
    ):
        run(*two.base, verb, "create", name)
        file.write_bytes(text)
        refused(two, verb, "inspect", name, file=file)
    done = run(*two.base, "system", "prune", "-f")
    assert "n1.json is damaged" in done.stderr and "does not know" not in done.stderr
    assert two.left()["containers"] == []


@pytest.fixture
def small(busybox_storage: Path, tmp_path: Path) -> Iterator[Shop]:
    """A storage on a disk of 4.4 MB, of which the image takes a part."""
    place = tmp_path / "disk"
    place.mkdir()
    assert run("mount", "-t", "tmpfs", "-o", "size=4400k", "small", place).returncode == 0
    try:
        shop = Shop(copy(busybox_storage, place / "s"), tmp_path / "root")
        shop.out("run", "--rm", "--net", "none", IMAGE, "true")  # the layer is unpacked
        yield shop
        shop.close()
    finally:
        run("umount", "-l", place)


def fill(shop: Shop, leave: int) -> Path:
    """Nothing more goes in than ``leave`` bytes."""
    filler = shop.storage.parent / "filler"
    found = os.statvfs(shop.storage)
    filler.write_bytes(bytes(found.f_bavail * found.f_frsize - leave))
    return filler


@pytest.mark.parametrize("leave", [0, 4096, 8192, 20480])
def test_a_full_disk(small: Shop, leave: int) -> None:
    """Each verb does it all or says why; and what is there can still be taken away."""
    small.out("create", "--name", "a", "--net", "none", IMAGE, "sh", "-c", "head -c 900000 /dev/zero > /big; true")
    filler = fill(small, leave)
    for words in (
        ["container", "run", "--name", "q", "--net", "none", IMAGE, "true"], ["container", "start", "-a", "a"],
        ["container", "commit", "a", "made"], ["image", "tag", IMAGE, "a-name-that-is-rather-long:1"],
        ["network", "create", "n1"], ["volume", "create", "data"],
    ):  # fmt: skip
        done = run(*small.base, *words)
        assert "does not know" not in done.stderr, (words, done.stderr)
        if done.returncode:
            assert done.stderr.count("\nminirun:") == 0 or "warning" in done.stderr, (words, done.stderr)
    small("rm", "-f", "q")
    assert small.out("rm", "-f", "a") == "a"
    done = run(*small.base, "image", "rm", "-f", IMAGE)
    assert done.returncode == 0, done.stderr
    filler.unlink()
    assert run(*small.base, "system", "prune", "-af", "--volumes").returncode == 0
    assert not list((small.storage / "blobs" / "sha256").iterdir())
    assert not list((small.storage / "tmp").iterdir()) and not list((small.storage / "ingest").iterdir())


def test_a_device_or_a_pipe_is_written_to_never_replaced(two: Shop, tmp_path: Path) -> None:
    null = tmp_path / "null"
    os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    two.out("export", "-o", null, "a")
    assert stat.S_ISCHR(null.stat().st_mode)
    assert run(*two.base, "image", "save", "-o", null, IMAGE).returncode == 0
    assert stat.S_ISCHR(null.stat().st_mode)
    (two.directory("a") / "status.json").unlink()
    assert two("export", "-o", null, "a").returncode != 0
    assert stat.S_ISCHR(null.stat().st_mode)
    two.out("rm", "-f", "a")


def test_everybody_killed_at_any_moment(shop: Shop, tmp_path: Path) -> None:
    """Six verbs at a time for some seconds, one process of them or of their monitors killed every 50 ms: then all can
    be taken away, nothing is left, and the storage serves the next."""
    tar = tmp_path / "busybox.tar"
    assert run(*shop.base, "image", "save", "-o", tar, IMAGE).returncode == 0
    done = run(sys.executable, STORM, "6", str(os.getpid()), tar, *shop.base, timeout=90)
    assert done.returncode == 0, done.stderr
    *defects, count = done.stdout.splitlines()
    assert not defects and int(count) > 50, done.stdout
    if names := shop.out("ps", "-aq").split():
        shop.out("rm", "-f", "-v", *names)
    pruned = run(*shop.base, "system", "prune", "-af", "--volumes")
    assert pruned.returncode == 0, pruned.stderr
    assert shop.left() == {"containers": [], "names": [], "runtime": [], "mounts": []}
    for folder in ("blobs/sha256", "ingest", "tmp", "layers"):
        left = [path.name for path in (shop.storage / folder).glob("*") if not path.name.startswith(".")]
        assert not left, (folder, left)
    assert [path.name for path in (shop.storage / "networks").iterdir() if path.name.startswith(".")] == []
    assert run(*shop.base, "image", "load", "-q", "-i", tar).returncode == 0
    assert shop.out("run", "--rm", "--net", "none", IMAGE, "echo", "alive") == "alive"


def test_layers_with_ids_of_another_kind_stay_while_a_container_is_on_them(shop: Shop, tmp_path: Path) -> None:
    """A diff id may be a sha512."""
    tar = tmp_path / "busybox.tar"
    assert run(*shop.base, "image", "save", "--format", "docker-archive", "-o", tar, IMAGE).returncode == 0
    assert run(*shop.base, "image", "load", "-q", "-i", with_sha512(tar, tmp_path / "other.tar")).returncode == 0
    shop.out("create", "--name", "a", "--net", "none", "other", "echo", "alive")
    for words in (["image", "rm", "-f", "other"], ["image", "prune", "-af"], ["system", "df"]):
        assert run(*shop.base, *words).returncode == 0
    assert shop.out("start", "-a", "a") == "alive"


def with_sha512(source: Path, target: Path) -> Path:
    """The same docker-archive, but for its diff ids."""
    with tarfile.open(source) as archive:
        files = {one.name: archive.extractfile(one).read() for one in archive if one.isfile()}  # type: ignore[union-attr]
    manifest = json.loads(files["manifest.json"])
    config = json.loads(files[manifest[0]["Config"]])
    config["rootfs"]["diff_ids"] = [
        "sha512:" + hashlib.sha512(files[name]).hexdigest() for name in manifest[0]["Layers"]
    ]
    manifest[0].update(Config="config.json", RepoTags=["other:latest"])
    files = {name: files[name] for name in manifest[0]["Layers"]}
    files.update({"config.json": json.dumps(config).encode(), "manifest.json": json.dumps(manifest).encode()})
    with tarfile.open(target, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return target


@pytest.mark.parametrize(
    "verb", ["image ls", "container ps -a", "volume ls", "network ls", "system df", "volume create v1"]
)
def test_a_storage_that_is_a_file(tmp_path: Path, verb: str) -> None:
    (tmp_path / "s").write_text("")
    done = run(MINIRUN, "--storage", tmp_path / "s", "--root", tmp_path / "r", *verb.split())
    assert done.returncode == 125 and "Not a directory" in done.stderr and "does not know" not in done.stderr

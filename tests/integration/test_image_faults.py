"""What goes wrong with a disk: full, blobs lost, names damaged.  One clear error, and nothing half done."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from minirun.images.reference import DEFAULT_REGISTRY
from tests.conftest import MINIRUN, run
from tests.integration.image_maker import Storage, configuration, layer, one_layout, sha, write_tar


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path)


@pytest.mark.parametrize("lost", ["manifest", "config", "layer"])
def test_an_image_that_is_not_whole_any_more(storage: Storage, tmp_path: Path, lost: str) -> None:
    """A disk lost a blob: the others are listed, it is named, and it can be removed and loaded again."""
    for number in (1, 2):
        path = write_tar(tmp_path / f"{number}.tar", one_layout(f"made:{number}", layer(a=str(number))))
        storage.ok("image", "load", "-q", "-i", path)
    found = storage.json("image", "inspect", "made:1")[0]
    digest = {"manifest": found["ManifestDigest"], "config": found["Id"], "layer": found["Layers"][0]["digest"]}[lost]
    blob = storage.path / "storage/blobs" / digest.replace(":", "/")
    blob.unlink()
    listed = storage("image", "ls")
    assert "made         2" in listed.stdout
    assert f"the image {DEFAULT_REGISTRY}/library/made:1 is not whole any more" in listed.stderr
    assert storage("image", "inspect", "made:1").returncode == 1
    assert "Untagged: made:1" in storage.ok("image", "rm", "made:1")
    storage.ok("image", "load", "-q", "-i", tmp_path / "1.tar")
    storage.ok("image", "save", "-o", tmp_path / "out.tar", "made:1")


def test_names_that_cannot_be_read(storage: Storage, tmp_path: Path) -> None:
    storage.ok("image", "load", "-q", "-i", write_tar(tmp_path / "a.tar", one_layout()))
    (storage.path / "storage/images.json").write_text("{")
    done = storage("image", "ls")
    assert (done.returncode, "images.json is damaged" in done.stderr) == (125, True)


@pytest.mark.needs("root")
def test_a_full_disk(storage: Storage, tmp_path: Path) -> None:
    """One clear error, and the space is free again: of the storage, of a file that is saved, of a layout."""
    path = write_tar(tmp_path / "a.tar", one_layout("made:1", layer(a="x" * 300_000)))
    storage.ok("image", "load", "-q", "-i", path)
    small = tmp_path / "small"
    small.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=128k", "none", small)
    try:
        done = run(MINIRUN, "--storage", small, "image", "load", "-i", path)
        assert (done.returncode, f"cannot write to {small}: No space left" in done.stderr) == (125, True), done.stderr
        assert not [name for name in small.rglob("*") if name.is_file() and not name.name.endswith("lock")]
        for words in (("save", "-o", small / "x", "made:1"), ("export", "made:1", small / "layout")):
            done = storage("image", *words)
            assert (done.returncode, "cannot write the image: No space left" in done.stderr) == (125, True), done.stderr
        assert not [name for name in small.rglob("*") if name.is_file() and not name.name.endswith("lock")]
    finally:
        run("umount", small)


def test_a_directory_is_not_an_archive(storage: Storage, tmp_path: Path) -> None:
    done = storage("image", "import", tmp_path)
    assert (done.returncode, "Is a directory" in done.stderr) == (125, True)
    assert "it has no oci-layout" in storage("image", "load", "-i", tmp_path).stderr


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "oci"])
def test_what_cannot_be_saved_whole_is_not_left(storage: Storage, tmp_path: Path, packed: bool, form: str) -> None:
    """A byte of the layer is another one: it is not passed on."""
    content = layer(hello="world")
    blob = gzip.compress(content) if packed else content
    media = "layer.v1.tar+gzip" if packed else "layer.v1.tar"
    made = one_layout("made:1", blob, media=media, config=configuration(content))
    storage.ok("image", "load", "-i", write_tar(tmp_path / "a.tar", made))
    place = storage.path / "storage/blobs/sha256" / sha(blob)[7:]
    place.chmod(0o600)
    place.write_bytes(blob[:20] + bytes([blob[20] ^ 1]) + blob[21:])
    done = storage("image", "save", "--format", form, "-o", tmp_path / "out", "made:1")
    assert done.returncode == 125
    assert any(words in done.stderr for words in ("its content is not", "cannot decompress", "is damaged"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar", "storage"]

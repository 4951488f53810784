"""A corpus of archives that mean harm (docs/images.md, What comes in): one clear error, and nothing stays."""

from __future__ import annotations

import gzip
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.image_corpus import CORPUS, LAYER
from tests.integration.image_maker import (
    Storage,
    docker_files,
    encoded,
    layer,
    one_layout,
    sha,
    write_directory,
    write_tar,
)


class Refusal:
    """``refusal(file, why)``: what the command says, and what it leaves.  In this process: there are many of them."""

    def __init__(self, path: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.storage = Storage(path)
        self.capture = capture

    def command(self, *words: str | Path) -> tuple[int, str]:
        from minirun.cli.main import main

        code = main([str(word) for word in (*self.storage.command[1:], *words)], {}, "/")
        captured = self.capture.readouterr()
        return code, captured.out + captured.err

    def __call__(self, path: Path, why: str) -> None:
        code, said = self.command("image", "load", "-i", path)
        assert code == 125, said
        assert said.startswith("minirun: "), said
        assert "met a case it does not know" not in said, said
        assert len(said.splitlines()) <= 2, said  # a hint at most
        assert why in said, said
        assert [name for name in self.storage.files() if not name.startswith("blobs/")] == []
        assert self.command("image", "prune", "-f")[0] == 0
        assert self.storage.files() == []


@pytest.fixture
def refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Refusal:
    return Refusal(tmp_path, capfd)


@pytest.mark.parametrize("case", CORPUS)
def test_refused(tmp_path: Path, refused: Refusal, case: str) -> None:
    make, why = CORPUS[case]
    refused(write_tar(tmp_path / "hostile.tar", make()), why)
    assert not (tmp_path.parent / "evil").exists()


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


def wrong_sum(data: bytes) -> bytes:
    return data[:10] + b"X" + data[11:]


def negative_size(data: bytes) -> bytes:
    """GNU's base 256, -1; the sum is right."""
    block = bytearray(data[:512])
    block[124:136] = b"\xff" * 12
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + data[512:]


@pytest.mark.parametrize(
    ("bend", "why"),
    [
        (truncated, "it ends in the middle"),
        (wrong_sum, "it is not a tar archive"),
        (negative_size, "a size of -1"),
        (lambda data: b"", "it is not a tar archive"),
        (lambda data: b"\x1f\x8b\x08" + os.urandom(1000), "damaged"),
        (lambda data: gzip.compress(data)[:-20], "it ends in the middle"),
        (lambda data: data[:512] * 3, "ends in the middle"),
    ],
)
def test_a_damaged_archive(tmp_path: Path, refused: Refusal, bend: Callable[[bytes], bytes], why: str) -> None:
    path = write_tar(tmp_path / "a.tar", {**docker_files()})
    path.write_bytes(bend(path.read_bytes()))
    refused(path, why)


def test_an_entry_twice(tmp_path: Path, refused: Refusal) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("a", "./a"):
            archive.addfile(tarfile.TarInfo(name))
    refused(path, "in it twice")


def test_a_pax_header_without_end(tmp_path: Path, refused: Refusal) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "x" * (2 << 20)}) as archive:
        archive.addfile(tarfile.TarInfo("a"))
    refused(path, "an extended header of")


def test_a_bomb(tmp_path: Path, refused: Refusal, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends when it is known for what it is, and its space is free again."""
    monkeypatch.setattr("minirun.images.compression.BOMB_SIZE", 1 << 20)
    path = write_tar(tmp_path / "a.tar", {"zeros": b"\0" * (8 << 20)})
    path.write_bytes(gzip.compress(path.read_bytes()))
    refused(path, "more than 200 times its size")


@pytest.mark.parametrize("kind", ["symlink", "fifo", "index", "directory"])
def test_a_layout_with_other_things_than_files(tmp_path: Path, refused: Refusal, kind: str) -> None:
    place = write_directory(tmp_path / "layout", one_layout("made:1", LAYER))
    blob = place / "blobs/sha256" / sha(LAYER)[7:]
    blob.unlink()
    if kind == "symlink":
        (tmp_path / "elsewhere").write_bytes(LAYER)
        blob.symlink_to(tmp_path / "elsewhere")
    elif kind == "fifo":
        os.mkfifo(blob)
    elif kind == "directory":
        blob.mkdir()
    else:
        (place / "index.json").unlink()
        (place / "index.json").symlink_to("/etc/passwd")
    why = {"symlink": "is a link", "index": "is a link"}.get(kind, "is not a file")
    refused(place, why)


def test_a_name_is_not_taken_from_an_image_by_a_refused_one(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    storage.ok("image", "load", "-i", write_tar(tmp_path / "a.tar", docker_files(layer(good="1"))))
    before = storage.json("image", "inspect", "made:1")
    bad = docker_files(layer(good="1"), layer(evil="1"))
    entries = json.loads(bad["manifest.json"])
    bad["manifest.json"] = encoded([*entries, {**entries[0], "RepoTags": ["x"], "Layers": ["0/layer.tar"]}])
    assert storage("image", "load", "-i", write_tar(tmp_path / "b.tar", bad)).returncode == 125
    assert storage.json("image", "inspect", "made:1") == before
    assert storage.names() == ["made:1"]

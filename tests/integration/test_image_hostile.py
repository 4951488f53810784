"""A corpus of archives that mean harm (docs/images.md, What comes in): one clear error, and nothing stays."""

from __future__ import annotations

import gzip
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.image_maker import (
    OCI,
    Storage,
    configuration,
    described,
    docker_files,
    encoded,
    index,
    layer,
    layout,
    manifest,
    named,
    one_layout,
    sha,
    write_directory,
    write_tar,
)

Files = dict[str, Any]
LAYER = layer(hello="world")


def special(name: str, kind: bytes, link: str = "") -> Files:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, link
    return {name: entry}


def with_index(value: Any, **files: bytes) -> Files:
    found: Files = {}
    manifest(found, LAYER)
    return {**layout(files=found), "index.json": encoded(value), **files}


def with_manifest(**more: Any) -> Files:
    return one_layout("made:1", **more)


def with_config(**more: Any) -> Files:
    return one_layout("made:1", LAYER, config=configuration(LAYER, **more))


def with_entry(**more: Any) -> Files:
    """The descriptor of the manifest in index.json says something else."""
    files: Files = {}
    made = manifest(files, LAYER)
    return layout({**described(made, "manifest.v1+json", **named("made:1")), **more}, files=files)


def with_layer(**more: Any) -> Files:
    return with_manifest(layers=[{**described(LAYER, "layer.v1.tar"), **more}])


def swapped() -> Files:
    """The layer's blob is not what its name says."""
    files = one_layout("made:1", LAYER)
    files["blobs/sha256/" + sha(LAYER)[7:]] = LAYER.replace(b"world", b"w0rld")
    return files


def chain(depth: int) -> Files:
    files: Files = {}
    one = described(manifest(files, LAYER), "manifest.v1+json")
    for _ in range(depth):
        data = encoded(index(one))
        files["blobs/sha256/" + sha(data)[7:]] = data
        one = described(data, "index.v1+json")
    return layout({**one, **named("made:1")}, files=files)


def loop() -> Files:
    """An index that names itself: it cannot have the digest, so it is a lie."""
    name = "sha256:" + "5" * 64
    data = encoded(index({"mediaType": OCI + "index.v1+json", "digest": name, "size": 300}))
    return layout({"mediaType": OCI + "index.v1+json", "digest": name, "size": len(data)},
                  files={"blobs/sha256/" + "5" * 64: data})  # fmt: skip


def deep(brackets: int) -> bytes:
    return b'{"schemaVersion": 2, "manifests": ' + b"[" * brackets + b"]" * brackets + b"}"


def two_entries() -> list[Any]:
    return [("manifest.json", b"[]"), ("manifest.json", b"{}")]


INDEX_AND_MANIFEST = {"manifests": [], "mediaType": OCI + "manifest.v1+json"}
CORPUS: dict[str, tuple[Callable[[], Files], str]] = {
    # digests and sizes
    "a layer of another digest": (swapped, "has another digest"),
    "a layer of another size": (lambda: with_layer(size=len(LAYER) - 1), "bytes, not"),
    "a manifest of another size": (lambda: with_entry(size=7), "bytes, not 7"),
    "a manifest of another digest": (lambda: with_entry(digest="sha256:" + "0" * 64), "is not in it"),
    "a negative size": (lambda: with_entry(size=-1), "the size of"),
    "a size of 2**70": (lambda: with_entry(size=1 << 70), "the size of"),
    "a size that is a float": (lambda: with_entry(size=1.5), "the size of"),
    "a size that is true": (lambda: with_entry(size=True), "the size of"),
    "a digest with a path in it": (lambda: with_entry(digest="sha256:../../../etc/passwd"), "is not a digest"),
    "a digest in capitals": (lambda: with_entry(digest="sha256:" + "A" * 64), "is not a digest"),
    "a digest of md5": (lambda: with_entry(digest="md5:" + "0" * 32), "is not a digest"),
    "a layer that is not there": (lambda: with_layer(digest="sha256:" + "1" * 64), "is not in it"),
    "a docker layer of another content": (lambda: docker_files(LAYER, config=configuration(b"x")), "its content is"),
    "a docker layer too many": (lambda: docker_files(LAYER, config=configuration(LAYER, LAYER)), "2 diff ids for 1"),
    "a docker layer of broken gzip": (
        lambda: docker_files(gzip.compress(LAYER)[:-9], config=configuration(LAYER)), "it ends in the middle"),
    # indexes
    "an index without end": (lambda: chain(4), "more than 3 deep"),
    "an index that names itself": (loop, "has another digest"),
    "an index of 1001 images": (
        lambda: with_index(index(*[described(b"x", "manifest.v1+json")] * 1001)), "more than 1000"),
    "an index of nothing": (lambda: with_index(index()), "there is no image in it"),
    "an index that is a list": (lambda: with_index([1]), "not one JSON object"),
    "an index whose manifests are a string": (lambda: with_index(index(manifests="x")), "is not a list"),
    "an index whose manifest is a number": (lambda: with_index(index(manifests=[7])), "a descriptor is not an object"),
    "an index in a manifest's clothes": (lambda: with_manifest(**INDEX_AND_MANIFEST), "a manifest at once"),
    "a manifest in an index's clothes": (lambda: with_manifest(mediaType=OCI + "index.v1+json"), "its media type is"),
    "a manifest called an index": (lambda: with_entry(mediaType=OCI + "index.v1+json"), "its media type is"),
    "a manifest of schema 1": (lambda: with_manifest(schemaVersion=1), "schema version is not 2"),
    # documents
    "a document of 5 MiB": (lambda: with_index(b"{" + b" " * (5 << 20) + b"}"), "larger than 4 MiB"),
    "a manifest of 5 MiB": (lambda: with_manifest(annotations={"a": "x" * (5 << 20)}), "larger than 4 MiB"),
    "a document 100000 levels deep": (lambda: with_index(deep(100_000)), "not valid"),
    "a document 33 levels deep": (lambda: with_index(deep(33)), "deeper than 32 levels"),
    "a member twice": (lambda: with_index(b'{"manifests": [], "manifests": []}'), "named twice"),
    "not UTF-8": (lambda: with_index(b'{"\xff": 1}'), "not JSON"),
    "half a document": (lambda: with_index(b'{"manifests": ['), "not JSON"),
    "NaN": (lambda: with_index(b'{"manifests": NaN}'), "not JSON"),
    "an empty document": (lambda: with_index(b""), "not JSON"),
    "a configuration that is a list": (lambda: one_layout("made:1", LAYER, config=[]), "not one JSON object"),
    "a configuration whose Env is a number": (lambda: with_config(config={"Env": 7}), "Env is not a list"),
    "a configuration whose Cmd has numbers": (lambda: with_config(config={"Cmd": [7]}), "Cmd is not a list"),
    "a configuration with a NUL": (lambda: with_config(config={"Cmd": ["a\0b"]}), "NUL"),
    "a configuration whose User is a list": (lambda: with_config(config={"User": []}), "User is not a string"),
    "a configuration whose Labels are lists": (lambda: with_config(config={"Labels": {"a": []}}), "Labels is not"),
    "a configuration without layers": (lambda: with_config(rootfs={}), "0 diff ids for 1"),
    "a configuration with bad diff ids": (lambda: with_config(rootfs={"diff_ids": ["../x"]}), "is not a diff id"),
    "a history of numbers": (lambda: with_config(history=[7]), "history is not"),
    "an architecture that is a number": (lambda: with_config(architecture=7), "architecture is not a string"),
    "an artifact": (lambda: with_manifest(kind="text/plain"), "an artifact, not an image"),
    "a layer of an unknown kind": (lambda: with_layer(mediaType="text/plain"), "cannot be unpacked"),
    "1001 layers": (lambda: with_manifest(layers=[described(LAYER, "layer.v1.tar")] * 1001), "more than 1000"),
    "a layout of version 2": (
        lambda: {**one_layout(), "oci-layout": b'{"imageLayoutVersion": "2.0"}'}, "the version of its layout"),
    "a manifest.json without a list": (lambda: {**docker_files(), "manifest.json": b"7"}, "is not a list"),
    "a manifest.json that breaks out": (lambda: {**docker_files(), "manifest.json": b'[],"x":1'}, "is not a list"),
    "a manifest.json with a name that is none": (lambda: docker_files(tags=("../x",)), "is not the name of an image"),
    "a Config that is a number": (lambda: docker_files(Config=7), "no configuration"),
    "Layers that are numbers": (lambda: docker_files(Layers=[7]), "lists of strings"),
    "a parent that is its own": (
        lambda: {"a/json": b'{"parent": "a"}', "repositories": b'{"x": {"1": "a"}}'}, "in a circle"),
    # the archive itself
    "a name with ..": (lambda: {**docker_files(), "../evil": b"x"}, "leads out of it"),
    "a name within with ..": (lambda: {**docker_files(), "a/../../evil": b"x"}, "leads out of it"),
    "an absolute name": (lambda: {**docker_files(), "/tmp/evil": b"x"}, "leads out of it"),
    "a layer by a path that leads out": (lambda: docker_files(Layers=["../../etc/passwd"]), "is not in it"),
    "a configuration by an absolute path": (lambda: docker_files(Config="/etc/passwd"), "is not in it"),
    "a symlink out": (
        lambda: {**docker_files(), **special("0/layer.tar", tarfile.SYMTYPE, "../../etc/passwd")}, "leads out of it"),
    "an absolute symlink": (lambda: {**docker_files(), **special("x", tarfile.SYMTYPE, "/etc/passwd")}, "leads out"),
    "a hard link out": (lambda: {**docker_files(), **special("x", tarfile.LNKTYPE, "../etc/passwd")}, "leads out"),
    "links in a circle": (
        lambda: {**docker_files(Layers=["x"]), **special("x", tarfile.SYMTYPE, "y"),
                 **special("y", tarfile.SYMTYPE, "x")}, "in a circle"),
    "a device": (lambda: {**docker_files(), **special("sda", tarfile.BLKTYPE)}, "neither a file nor a directory"),
    "a fifo": (lambda: {**docker_files(), **special("pipe", tarfile.FIFOTYPE)}, "neither a file nor a directory"),
    "a layout's blob that is a link": (
        lambda: {**one_layout("made:1", LAYER),
                 **special("blobs/sha256/" + sha(LAYER)[7:], tarfile.SYMTYPE, "../../index.json")}, "bytes, not"),
    "nothing that is an image": (lambda: {"hello": b"world"}, "cannot find an image"),
}  # fmt: skip


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
        (negative_size, "a size is not possible"),
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
    refused(path, "an extended header has")


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

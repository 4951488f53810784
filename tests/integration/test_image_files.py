"""image import, load, save, export, ls, inspect, history, tag, rm and prune, at the command line."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.conftest import run
from tests.integration.image_maker import (
    Storage,
    configuration,
    described,
    docker_files,
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


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path)


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd, lzma.compress], ids=["plain", "gzip", "zstd", "xz"])
@pytest.mark.parametrize("form", ["docker", "oci"])
def test_load_finds_out_what_it_is(storage: Storage, tmp_path: Path, form: str, pack: Any) -> None:
    path = write_tar(tmp_path / "a.tar", docker_files() if form == "docker" else one_layout())
    path.write_bytes(pack(path.read_bytes()))
    assert storage.ok("image", "load", "-i", path) == "Loaded image: made:1\n"
    found = storage.json("image", "inspect", "made:1")[0]
    assert found["Config"] == {"Env": ["A=b"], "Cmd": ["/bin/sh"]}
    assert found["RootFS"]["Layers"] == [sha(layer(hello="world"))]
    with path.open("rb") as file:
        assert storage.ok("image", "load", stdin=file) == "Loaded image: made:1\n"
    assert storage.names() == ["made:1"]


def test_load_from_a_layout_s_directory(storage: Storage, tmp_path: Path) -> None:
    place = write_directory(tmp_path / "layout", one_layout("somewhere.example/a/b:2"))
    assert storage.ok("image", "load", "-i", place) == "Loaded image: somewhere.example/a/b:2\n"


@pytest.mark.parametrize(
    ("word", "name"),
    [("busybox", "busybox:latest"), ("a/b", "a/b:latest"), ("x:1", "x:1"), ("latest", ""), ("1.2", ""), ("v3", "")],
)
def test_what_an_archive_calls_its_image(storage: Storage, tmp_path: Path, word: str, name: str) -> None:
    path = write_tar(tmp_path / "a.tar", one_layout(word))
    assert storage.ok("image", "load", "-i", path).startswith(
        f"Loaded image: {name}\n" if name else "Loaded image ID: "
    )
    assert storage.names() == [name or "<none>:<none>"]
    assert storage.ok("image", "load", "-i", path, "--name", "mine").endswith("Loaded image: mine:latest\n")
    assert storage.names() == sorted({name, "mine:latest"} - {""})


def test_several_images_and_docker_s_both_forms_in_one(storage: Storage, tmp_path: Path) -> None:
    """docker 25: manifest.json beside a layout; its names count, the layout's digests too."""
    files: dict[str, bytes] = {}
    first, second = layer(a="1"), layer(b="2")
    one, two = manifest(files, first), manifest(files, first, second)
    both = layout(
        described(one, "manifest.v1+json", **named("latest")), described(two, "manifest.v1+json"), files=files
    )
    paths = [f"blobs/sha256/{sha(data)[7:]}" for data in (json.loads(one)["config"]["digest"].encode(), first, second)]
    entries = [
        {"Config": "blobs/" + json.loads(made)["config"]["digest"].replace(":", "/"), "RepoTags": tags, "Layers": used}
        for made, tags, used in ((one, ["a:1", "a:2"], paths[1:2]), (two, None, paths[1:]))
    ]
    both["manifest.json"] = json.dumps(entries).encode()
    said = storage.ok("image", "load", "-i", write_tar(tmp_path / "a.tar", both))
    assert said.splitlines()[:2] == ["Loaded image: a:1", "Loaded image: a:2"]
    assert said.splitlines()[2].startswith("Loaded image ID: sha256:")
    assert storage.json("image", "inspect", "a:1")[0]["Descriptor"]["digest"] == sha(one)
    assert storage.names() == ["<none>:<none>", "a:1", "a:2"]


def test_links_between_layers_as_docker_writes_them(storage: Storage, tmp_path: Path) -> None:
    files: dict[str, Any] = docker_files(layer(a="1"), layer(a="1"))
    link = tarfile.TarInfo("1/layer.tar")
    link.type, link.linkname = tarfile.SYMTYPE, "../0/layer.tar"
    files["1/layer.tar"] = link
    storage.ok("image", "load", "-i", write_tar(tmp_path / "a.tar", files))
    assert storage.json("image", "inspect", "made:1")[0]["RootFS"]["Layers"] == [sha(layer(a="1"))] * 2


def test_an_archive_from_before_docker_1_10(storage: Storage, tmp_path: Path) -> None:
    files = {
        "base/json": b'{"id": "base"}',
        "base/layer.tar": layer(a="1"),
        "top/json": b'{"id": "top", "parent": "base", "os": "linux", "config": {"Cmd": ["x"]}}',
        "top/layer.tar": layer(b="2"),
        "repositories": b'{"old": {"1": "top"}}',
    }
    assert storage.ok("image", "load", "-i", write_tar(tmp_path / "a.tar", files)) == "Loaded image: old:1\n"
    found = storage.json("image", "inspect", "old:1")[0]
    assert found["RootFS"]["Layers"] == [sha(layer(a="1")), sha(layer(b="2"))]
    assert found["Config"] == {"Cmd": ["x"]}


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_the_same_image_saved_twice_is_the_same_bytes(storage: Storage, tmp_path: Path, form: str) -> None:
    """And through another store, too; an OCI archive keeps the digest, the other one the id."""
    files = one_layout("made:1", gzip.compress(layer(a="1"), mtime=7), media="layer.v1.tar+gzip",
                       config=configuration(layer(a="1")))  # fmt: skip
    storage.ok("image", "load", "-i", write_tar(tmp_path / "a.tar", files))
    first, second = tmp_path / "1.tar", tmp_path / "2.tar"
    storage.ok("image", "save", "--format", form, "-o", first, "made:1")
    with second.open("wb") as file:
        done = run(*storage.command, "image", "save", "--format", form, "made:1", capture_output=False, stdout=file)
    assert done.returncode == 0
    assert first.read_bytes() == second.read_bytes()
    other = Storage(tmp_path / "other")
    other.ok("image", "load", "-i", first)
    other.ok("image", "save", "--format", form, "-o", second, "made:1")
    assert first.read_bytes() == second.read_bytes()
    before, after = (one.json("image", "inspect", "made:1")[0] for one in (storage, other))
    assert before["Id"] == after["Id"]
    assert (before["Descriptor"] == after["Descriptor"]) == (form == "oci-archive")


def test_export_adds_to_a_layout_and_replaces_by_name(storage: Storage, tmp_path: Path) -> None:
    for number in (1, 2):
        path = write_tar(tmp_path / "a.tar", one_layout(f"made:{number}", layer(a=str(number))))
        storage.ok("image", "load", "-i", path)
        storage.ok("image", "export", f"made:{number}", tmp_path / "out")
    storage.ok("image", "export", "made:1", tmp_path / "out")
    found = json.loads((tmp_path / "out" / "index.json").read_text())["manifests"]
    assert [one["annotations"]["io.containerd.image.name"].rpartition(":")[2] for one in found] == ["2", "1"]
    done = storage("image", "export", "made:1", tmp_path)
    assert done.returncode == 125
    assert "neither empty nor an image layout" in done.stderr


def test_an_index_is_this_machine_s_image_and_goes_on_as_a_whole(storage: Storage, tmp_path: Path) -> None:
    files: dict[str, bytes] = {}
    made = {}
    for architecture in ("s390x", "amd64", "arm64"):
        made[architecture] = manifest(
            files, layer(a=architecture), config=configuration(layer(a=architecture), architecture=architecture)
        )
    entries = [
        described(data, "manifest.v1+json", platform={"os": "linux", "architecture": name})
        for name, data in made.items()
    ]
    both = json.dumps(index(*entries)).encode()
    files["blobs/sha256/" + sha(both)[7:]] = both
    del files["blobs/sha256/" + sha(made["arm64"])[7:]]  # a layout need not have everything
    storage.ok(
        "image",
        "load",
        "-i",
        write_tar(tmp_path / "a.tar", layout(described(both, "index.v1+json", **named("a:1")), files=files)),
    )
    found = storage.json("image", "inspect", "--platform", "linux/amd64", "a:1")[0]
    assert (found["Architecture"], found["ManifestDigest"]) == ("amd64", sha(made["amd64"]))
    assert storage.json("image", "inspect", "--platform", "s390x", "a:1")[0]["Architecture"] == "s390x"
    done = storage("image", "inspect", "--platform", "linux/arm64", "a:1")
    assert done.returncode == 1
    assert "is not here for linux/arm64: there is linux/amd64, linux/s390x" in done.stderr
    storage.ok("image", "save", "--platform", "amd64", "--format", "oci", "-o", tmp_path / "out", "a:1")
    assert json.loads((tmp_path / "out/index.json").read_text())["manifests"][0]["digest"] == sha(made["amd64"])
    done = storage("image", "rm", f"a@{sha(made['s390x'])}")
    assert done.returncode == 125
    assert "it is a part of a:1" in done.stderr
    storage.ok("image", "rm", "a:1")
    assert storage.files() == ["images.json"]


def test_what_buildkit_says_of_an_image_goes_with_it(storage: Storage, tmp_path: Path) -> None:
    """An index of one image and its attestation, which nobody could unpack: loaded, and saved as the same index."""
    files: dict[str, bytes] = {}
    made = manifest(files, layer(a="1"), config=configuration(layer(a="1"), architecture="amd64"))
    said = manifest(files, b"{}", media="application/vnd.in-toto+json", config={})
    entries = [
        described(made, "manifest.v1+json", platform={"os": "linux", "architecture": "amd64"}),
        described(said, "manifest.v1+json", platform={"os": "unknown", "architecture": "unknown"},
                  annotations={"vnd.docker.reference.type": "attestation-manifest"}),
    ]  # fmt: skip
    both = json.dumps(index(*entries)).encode()
    files["blobs/sha256/" + sha(both)[7:]] = both
    source = layout(described(both, "index.v1+json", **named("a:1")), files=files)
    storage.ok("image", "load", "-i", write_tar(tmp_path / "a.tar", source))
    assert storage.names() == ["a:1"]
    storage.ok("image", "save", "--format", "oci", "-o", tmp_path / "out", "--platform", "amd64", "a:1")
    assert json.loads((tmp_path / "out/index.json").read_text())["manifests"][0]["digest"] == sha(both)


def test_import(storage: Storage, tmp_path: Path) -> None:
    path = tmp_path / "fs.tar"
    path.write_bytes(layer(hello="world"))
    words = (
        "image",
        "import",
        "--created",
        "2020-01-01T00:00:00Z",
        "-m",
        "why",
        "-c",
        'CMD ["a", "b"]',
        "-c",
        "ENV A=b C='d e'",
    )
    first = storage.ok(*words, path, "mine:1").strip()
    assert storage.ok(*words, path, "mine:2").strip() == first  # the same input is the same image
    found = storage.json("image", "inspect", "mine:1")[0]
    assert found["Config"] == {"Cmd": ["a", "b"], "Env": ["A=b", "C=d e"]}
    assert storage.ok("image", "inspect", "-f", "{{.Config.Cmd}}", "mine:1", "mine:2") == '["a","b"]\n' * 2
    assert (found["Created"], found["Comment"], found["Os"]) == ("2020-01-01T00:00:00Z", "why", "linux")
    assert found["RootFS"]["Layers"] == [sha(path.read_bytes())] == [one["digest"] for one in found["Layers"]]
    packed = tmp_path / "fs.tar.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    with packed.open("rb") as file:
        named = storage.ok("image", "import", "-", stdin=file).strip()
    found = storage.json("image", "inspect", named)[0]
    assert found["RootFS"]["Layers"] == [sha(path.read_bytes())]
    assert [one["digest"] for one in found["Layers"]] == [sha(packed.read_bytes())]
    done = storage("image", "import", "-c", "RUN true", path)
    assert done.returncode == 125
    assert "cannot make the change 'RUN true'" in done.stderr


def test_names_ids_and_what_goes(storage: Storage, tmp_path: Path) -> None:
    for number in (1, 2):
        storage.ok("image", "load", "-i", write_tar(tmp_path / "a.tar", docker_files(layer(a=str(number)))))
    assert storage.names() == ["<none>:<none>", "made:1"]  # made:1 went to the second
    first, second = (
        storage.ok("image", "ls", "-q", "-f", "dangling=true").split() + storage.ok("image", "ls", "-q", "made").split()
    )
    storage.ok("image", "tag", first, "localhost:5000/first")
    storage.ok("image", "tag", "made:1", "other")
    assert storage.names() == ["localhost:5000/first:latest", "made:1", "other:latest"]
    done = storage("image", "rm", second[:6])
    assert done.returncode == 125
    assert "names of more than one repository" in done.stderr
    assert storage.ok("image", "rm", "made:1") == "Untagged: made:1\n"
    assert storage.ok("image", "rm", second).startswith("Untagged: other:latest\nDeleted: sha256:" + second)
    assert storage.ok("image", "history", "--format", "json", first).count("\n") == 1
    done = storage("image", "rm", "nothing", "localhost:5000/first")
    assert (done.returncode, "there is no image nothing" in done.stderr) == (125, True)
    assert storage.names() == []
    assert storage.files() == ["images.json"]


def test_prune_asks_and_takes_what_has_no_name(storage: Storage, tmp_path: Path) -> None:
    for number in (1, 2):
        storage.ok("image", "load", "-i", write_tar(tmp_path / "a.tar", docker_files(layer(a=str(number)))))
    assert storage("image", "prune", input="n\n", stdin=None).returncode == 1
    assert "Deleted Images:\ndeleted: sha256:" in storage.ok("image", "prune", input="y\n", stdin=None)
    assert storage.names() == ["made:1"]
    assert "untagged: made:1" in storage.ok("image", "prune", "-a", "-f")
    assert storage.files() == ["images.json"]


def test_ls_as_a_table(storage: Storage, tmp_path: Path) -> None:
    storage.ok("image", "load", "-i", write_tar(tmp_path / "a.tar", docker_files(tags=("made:1", "x.example/y:z"))))
    title, *rows = storage.ok("image", "ls", "--digests", "--no-trunc").splitlines()
    assert title.split() == ["REPOSITORY", "TAG", "DIGEST", "IMAGE", "ID", "CREATED", "SIZE"]
    assert [row.split()[:2] for row in rows] == [["made", "1"], ["x.example/y", "z"]]
    assert rows[0].split()[2:4] == [f"sha256:{row.split()[2][7:]}" for row in rows[:1]] + [rows[1].split()[3]]
    assert "years ago" in rows[0]
    assert [line.split()[0] for line in storage.ok("image", "ls", "x.example/*").splitlines()[1:]] == ["x.example/y"]
    assert storage("image", "ls", "-f", "since=x").returncode == 2


def test_a_hostile_history_cannot_write_to_the_terminal(storage: Storage, tmp_path: Path) -> None:
    one = layer(a="1")
    config = configuration(one, history=[{"created_by": "\x1b]0;owned\x07 x", "comment": "\x1b[2J"}])
    storage.ok("image", "load", "-i", write_tar(tmp_path / "a.tar", docker_files(one, config=config)))
    assert "\x1b" not in storage.ok("image", "history", "--no-trunc", "made:1")


def test_saved_archives_are_what_tar_reads(storage: Storage, tmp_path: Path) -> None:
    storage.ok("image", "load", "-i", write_tar(tmp_path / "a.tar", docker_files()))
    data = subprocess.check_output([str(word) for word in (*storage.command, "image", "save", "made:1")])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames()[-1] == "manifest.json"
        assert {entry.mtime for entry in archive} == {0}

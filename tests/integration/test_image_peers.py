"""Images go round: from skopeo, podman, buildah and umoci to us and back, the same image at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import require, run
from tests.integration.busybox_image import NAME, write_image
from tests.integration.image_maker import Storage
from tests.integration.podman_here import CONFIG, Podman
from tests.integration.stage import stage

pytestmark = pytest.mark.needs("root", "busybox")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_image(tmp_path_factory.mktemp("image") / "busybox.tar")


@pytest.fixture
def storage(tmp_path: Path, archive: Path) -> Storage:
    """One with busybox."""
    found = Storage(tmp_path)
    found.ok("image", "load", "-q", "-i", archive)
    return found


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    require("podman")
    with stage() as opened:
        (opened.place / "containers.conf").write_text(CONFIG)
        opened.env |= {"CONTAINERS_CONF": str(opened.place / "containers.conf")}
        yield Podman(opened)


def about(storage: Storage, name: str = NAME) -> dict[str, Any]:
    found: dict[str, Any] = storage.json("image", "inspect", name)[0]
    return found


def skopeo(*words: str | Path) -> str:
    done = run("skopeo", "--insecure-policy", *words)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


@pytest.mark.needs("skopeo")
def test_skopeo_reads_what_we_write(storage: Storage, tmp_path: Path) -> None:
    ours = about(storage)
    for form, transport in (("docker-archive", "docker-archive"), ("oci-archive", "oci-archive"), ("oci", "oci")):
        place = tmp_path / form
        storage.ok("image", "save", "--format", form, "-o", place, NAME)
        seen = json.loads(skopeo("inspect", f"{transport}:{place}:{NAME}"))
        assert seen["Env"] == ours["Config"]["Env"], form
        assert seen["Layers"] == ours["RootFS"]["Layers"], form
        if form != "docker-archive":
            assert seen["Digest"] == ours["ManifestDigest"], form
    assert json.loads(skopeo("inspect", "--config", f"oci:{tmp_path / 'oci'}:{NAME}"))["config"] == ours["Config"]


@pytest.mark.needs("skopeo")
@pytest.mark.parametrize("compression", [["--dest-compress-format", "zstd"], []], ids=["zstd", "gzip"])
def test_skopeo_s_copies_are_what_we_read(storage: Storage, tmp_path: Path, compression: list[str]) -> None:
    """A layout whose layers it compressed, and that back as an archive: the content stays the same."""
    storage.ok("image", "save", "--format", "oci", "-o", tmp_path / "ours", NAME)
    theirs = f"oci:{tmp_path / 'theirs'}:somewhere.example/x:1"
    skopeo("copy", *compression, "--dest-compress", f"oci:{tmp_path / 'ours'}:{NAME}", theirs)
    assert storage.ok("image", "load", "-i", tmp_path / "theirs") == "Loaded image: somewhere.example/x:1\n"
    mine, found = about(storage), about(storage, "somewhere.example/x:1")
    assert found["RootFS"] == mine["RootFS"]
    assert found["Layers"][0]["mediaType"].endswith("+zstd" if compression else "+gzip")
    storage.ok("image", "save", "-o", tmp_path / "back.tar", "somewhere.example/x:1")
    back = json.loads(skopeo("inspect", f"docker-archive:{tmp_path / 'back.tar'}"))
    assert back["Layers"] == mine["RootFS"]["Layers"]


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_podman_loads_and_saves(podman: Podman, storage: Storage, tmp_path: Path, form: str) -> None:
    ours = about(storage)
    storage.ok("image", "save", "--format", form, "-o", tmp_path / "ours.tar", NAME)
    podman.ok("load", "--quiet", "--input", tmp_path / "ours.tar")
    seen = json.loads(podman.ok("image", "inspect", NAME))[0]
    assert (f"sha256:{seen['Id']}", seen["RootFS"]["Layers"]) == (ours["Id"], ours["RootFS"]["Layers"])
    podman.ok("save", "--quiet", "--format", form, "--output", tmp_path / "theirs.tar", NAME)
    podman.ok("image", "rm", NAME)
    other = Storage(tmp_path / "other")
    assert other.ok("image", "load", "-i", tmp_path / "theirs.tar") == f"Loaded image: {NAME}\n"
    found = about(other)
    assert (found["Id"], found["RootFS"]) == (ours["Id"], ours["RootFS"])


def test_several_images_in_one_archive_of_podman_s(podman: Podman, storage: Storage, tmp_path: Path) -> None:
    storage.ok("image", "tag", NAME, "more.example/b:2")
    storage.ok("image", "import", "-c", "CMD /bin/sh", *a_tree(tmp_path), "more.example/c")
    storage.ok("image", "save", "-o", tmp_path / "ours.tar", NAME, "more.example/b:2", "more.example/c")
    podman.ok("load", "--quiet", "--input", tmp_path / "ours.tar")
    names = [NAME, "more.example/b:2", "more.example/c:latest"]
    podman.ok("save", "--quiet", "--multi-image-archive", "--output", tmp_path / "theirs.tar", *names)
    podman.ok("image", "rm", "--force", *names)
    other = Storage(tmp_path / "other")
    assert sorted(other.ok("image", "load", "-i", tmp_path / "theirs.tar").splitlines()) == [
        f"Loaded image: {name}" for name in names
    ]
    assert [about(other, name)["Id"] for name in names] == [about(storage, name)["Id"] for name in names]


def a_tree(path: Path) -> list[Path]:
    (path / "tree").mkdir()
    (path / "tree" / "hello").write_text("world")
    run("tar", "cf", path / "tree.tar", "-C", path / "tree", ".")
    return [path / "tree.tar"]


@pytest.mark.needs("buildah")
def test_buildah_builds_on_ours_and_we_load_what_it_built(podman: Podman, storage: Storage, tmp_path: Path) -> None:
    storage.ok("image", "save", "-o", tmp_path / "ours.tar", NAME)
    place, shared = podman.place, ("buildah", "--root", str(podman.place / "root"), "--runroot", "/run/podman")
    (place / "Containerfile").write_text(f'FROM {NAME}\nCOPY Containerfile /in/it\nENV A=b\nCMD ["/bin/ls"]\n')
    podman.ok("load", "--quiet", "--input", tmp_path / "ours.tar")
    podman.stage.ok(*shared, "bud", "--quiet", "--tag", "built.example/x:1", str(place))
    podman.stage.ok(*shared, "push", "--quiet", "built.example/x:1", f"oci:{place / 'built'}:built.example/x:1")
    podman.ok("image", "rm", "--force", "built.example/x:1", NAME)
    storage.ok("image", "load", "-i", place / "built")
    found = about(storage, "built.example/x:1")
    assert found["Config"]["Cmd"] == ["/bin/ls"] and "A=b" in found["Config"]["Env"]
    assert found["RootFS"]["Layers"][0] == about(storage)["RootFS"]["Layers"][0]
    assert "COPY" in storage.ok("image", "history", "--no-trunc", "built.example/x:1")


@pytest.mark.needs("umoci", "skopeo")
def test_umoci_s_layout_and_ours(storage: Storage, tmp_path: Path) -> None:
    """An image that umoci made; then it changes one that we exported, in our layout, and we load that."""
    place = tmp_path / "theirs"

    def umoci(*words: str | Path) -> str:
        done = run("umoci", *words)
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    umoci("init", "--layout", place)
    umoci("new", "--image", f"{place}:empty")
    (tmp_path / "file").write_text("inserted")
    umoci("insert", "--image", f"{place}:empty", "--tag", "made", tmp_path / "file", "/file")
    umoci("config", "--image", f"{place}:made", "--config.cmd", "/file", "--config.env", "A=b")
    assert "Loaded image: made:latest" in storage.ok("image", "load", "-i", place)
    assert about(storage, "made")["Config"]["Cmd"] == ["/file"]
    assert len(about(storage, "made")["Layers"]) == 1

    storage.ok("image", "export", NAME, tmp_path / "ours")
    skopeo("copy", f"oci:{tmp_path / 'ours'}:{NAME}", f"oci:{tmp_path / 'ours'}:plain")  # umoci's tags have no /
    assert "plain" in umoci("ls", "--layout", tmp_path / "ours")
    umoci("insert", "--image", f"{tmp_path / 'ours'}:plain", "--tag", "more", tmp_path / "file", "/file")
    storage.ok("image", "load", "-i", tmp_path / "ours")
    assert about(storage, "more")["RootFS"]["Layers"][:1] == about(storage)["RootFS"]["Layers"]
    assert len(about(storage, "more")["RootFS"]["Layers"]) == 2


@pytest.mark.needs("buildah", "skopeo", "umoci")
@pytest.mark.parametrize("maker", ["buildah", "umoci"])
def test_loaded_run_committed_saved_and_read_back(podman: Podman, storage: Storage, tmp_path: Path, maker: str) -> None:
    """An image of somebody else's, a container of it, and what it left as an image that others read."""
    place = podman.place / maker
    place.mkdir()
    storage.ok("image", "save", "--format", "oci", "-o", place / "layout", NAME)
    skopeo("copy", f"oci:{place / 'layout'}:{NAME}", f"oci:{place / 'layout'}:plain")
    if maker == "umoci":
        (place / "file").write_text("of umoci's\n")
        umoci = ("umoci", "insert", "--image", f"{place / 'layout'}:plain", "--tag", "theirs", place / "file", "/file")
        assert run(*umoci).returncode == 0
    else:
        shared = ("buildah", "--root", str(podman.place / "root"), "--runroot", "/run/podman")
        storage.ok("image", "save", "-o", place / "ours.tar", NAME)
        podman.ok("load", "--quiet", "--input", place / "ours.tar")
        (place / "Containerfile").write_text(f'FROM {NAME}\nRUN echo "of buildah\'s" > /file\n')
        podman.stage.ok(*shared, "bud", "--quiet", "--isolation", "chroot", "--tag", "theirs", str(place))
        podman.stage.ok(*shared, "push", "--quiet", "theirs", f"oci:{place / 'layout'}:theirs")
        podman.ok("image", "rm", "--force", "theirs", NAME)
    storage.ok("image", "load", "-i", place / "layout")
    change = "cat /file; echo more > /new; rm /etc/group; mv /tmp /tmp2"
    said = storage.ok("container", "run", "--name", "c", "--net", "none", "theirs", "/bin/sh", "-c", change)
    assert said == f"of {maker}'s\n"
    storage.ok("container", "commit", "-c", "ENV X=y", "c", "ours.example/after:1")
    storage.ok("container", "rm", "c")
    storage.ok("image", "save", "-o", place / "after.tar", "ours.example/after:1")
    seen = json.loads(skopeo("inspect", f"docker-archive:{place / 'after.tar'}"))
    assert "X=y" in seen["Env"] and len(seen["Layers"]) == len(about(storage, "theirs")["Layers"]) + 1
    podman.ok("load", "--quiet", "--input", place / "after.tar")
    look = "cat /file /new; ls -d /etc/group /tmp /tmp2 2>/dev/null || true; env | grep ^X="
    assert podman.said(args=("sh", "-c", look), image="ours.example/after:1") == f"of {maker}'s\nmore\n/tmp2\nX=y"
    podman.ok("image", "rm", "--force", "ours.example/after:1")

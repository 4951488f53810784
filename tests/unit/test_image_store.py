"""The content store, names and what they lead to, locks, garbage, and images that are composed."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from minirun.errors import MinirunError
from minirun.images import media
from minirun.images.blobs import Blobs, digest_of
from minirun.images.compose import image_from
from minirun.images.media import Descriptor
from minirun.images.reference import parse
from minirun.images.store import Image, Images

MOMENT = "2020-01-01T00:00:00Z"


@pytest.fixture
def images(tmp_path: Path) -> Images:
    return Images(str(tmp_path / "storage"))


def made(images: Images, content: str, name: str = "", **more: object) -> Image:
    layer = images.blobs.put(content.encode(), media.LAYER)
    return image_from(
        images, layers=[(layer, layer.digest)], name=parse(name).name if name else "", created=MOMENT, **more  # type: ignore[arg-type]
    )  # fmt: skip


def expected(data: bytes) -> Descriptor:
    return Descriptor(mediaType="", digest=digest_of(data), size=len(data))


def entries(images: Images, folder: str) -> list[str]:
    return sorted(path.name for path in (Path(images.storage) / folder).rglob("*") if path.is_file())


# -- blobs


def test_a_blob_is_what_was_expected_or_is_not_there(images: Images) -> None:
    data = b"x" * 100
    for said, sent, why in (
        (expected(data), data + b"y", "more than 100 bytes"),
        (expected(data), data[:-1], "99 bytes, not 100"),
        (expected(data), b"y" * 100, "its digest is"),
    ):
        writer = images.blobs.writer(said)
        with pytest.raises(MinirunError, match=why):
            for at in range(0, len(sent), 33):
                writer.write(sent[at : at + 33])
            writer.commit()
        assert entries(images, "ingest") == [] and not images.blobs.has(said.digest)
    assert images.blobs.put(data).digest == digest_of(data)
    assert images.blobs.read(digest_of(data), verify=True) == data
    assert (Path(images.blobs.path(digest_of(data))).stat().st_mode & 0o777) == 0o400


def test_sha512_too(images: Images) -> None:
    one = Descriptor(mediaType="", digest=digest_of(b"x", "sha512"), size=1)
    writer = images.blobs.writer(one)
    writer.write(b"x")
    assert writer.commit() == (one.digest, 1)
    assert images.blobs.read(one.digest, verify=True) == b"x"


def test_a_download_goes_on_where_it_was(images: Images) -> None:
    data = bytes(range(256)) * 10
    writer = images.blobs.partial(expected(data))
    writer.write(data[:1000])
    writer.suspend()
    writer = images.blobs.partial(expected(data))
    assert writer.written == 1000
    other = images.blobs.partial(expected(data))  # a second pull meanwhile: from the beginning, in a file of its own
    assert other.written == 0
    other.write(data)
    other.commit()
    writer.write(data[1000:])
    writer.commit()
    assert entries(images, "ingest") == [] and images.blobs.has(digest_of(data), len(data))


def left_behind(images: Images, data: bytes, piece: bytes) -> None:
    """What somebody else's download of ``data`` left."""
    writer = images.blobs.partial(expected(data))
    writer.limit = 100
    writer.write(piece)
    writer.suspend()


def test_a_piece_of_something_else_is_found_out(images: Images) -> None:
    data = b"x" * 10
    left_behind(images, data, b"y" * 5)
    writer = images.blobs.partial(expected(data))
    writer.write(data[writer.written :])
    with pytest.raises(MinirunError, match="its digest is"):
        writer.commit()
    assert entries(images, "ingest") == []
    left_behind(images, data, b"y" * 11)
    writer = images.blobs.partial(expected(data))
    assert writer.written == 0  # too long to be a piece of this one
    writer.write(data)
    writer.commit()
    assert entries(images, "ingest") == []


def test_a_damaged_blob_is_seen(images: Images) -> None:
    digest = images.blobs.put(b"right").digest
    Path(images.blobs.path(digest)).chmod(0o600)
    Path(images.blobs.path(digest)).write_bytes(b"wrong")
    with pytest.raises(MinirunError, match="is damaged"):
        images.blobs.read(digest, verify=True)
    with pytest.raises(MinirunError, match="too large"):
        images.blobs.read(digest, limit=3)
    with pytest.raises(MinirunError, match="cannot open the blob"):
        images.blobs.read(digest_of(b"nothing"))


# -- names


def test_find_by_everything_that_means_it(images: Images) -> None:
    image = made(images, "a", "busybox")
    other = made(images, "b", "x.example/busybox:1")
    words = ["busybox", "busybox:latest", image.id, image.id[7:], image.id[7:19], image.id[:20], image.target.digest,
             f"busybox@{image.target.digest}", f"busybox:latest@{image.target.digest}"]  # fmt: skip
    for word in words:
        assert images.find(word).id == image.id, word
    assert images.find("x.example/busybox:1").id == other.id
    for word in ("busybox:2", f"busybox@{other.target.digest}", "f" * 64, "nothing", "sha256:" + "0" * 64):
        assert images.lookup(word) is None
        with pytest.raises(MinirunError, match="there is no image"):
            images.find(word)
    with pytest.raises(MinirunError, match="is not the name of an image"):
        images.find("NOT A NAME")


def test_a_name_goes_before_an_id(images: Images) -> None:
    image = made(images, "a", "x")
    other = made(images, "b", image.id[7:13])
    assert images.find(image.id[7:13]).id == other.id
    assert images.find(image.id[7:14]).id == image.id


def test_a_beginning_that_two_share_is_refused(images: Images) -> None:
    """Sixteen images and one digit."""
    ids = [made(images, str(number), f"n:{number}").id for number in range(17)]
    shared = next(one[7] for one in ids if sum(other[7] == one[7] for other in ids) > 1)
    with pytest.raises(MinirunError, match="more than one image's id"):
        images.find(shared)


def test_a_name_that_goes_to_another_image_leaves_the_first_without(images: Images) -> None:
    first, second = made(images, "a", "x"), made(images, "b", "x")
    assert images.find("x").id == second.id
    assert images.find(first.id).names == []
    images.tag(parse("y").name, first.target)
    assert sorted(images.names()) == [parse("x").name, parse("y").name]
    assert images.untag(parse("y").name, keep=True) == first.target
    assert first.target.digest in images.names()


def test_the_same_image_twice_has_one_name(images: Images) -> None:
    """Compressed otherwise: another manifest of the same id takes the name, and no <none> stays."""
    first = made(images, "a", "x")
    blob = images.blobs.put(b"pretend gzip", media.LAYER_GZIP)
    manifest = {**first.manifest, "layers": [blob.to_json()]}
    images.tag(first.name, images.blobs.put(json.dumps(manifest).encode(), media.MANIFEST))
    assert list(images.names()) == [first.name]
    assert images.find("x").id == first.id and images.find("x").target != first.target


def test_an_index_is_what_is_here_of_it(images: Images) -> None:
    """One platform is whole, of the other a layer is missing (a pull was killed), the third is not here."""
    parts = []
    for architecture in ("amd64", "arm64", "s390x"):
        image = made(images, architecture, f"part:{architecture}", platform=architecture)
        parts.append({**image.target.to_json(), "platform": {"os": "linux", "architecture": architecture}})
        lost = {"arm64": image.layers[0].digest, "s390x": image.target.digest}.get(architecture)
        if lost:
            Path(images.blobs.path(lost)).unlink()
    index = images.blobs.put(json.dumps({"schemaVersion": 2, "manifests": parts}).encode(), media.INDEX)
    images.tag(parse("all").name, index)
    assert images.find("all", "amd64").config["architecture"] == "amd64"
    assert [image.names for image in images.all() if image.target.digest == index.digest] == [[parse("all").name]]
    for platform in ("arm64", "s390x"):
        assert images.lookup("all", platform) is None
        with pytest.raises(MinirunError, match="is not here for linux/"):
            images.find("all", platform)
    damaged: list[str] = []
    images.all(damaged)
    assert sorted(damaged) == [parse("part:arm64").name, parse("part:s390x").name]


# -- garbage and locks


def test_garbage_is_what_nothing_leads_to(images: Images) -> None:
    image, base = made(images, "a", "x"), made(images, "b", "base")
    child = image_from(images, base=base, config={"Cmd": ["x"]}, name=parse("child").name, created=MOMENT)
    lost = images.blobs.put(b"lost")
    kept = images.blobs.put(b"kept")
    writer = images.blobs.partial(expected(b"part"))
    writer.write(b"pa")
    writer.suspend()
    images.untag(base.name)
    with images.exclusive():
        assert images.gc(keep=[kept.digest])[0] == 3  # lost, and what base had alone: manifest and configuration
    assert not images.blobs.has(lost.digest) and images.blobs.has(kept.digest)
    assert images.find("child").layers == base.layers == child.layers
    assert images.find("x").id == image.id
    assert entries(images, "ingest") == [f"{digest_of(b'part')[7:]}.part"]
    with images.exclusive():
        images.gc(partials=True)
    assert entries(images, "ingest") == []


def test_the_exclusive_lock_waits_for_the_shared_ones(images: Images) -> None:
    with images.shared(), images.shared():
        assert not images.exclusive(patience=0.05).acquire()
        with pytest.raises(MinirunError, match=r"still locked$"), images.exclusive(patience=0):
            pass
    with images.exclusive(patience=0):
        pass


def tagging(storage: str, number: int) -> None:
    images = Images(storage)
    for turn in range(10):
        images.tag(f"r/n:{number}-{turn}", Descriptor(mediaType="", digest="sha256:" + "0" * 64, size=1))


def test_names_given_at_the_same_time_are_all_there(images: Images) -> None:
    workers = [multiprocessing.get_context("fork").Process(target=tagging, args=(images.storage, n)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert len(images.names()) == 40


def test_a_storage_that_is_another_s_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MinirunError) as caught, Images(str(tmp_path / "file")).shared():
        pass
    assert str(tmp_path / "file") in str(caught.value)


# -- composed


def test_the_same_input_is_the_same_image(tmp_path: Path) -> None:
    digests = set()
    for number in (1, 2):
        images = Images(str(tmp_path / str(number)))
        image = made(images, "a", "x", config={"Cmd": ["sh"], "Env": ["A=b"]}, history="by a test", author="me")
        digests.add(image.target.digest)
        assert list(image.config) == ["created", "author", "architecture", "os", "config", "rootfs", "history"]
    assert len(digests) == 1


def test_a_layer_on_top_of_a_base(images: Images) -> None:
    base = made(images, "a", "base", config={"Cmd": ["sh"], "Env": ["A=b"], "Entrypoint": ["e"]}, history="first")
    top = images.blobs.put(b"top", media.DOCKER_LAYER_GZIP)
    image = image_from(
        images, base=base, layers=[(top, "sha256:" + "1" * 64)], config={"Cmd": ["x"], "Entrypoint": None},
        history="second", comment="why", name=parse("top").name, created=MOMENT,
    )  # fmt: skip
    assert image.config["config"] == {"Cmd": ["x"], "Env": ["A=b"]}
    assert image.diff_ids == [*base.diff_ids, "sha256:" + "1" * 64]
    assert [layer.mediaType for layer in image.layers] == [media.LAYER, media.LAYER_GZIP]
    assert [line.get("created_by") for line in image.config["history"]] == ["first", "second"]
    assert images.blobs.read(image.target.digest, verify=True)


def test_blobs_have_a_place_of_their_own(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path))
    assert blobs.path("sha256:" + "a" * 64) == f"{tmp_path}/blobs/sha256/{'a' * 64}"

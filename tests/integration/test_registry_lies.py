"""Registries that lie: one clear error, in time, and nothing is left of what they sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minirun.images import media
from tests.integration.odd_pulls import BLOB, LAYER, SECOND, blob_of, fetch, left, refused
from tests.integration.odd_registry import Odd, digest_of, endless, reply


@pytest.fixture
def odd() -> Iterator[Odd]:
    made = Odd()
    yield made
    made.close()


def test_an_honest_one(odd: Odd, tmp_path: Path) -> None:
    said = odd.image([LAYER, SECOND])
    image = fetch(odd, tmp_path)
    assert image.target.digest == said["digest"] and len(image.layers) == 2
    assert image.name == f"{odd.host}/x:latest"
    assert not [name for name in left(tmp_path) if name.startswith(("ingest", "tmp"))]


def test_types_are_the_documents_own(odd: Odd, tmp_path: Path) -> None:
    """Whatever the header says that means nothing; Docker's lists; and an OCI document that names no type at all."""
    plain = "application/json"
    said = [
        (media.MANIFEST, media.MANIFEST),
        (plain, media.MANIFEST),
        ("text/plain; charset=utf-8", media.MANIFEST),
        (media.MANIFEST, None),
        (plain, None),
        (media.DOCKER_MANIFEST, media.DOCKER_MANIFEST),
    ]
    for number, (kind, own) in enumerate(said):
        odd.image([LAYER], mediaType=own)
        path = "/v2/x/manifests/latest"
        odd.things[path] = (kind, odd.things[path][1])
        image = fetch(odd, tmp_path / str(number))
        assert image.target.mediaType == (own or media.MANIFEST)
    inner = {**odd.image([LAYER], "inner"), "platform": platform()}
    for kind in media.INDEXES:
        odd.document({"schemaVersion": 2, "mediaType": kind, "manifests": [inner]}, "latest", kind)
        assert fetch(odd, tmp_path / "index").target.mediaType == kind


def test_a_blob_with_another_digest(odd: Odd, tmp_path: Path) -> None:
    odd.image([SECOND, LAYER])
    odd.odd[BLOB] = blob_of(LAYER[:-1] + b"!")
    error = refused(odd, tmp_path, "cannot pull .*its digest is sha256:")
    assert error.step.startswith(f"GET {odd.url}{BLOB}")


def test_a_blob_of_another_size(odd: Odd, tmp_path: Path) -> None:
    odd.image([LAYER])
    for data in (LAYER + b"more", LAYER[:-5], b""):
        odd.odd[BLOB] = blob_of(data)
        refused(odd, tmp_path, f"a blob of {len(data)} bytes, not the {len(LAYER)}")


def test_a_blob_without_end(odd: Odd, tmp_path: Path) -> None:
    odd.image([LAYER])
    odd.odd[BLOB] = endless(odd)
    refused(odd, tmp_path, f"more than {len(LAYER)} bytes")


def test_sizes_that_nobody_has_room_for(odd: Odd, tmp_path: Path) -> None:
    huge = {"mediaType": media.LAYER, "digest": digest_of(LAYER), "size": 1 << 49}
    odd.image([LAYER], layers=[huge])
    refused(odd, tmp_path, "bytes are to come, .* are free")
    odd.image([LAYER], layers=[{**huge, "size": -1}])
    refused(odd, tmp_path, "is not valid: the size of")


def test_a_document_without_end(odd: Odd, tmp_path: Path) -> None:
    odd.odd["/v2/x/manifests/latest"] = endless(odd)
    refused(odd, tmp_path, "more than 4194304 bytes")
    odd.document(b" " * (media.DOCUMENT_LIMIT + 1), "big")
    refused(odd, tmp_path, "more than 4194304 bytes", name="x:big")
    odd.document(b'{"layers":' + b"[" * 100_000, "deep")
    refused(odd, tmp_path, "is not valid", name="x:deep")


def test_documents_that_are_something_else(odd: Odd, tmp_path: Path) -> None:
    values: tuple[dict[str, Any], ...] = (
        {},
        {"x": []},
        {"schemaVersion": 1, "fsLayers": []},
        {"mediaType": "text/html", "layers": []},
    )
    for value in values:
        odd.document(json.dumps(value).encode(), "latest")
        refused(odd, tmp_path, "is not valid")
    odd.image([LAYER], mediaType=media.INDEX)
    refused(odd, tmp_path, "is not valid")
    odd.image([LAYER], manifests=[])
    refused(odd, tmp_path, "an index and a manifest at once")
    odd.image([LAYER], layers=[])
    refused(odd, tmp_path, "1 diff ids for 0 layers")
    odd.odd["/v2/x/manifests/latest"] = lambda handler: reply(handler, b"<html>", headers={"Content-Type": "text/html"})
    refused(odd, tmp_path, "not JSON")


def test_a_digest_means_that_digest(odd: Odd, tmp_path: Path) -> None:
    said, wrong = odd.image([LAYER], "one"), odd.image([SECOND], "two")
    odd.things[f"/v2/x/manifests/{said['digest']}"] = odd.things["/v2/x/manifests/two"]
    refused(odd, tmp_path, f"its digest is {wrong['digest']}", name=f"x@{said['digest']}")
    index = {"schemaVersion": 2, "mediaType": media.INDEX, "manifests": [{**said, "platform": platform()}]}
    odd.document(index, "latest", media.INDEX)
    refused(odd, tmp_path, f"for {said['digest']} of")


def platform(architecture: str = "amd64") -> dict[str, str]:
    return {"os": "linux", "architecture": architecture}


def test_indexes_that_lead_nowhere(odd: Odd, tmp_path: Path) -> None:
    loop = {"mediaType": media.INDEX, "digest": digest_of(b"loop"), "size": 4, "platform": platform()}
    inner = odd.document({"schemaVersion": 2, "mediaType": media.INDEX, "manifests": [loop]}, "latest", media.INDEX)
    odd.things[f"/v2/x/manifests/{loop['digest']}"] = odd.things["/v2/x/manifests/latest"]
    refused(odd, tmp_path, "is not valid: for sha256")
    for _ in range(4):
        inner = odd.document(
            {"schemaVersion": 2, "mediaType": media.INDEX, "manifests": [{**inner, "platform": platform()}]},
            "latest", media.INDEX,
        )  # fmt: skip
    refused(odd, tmp_path, "indexes within indexes")
    foreign = {**odd.image([LAYER], "arm"), "platform": platform("s390x")}
    odd.document({"schemaVersion": 2, "mediaType": media.INDEX, "manifests": [foreign]}, "latest", media.INDEX)
    error = refused(odd, tmp_path, "there is none for linux/amd64")
    assert "linux/s390x" in error.hint
    odd.document({"schemaVersion": 2, "mediaType": media.INDEX, "manifests": []}, "latest", media.INDEX)
    refused(odd, tmp_path, "there is none for linux/amd64")

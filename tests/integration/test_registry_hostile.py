"""Registries that lie, loop, stall or break off: one clear error, in time, nothing left; credentials stay home."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from minirun.errors import MinirunError
from minirun.images import media, reference
from minirun.images.authority import Who
from minirun.images.credentials import Credentials
from minirun.images.dial import Manner
from minirun.images.pull import pull
from minirun.images.store import Image, Images
from tests.integration import registries
from tests.integration.odd_registry import MANIFEST, Odd, broken, digest_of, endless, redirect, reply, say, trickle
from tests.integration.small_images import noise, tarball

LAYER = tarball({"file": noise(300_000, 1)})
SECOND = tarball({"other": b"x" * 1000})
HASTY = Manner(attempts=3, pause=0.01, connect=2.0, silence=0.6, answer=1.0)
BLOB = f"/v2/x/blobs/{digest_of(LAYER)}"
NAMED = Who(given=Credentials(user="ann", password="s3cret-word"))


@pytest.fixture
def odd() -> Iterator[Odd]:
    made = Odd()
    yield made
    made.close()


@pytest.fixture
def other() -> Iterator[Odd]:
    made = Odd()
    yield made
    made.close()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return registries.authority(tmp_path_factory.mktemp("tls"))


def fetch(odd: Odd, folder: Path, name: str = "x", who: Who | None = None, **more: Any) -> Image:
    wanted = reference.parse(f"{odd.host}/{name}")
    words = {"platform": "linux/amd64", **more.pop("pull", {})}
    manner = Manner(**{**HASTY.__dict__, **more})
    return pull(Images(str(folder / "storage")), wanted, who=who or Who(), manner=manner, **words)


def left(folder: Path) -> list[str]:
    """Whatever is in the storage, but for locks and empty directories."""
    found = [path for path in (folder / "storage").rglob("*") if path.is_file() and not path.name.endswith("lock")]
    return sorted(path.relative_to(folder / "storage").as_posix() for path in found)


def refused(odd: Odd, folder: Path, pattern: str, **more: Any) -> MinirunError:
    before = time.monotonic()
    with pytest.raises(MinirunError, match=pattern) as caught:
        fetch(odd, folder, **more)
    assert time.monotonic() - before < 10
    assert left(folder) == []
    face = caught.value.face()
    assert "s3cret" not in face and "Traceback" not in face and len(face) < 1500
    return caught.value


def test_an_honest_one(odd: Odd, tmp_path: Path) -> None:
    said = odd.image([LAYER, SECOND])
    image = fetch(odd, tmp_path)
    assert image.target.digest == said["digest"] and len(image.layers) == 2
    assert image.name == f"{odd.host}/x:latest"
    assert not [name for name in left(tmp_path) if name.startswith(("ingest", "tmp"))]


# lies


def blob_of(data: bytes) -> Callable[[Any], None]:
    return lambda handler: reply(handler, data)


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


# where it leads


def test_a_redirect_gets_no_credentials(odd: Odd, other: Odd, tmp_path: Path) -> None:
    odd.image([LAYER])
    other.things[BLOB] = odd.things[BLOB]
    odd.odd[BLOB] = redirect(f"{other.url}{BLOB}?signature=1")
    ask_for(odd)
    fetch(odd, tmp_path, who=NAMED)
    assert all("Authorization" in headers for headers in odd.asked(digest_of(LAYER)))
    assert [headers.get("Authorization") for headers in other.asked(digest_of(LAYER))] == [None]


def ask_for(odd: Odd) -> None:
    """Basic, at its door."""
    odd.odd["/v2/"] = lambda handler: say(
        handler, 401, "UNAUTHORIZED", "who?", headers={"WWW-Authenticate": 'Basic realm="odd"'}
    )


def test_a_stranger_that_asks_for_credentials_gets_none(odd: Odd, other: Odd, tmp_path: Path) -> None:
    odd.image([LAYER])
    ask_for(odd)
    for challenge in ('Basic realm="mine"', f'Bearer realm="{other.url}/token"'):
        other.odd[BLOB] = lambda handler, challenge=challenge: say(  # type: ignore[misc]
            handler, 401, "UNAUTHORIZED", "who?", headers={"WWW-Authenticate": challenge}
        )
        odd.odd[BLOB] = redirect(f"{other.url}{BLOB}")
        with pytest.raises(MinirunError, match="cannot pull"):
            fetch(odd, tmp_path, who=NAMED)
    assert other.seen and not [1 for _, _, headers in other.seen if "Authorization" in headers]


def test_nothing_leads_from_tls_to_plain_text(odd: Odd, tls: dict[str, Path], tmp_path: Path) -> None:
    safe = Odd(tls)
    try:
        safe.image([LAYER])
        odd.things[BLOB] = safe.things[BLOB]
        safe.odd[BLOB] = redirect(f"{odd.url}{BLOB}")
        certs = tmp_path / "certs"
        certs.mkdir()
        (certs / "ca.crt").write_bytes(tls["ca"].read_bytes())
        with pytest.raises(MinirunError, match="from TLS to plain text"):
            fetch(safe, tmp_path, own_certs=str(certs))
        realm = f'Bearer realm="{odd.url}/token",service="x"'
        safe.odd["/v2/"] = lambda handler: say(
            handler, 401, "UNAUTHORIZED", "who?", headers={"WWW-Authenticate": realm}
        )
        with pytest.raises(MinirunError, match="for a token, without TLS"):
            fetch(safe, tmp_path, own_certs=str(certs), who=NAMED)
        assert odd.seen == []
    finally:
        safe.close()


@pytest.mark.parametrize("target", ["file:///etc/passwd", "http://192.0.2.1/x", "http://u:p@127.0.0.1/x", "http://[/x"])
def test_addresses_that_are_not_asked(odd: Odd, tmp_path: Path, target: str) -> None:
    odd.odd["/v2/x/manifests/latest"] = redirect(target)
    refused(odd, tmp_path, "not an address|without TLS|credentials in it")


def test_redirects_without_end(odd: Odd, tmp_path: Path) -> None:
    odd.image([LAYER])
    odd.odd[BLOB] = redirect(BLOB)
    with pytest.raises(MinirunError, match="more than 6 redirects"):
        fetch(odd, tmp_path)
    assert len(odd.asked(digest_of(LAYER))) == 6


def test_a_registry_that_never_takes_a_token(odd: Odd, tmp_path: Path) -> None:
    """One new token for each refusal, and no more: it does not go on for ever."""
    odd.odd["/token"] = lambda handler: reply(handler, b'{"token": "abc"}')
    realm = f'Bearer realm="{odd.url}/token",service="odd"'
    for path in ("/v2/", "/v2/x/manifests/latest"):
        odd.odd[path] = lambda handler: say(handler, 401, "UNAUTHORIZED", "no", headers={"WWW-Authenticate": realm})
    error = refused(odd, tmp_path, "does not take these credentials", who=NAMED)
    assert len(odd.asked("/token")) == 2 and "image login" in error.hint


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"token": 7}', b'{"token": "a\\r\\nb: c"}', b'{"token": ""}'])
def test_a_token_server_that_talks_nonsense(odd: Odd, tmp_path: Path, body: bytes) -> None:
    odd.odd["/token"] = lambda handler: reply(handler, body)
    realm = f'Bearer realm="{odd.url}/token"'
    odd.odd["/v2/"] = lambda handler: say(handler, 401, "UNAUTHORIZED", "who?", headers={"WWW-Authenticate": realm})
    refused(odd, tmp_path, "answers without one", who=NAMED)


# trouble that passes, and trouble that does not


def test_what_breaks_off_goes_on_where_it_was(odd: Odd, tmp_path: Path) -> None:
    odd.image([LAYER])
    odd.odd[BLOB] = broken(LAYER, 100_000, [2])
    fetch(odd, tmp_path)
    assert [headers.get("Range") for headers in odd.asked(digest_of(LAYER))] == [None, "bytes=100000-", "bytes=200000-"]


def test_what_always_breaks_off_is_an_error_and_is_kept_for_the_next(odd: Odd, tmp_path: Path) -> None:
    odd.image([LAYER])
    odd.odd[BLOB] = broken(LAYER, 50_000, [3])
    with pytest.raises(MinirunError, match=r"cannot pull .*the connection .* broke|ended after") as caught:
        fetch(odd, tmp_path)
    assert "goes on from there" in caught.value.hint
    assert [name for name in left(tmp_path) if name.endswith(".part")]
    fetch(odd, tmp_path)
    assert odd.asked(digest_of(LAYER))[-1]["Range"] == "bytes=150000-"


def test_a_piece_that_was_wrong_costs_one_more_try(odd: Odd, tmp_path: Path) -> None:
    odd.image([LAYER])
    ingest = tmp_path / "storage" / "ingest"
    ingest.mkdir(parents=True)
    part = ingest / f"{digest_of(LAYER).removeprefix('sha256:')}.part"
    for wrong in (b"wrong" * 1000, LAYER[:-1] + b"!", LAYER + b"too long"):
        part.write_bytes(wrong)
        fetch(odd, tmp_path)
        assert (tmp_path / "storage/blobs/sha256" / part.stem).read_bytes() == LAYER
        (tmp_path / "storage/blobs/sha256" / part.stem).unlink()
    odd.odd[BLOB] = blob_of(LAYER)  # knows no Range
    part.write_bytes(LAYER[:1000])
    fetch(odd, tmp_path)


def test_a_busy_registry_is_asked_again(odd: Odd, tmp_path: Path) -> None:
    odd.image([LAYER])
    path = "/v2/x/manifests/latest"
    answers = [503, 429]

    def act(handler: Any) -> None:
        if answers:
            say(handler, answers.pop(), "TOOMANYREQUESTS", "later", headers={"Retry-After": "0"})
        else:
            reply(handler, odd.things[path][1], headers={"Content-Type": MANIFEST})

    odd.odd[path] = act
    fetch(odd, tmp_path)
    assert len(odd.asked("latest")) == 3


def test_a_registry_that_is_busy_for_long(odd: Odd, tmp_path: Path) -> None:
    odd.odd["/v2/x/manifests/latest"] = lambda handler: say(
        handler, 429, "TOOMANYREQUESTS", "you have reached your limit", headers={"Retry-After": "3600"}
    )
    error = refused(odd, tmp_path, "has had enough requests")
    assert len(odd.asked("latest")) == 1 and "3600" in error.hint and "you have reached your limit" in error.step
    odd.odd["/v2/x/manifests/latest"] = lambda handler: reply(handler, b"oops", status=500)
    refused(odd, tmp_path, "the registry has failed")
    assert len(odd.asked("latest")) == 1 + 3


def test_a_registry_that_trickles(odd: Odd, tmp_path: Path) -> None:
    odd.image([LAYER])
    odd.odd[BLOB] = trickle(odd, LAYER)
    with pytest.raises(MinirunError, match="sends next to nothing"):
        fetch(odd, tmp_path, attempts=1)
    odd.odd["/v2/x/manifests/latest"] = trickle(odd, b"", head=True)
    with pytest.raises(MinirunError, match=r"no answer from .* in time"):
        fetch(odd, tmp_path, attempts=1)
    odd.odd["/v2/x/manifests/latest"] = trickle(odd, b" " * 9999)
    with pytest.raises(MinirunError, match=r"no whole answer from|next to nothing"):
        fetch(odd, tmp_path, attempts=1)
    odd.odd["/v2/"] = lambda handler: time.sleep(1.5)
    with pytest.raises(MinirunError, match=r"is silent|in time"):
        fetch(odd, tmp_path, attempts=1)


def test_what_is_no_registry(odd: Odd, tmp_path: Path) -> None:
    odd.odd["/v2/"] = lambda handler: reply(handler, b"welcome", status=404)
    refused(odd, tmp_path, "cannot pull")
    free = Odd()
    free.close()
    error = refused(free, tmp_path, "connection refused")
    assert free.host in error.reason and "does a registry listen there" in error.hint


def test_a_certificate_that_is_not_to_be_trusted(tls: dict[str, Path], tmp_path: Path) -> None:
    safe = Odd(tls)
    try:
        safe.image([LAYER])
        error = refused(safe, tmp_path, f"the certificate of {safe.host} is not to be trusted")
        assert f"/etc/containers/certs.d/{safe.host}/ca.crt" in error.hint
        assert fetch(safe, tmp_path, verify=False).id
        certs = tmp_path / "certs" / safe.host
        certs.mkdir(parents=True)
        (certs / "ca.crt").write_bytes(tls["ca"].read_bytes())
        assert fetch(safe, tmp_path, certs=(str(tmp_path / "certs"),)).id
        os.truncate(certs / "ca.crt", 0)
        with pytest.raises(MinirunError, match="cannot use a certificate"):
            fetch(safe, tmp_path, certs=(str(tmp_path / "certs"),))
    finally:
        safe.close()

"""Pushes to registries with habits of their own: uploads that lead elsewhere, limits, trouble in the middle, lies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from minirun.errors import MinirunError
from minirun.images import media
from tests.integration import registries
from tests.integration.odd_pulls import NAMED, fetch
from tests.integration.odd_registry import Handler, Odd, digest_of, reply, say, trickle
from tests.integration.real_pulls import KNOWN, fetch as get, send, small
from tests.integration.registries import TokenServer
from tests.integration.small_images import image as small_image


class Taking(Odd):
    """Takes pushes to x: at ``place``, which may be another host, at most ``most`` bytes at once."""

    def __init__(self, place: str = "", most: int = 1 << 30) -> None:
        super().__init__()
        self.place, self.most = place, most
        self.busy = 0  # how many uploads fail at their end
        self.uploads: dict[str, bytes] = {}

    def answer(self, handler: Handler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        parts = urlsplit(handler.path)
        fields = parse_qs(parts.query)
        if handler.command in ("GET", "HEAD") or parts.path in self.odd:
            super().answer(handler)
            return
        self.seen.append((handler.command, handler.path, dict(handler.headers)))
        if handler.command == "POST":
            name = f"{len(self.uploads)}"
            self.uploads[name] = b""
            reply(handler, b"", status=202, headers={"Location": f"{self.place}/upload/{name}?state=a%2Fb"})
        elif parts.path.startswith("/upload/"):
            self.take(handler, parts.path, fields, body)
        else:
            self.document(body, parts.path.rpartition("/")[2], handler.headers["Content-Type"])
            reply(handler, b"", status=201, headers={"Docker-Content-Digest": digest_of(body)})

    def take(self, handler: Handler, path: str, fields: dict[str, Any], body: bytes) -> None:
        name = path.rpartition("/")[2]
        assert fields["state"] == ["a/b"]
        if len(body) > self.most:
            say(handler, 413, "SIZE_INVALID", "too much at once")
            return
        data = self.uploads[name] = self.uploads.get(name, b"") + body
        if handler.command == "PATCH":
            more = {"Location": f"{self.place}{handler.path}", "Range": f"0-{len(data) - 1}"}
            reply(handler, b"", status=202, headers=more)
        elif self.busy:
            self.busy -= 1
            say(handler, 503, "UNAVAILABLE", "later")
        elif [digest_of(data)] != fields["digest"]:
            say(handler, 400, "DIGEST_INVALID", "that is something else")
        else:
            self.blob(data)
            reply(handler, b"", status=201)


@pytest.fixture
def taking() -> Iterator[Taking]:
    made = Taking()
    yield made
    made.close()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    storage = tmp_path_factory.mktemp("store") / "storage"
    small_image(storage, "local.test/small:1", (1000, 500_000))
    return storage


def test_an_upload_to_another_host_gets_no_credentials(store: Path, tmp_path: Path) -> None:
    other = Taking()
    registry = Taking(place=other.url)
    try:
        registry.odd["/v2/"] = lambda handler: say(
            handler, 401, "UNAUTHORIZED", "who?", headers={"WWW-Authenticate": 'Basic realm="x"'}
        )
        send(store, f"{registry.host}/x:1", who=NAMED)
        assert {method for method, _, _ in other.seen} == {"PUT"} and len(other.uploads) == 3
        assert not [1 for _, _, headers in other.seen if "Authorization" in headers]
        posts = [headers for method, _, headers in registry.seen if method == "POST"]
        assert posts and all("Authorization" in headers for headers in posts)
    finally:
        registry.close()
        other.close()


def test_what_is_too_much_at_once_goes_in_parts(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minirun.images.upload.PART", 100_000)
    registry = Taking(most=120_000)
    try:
        assert send(store, f"{registry.host}/x:1").digest == small(store).manifest_digest
        assert len([1 for method, _, _ in registry.seen if method == "PATCH"]) == 6
        fetch(registry, tmp_path, "x:1")
    finally:
        registry.close()


def test_an_upload_that_fails_begins_anew(taking: Taking, store: Path, tmp_path: Path) -> None:
    taking.busy = 2
    send(store, f"{taking.host}/x:1")
    assert len(taking.uploads) == 3 + 2
    fetch(taking, tmp_path, "x:1")
    taking.busy = 99
    taking.things.clear()
    with pytest.raises(MinirunError, match=r"cannot push .* answers 503") as caught:
        send(store, f"{taking.host}/x:1")
    assert "is not sent again" in caught.value.hint


def test_a_registry_that_never_says_that_it_has_it(taking: Taking, store: Path) -> None:
    for path, act in (
        ("/v2/x/manifests/1", trickle(taking, b"", head=True)),
        ("/v2/x/blobs/uploads/", lambda handler: time.sleep(1.5)),
    ):
        taking.odd[path] = act
        with pytest.raises(MinirunError, match=r"cannot push .*(in time|silent)"):
            send(store, f"{taking.host}/x:1", attempts=1, commit=0.7, slowest=1 << 20)


def test_a_push_is_what_we_sent(taking: Taking, store: Path) -> None:
    path = "/v2/x/manifests/1"
    taking.odd[path] = lambda handler: reply(
        handler, b"", status=201, headers={"Docker-Content-Digest": digest_of(b"another")}
    )
    with pytest.raises(MinirunError, match=f"it has {digest_of(b'another')}, not {small(store).manifest_digest}"):
        send(store, f"{taking.host}/x:1")
    taking.odd[path] = lambda handler: say(handler, 400, "MANIFEST_INVALID", "not \x1b[31mlike that")
    with pytest.raises(MinirunError, match="cannot push") as caught:
        send(store, f"{taking.host}/x:1")
    assert "400 MANIFEST_INVALID" in caught.value.step and "\x1b" not in caught.value.face()


def test_uploads_lead_nowhere_odd(taking: Taking, store: Path) -> None:
    for target in ("file:///etc", "http://192.0.2.1/x", "http://[", ""):
        taking.odd["/v2/x/blobs/uploads/"] = lambda handler, target=target: reply(  # type: ignore[misc]
            handler, b"", status=202, headers={"Location": target} if target else {}
        )
        with pytest.raises(MinirunError, match=r"cannot push .*(address|without TLS|does not say where)"):
            send(store, f"{taking.host}/x:1")


def test_a_mount_asks_for_the_right_to_read(store: Path, tmp_path: Path) -> None:
    """The token for a push has the scope of the repository beside, which is where the layers come from."""
    from minirun.images.store import Images

    server = TokenServer(tmp_path / "server")
    images = Images(str(store))
    try:
        with registries.registry(tmp_path / "registry", auth=server.auth()) as opened:
            send(store, f"{opened.host}/open/one:1", who=KNOWN)
            images.tag(f"{opened.host}/open/one:1", small(store).target)
            server.asked.clear()
            send(store, f"{opened.host}/two:1", who=KNOWN)
            asked = {scope for one in server.asked for line in one["scope"] for scope in line.split(" ")}
            assert asked == {"repository:two:pull,push", "repository:open/one:pull"}
            assert len([line for line in opened.requests() if line.startswith("PUT /v2/two/blobs")]) <= 1
            get(tmp_path, f"{opened.host}/two:1", who=KNOWN)
    finally:
        images.untag(f"{opened.host}/open/one:1")
        server.close()


def test_sha512(taking: Taking, tmp_path: Path) -> None:
    """The other algorithm of the specification."""
    import hashlib

    taking.image([b"layer" * 1000])
    data = b"layer" * 1000
    digest = f"sha512:{hashlib.sha512(data).hexdigest()}"
    taking.things[f"/v2/x/blobs/{digest}"] = ("", data)
    layer = {"mediaType": media.LAYER, "digest": digest, "size": len(data)}
    taking.image([data], layers=[layer])
    assert fetch(taking, tmp_path).layers[0].digest == digest

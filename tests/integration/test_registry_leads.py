"""Registries that send us elsewhere: credentials stay home, and nothing leads where it should not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun.errors import MinirunError
from tests.integration import registries
from tests.integration.odd_pulls import BLOB, LAYER, NAMED, fetch, refused
from tests.integration.odd_registry import Odd, digest_of, redirect, reply, say


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

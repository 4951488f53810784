"""What registries say in headers, where credentials are found, and what never becomes visible: without a network."""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from minirun.errors import MinirunError
from minirun.images import credentials, login, parallel, refusals
from minirun.images.challenge import challenges, content_range, retry_after, uploaded
from minirun.images.credentials import Credentials
from minirun.images.dial import host_of, is_loopback, leads, origin, proxy_for
from minirun.images.progress import Lines, Progress, human, progress_for
from minirun.images.reference import DEFAULT_REGISTRY
from minirun.images.refusals import Asked, Trouble


def pair(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_challenges():
    line = 'Bearer realm="https://a.example/token",service="s \\"q\\"",scope="repository:a/b:pull,push", Basic realm=x'
    assert challenges([line]) == [
        ("bearer", {"realm": "https://a.example/token", "service": 's "q"', "scope": "repository:a/b:pull,push"}),
        ("basic", {"realm": "x"}),
    ]
    assert challenges(["Basic", 'bearer REALM="x"']) == [("basic", {}), ("bearer", {"realm": "x"})]
    assert challenges([]) == []
    assert challenges(['realm="nobody"', "Basic " + "x" * 20000, "\0\1", '"', "="]) == []


@given(st.text(), st.text(), st.binary())
def test_whatever_a_header_says_is_no_crash(one: str, two: str, body: bytes):
    for scheme, words in challenges([one, f'Bearer realm="{two}",{one}']):
        assert scheme and all(word == word.lower() for word in words)
    retry_after(one, 0), content_range(one), uploaded(one), refusals.said(body)
    with suppress(Trouble):
        origin(one)
    with suppress(Trouble):
        origin(leads("https://a.example/v2/", two))


def test_numbers_in_headers():
    assert retry_after("7", 0) == 7 and retry_after("", 0) is None and retry_after("soon", 0) is None
    assert retry_after("Thu, 01 Jan 1970 00:01:40 GMT", 60) == 40
    assert retry_after("Thu, 01 Jan 1970 00:00:00 GMT", 60) == 0
    assert content_range("bytes 5-9/10") == (5, 10) and content_range("bytes 5-9/*") == (5, -1)
    assert content_range("bytes 5-/10") is None and content_range(None) is None
    assert (uploaded("0-1023"), uploaded("bytes=0-1023"), uploaded("0-0"), uploaded("x")) == (1024, 1024, 0, 0)


def test_addresses():
    assert origin("https://[::1]/x") == ("https", "::1", 443)
    assert host_of(("https", "::1", 443)) == "[::1]" and host_of(("http", "a", 5000)) == "a:5000"
    assert is_loopback("127.8.8.8") and is_loopback("::1") and is_loopback("localhost")
    assert not is_loopback("localhost.example") and not is_loopback("10.0.0.1")
    for wrong in ("ftp://a/", "file:///etc/passwd", "https://", "https://a:b/", "https://u:p@a/", "/v2/"):
        with pytest.raises(Trouble):
            origin(wrong)


def test_proxies_are_the_environments_and_not_for_the_loopback(monkeypatch: pytest.MonkeyPatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "inside.example")
    assert proxy_for(("https", "a.example", 443)) == "http://proxy.example:3128"
    assert proxy_for(("https", "b.inside.example", 443)) == ""
    assert proxy_for(("https", "127.0.0.1", 5000)) == ""
    assert proxy_for(("http", "a.example", 80)) == ""


def place(home: Path) -> dict[str, str]:
    return {"HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run"), "PATH": f"{home}/bin:{os.environ['PATH']}"}


def save(path: Path, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def test_credentials_are_looked_for_in_order(tmp_path: Path):
    env = place(tmp_path)
    files = [
        tmp_path / "run/containers/auth.json",
        tmp_path / ".config/containers/auth.json",
        tmp_path / ".docker/config.json",
    ]
    assert credentials.files(env) == [str(path) for path in files]
    assert credentials.find("a.example", "x", env) is None
    for path in reversed(files):
        save(path, {"auths": {"a.example": pair("ann", path.name + path.parent.name)}})
        found = credentials.find("a.example", "x", env)
        assert found and found.source == str(path) and found.password == path.name + path.parent.name
    other = tmp_path / "other.json"
    save(other, {"auths": {}})
    assert credentials.find("a.example", "x", env, str(other)) is None
    assert credentials.find("a.example", "x", {**env, "REGISTRY_AUTH_FILE": str(other)}) is None


def test_an_entry_is_for_its_host_and_path_only(tmp_path: Path):
    env = place(tmp_path)
    entries = {
        "a.example/team": pair("team", "1"),
        "https://a.example/v1/": pair("all", "2"),
        "b.example:5000": pair("port", "3"),
        credentials.HUB: pair("hub", "4"),
    }
    save(tmp_path / "run/containers/auth.json", {"auths": entries})

    def user(registry: str, repository: str) -> str:
        found = credentials.find(registry, repository, env)
        return found.user if found else ""

    assert user("a.example", "team/x") == "team" and user("a.example", "teams/x") == "all"
    assert user("b.example:5000", "x") == "port" and user("b.example", "x") == user("b.example:5001", "x") == ""
    assert user(DEFAULT_REGISTRY, "library/x") == "hub"
    for stranger in ("evil-a.example", "a.example.evil", "xa.example", "a.example:443"):
        assert user(stranger, "team/x") == ""


def test_a_helper_is_asked(tmp_path: Path):
    env = place(tmp_path)
    helper = tmp_path / "bin/docker-credential-vault"
    helper.parent.mkdir()
    helper.write_text(
        '#!/bin/sh\nread server\necho "$1 $server" >> "$0.log"\ncase $server in\n'
        'a.example) echo \'{"ServerURL":"a.example","Username":"ann","Secret":"s3"}\' ;;\n'
        't.example) echo \'{"Username":"<token>","Secret":"id"}\' ;;\n'
        "*) echo credentials not found in native keychain; exit 1 ;;\nesac\n"
    )
    helper.chmod(0o755)
    save(tmp_path / ".docker/config.json", {"credHelpers": {"a.example": "vault"}, "credsStore": "vault"})
    found = credentials.find("a.example", "x", env)
    assert found and (found.user, found.password) == ("ann", "s3")
    found = credentials.find("t.example", "x", env)
    assert found and (found.user, found.identity) == ("", "id")
    assert credentials.find("c.example", "x", env) is None
    assert (tmp_path / "bin/docker-credential-vault.log").read_text().split("\n")[0] == "get a.example"
    save(tmp_path / ".docker/config.json", {"credsStore": "../evil"})
    with pytest.raises(MinirunError, match="is not the name of a helper"):
        credentials.find("a.example", "x", env)
    save(tmp_path / ".docker/config.json", {"credsStore": "absent"})
    with pytest.raises(MinirunError, match="docker-credential-absent is not there"):
        credentials.find("a.example", "x", env)


@pytest.mark.parametrize(
    "text", ["", "{}", '{"auths": {"a.example": {}}}', '{"auths": 7}', '{"auths": {"a.example": 1}}']
)
def test_files_without_an_entry(tmp_path: Path, text: str):
    path = tmp_path / "auth.json"
    path.write_text(text)
    assert credentials.find("a.example", "x", {}, str(path)) is None


@pytest.mark.parametrize("text", ["[]", "{", '{"auths": {"a.example": {"auth": "%"}}}', "[" * 100000])
def test_files_that_are_wrong_say_so(tmp_path: Path, text: str):
    path = tmp_path / "auth.json"
    path.write_text(text)
    with pytest.raises(MinirunError, match="cannot read credentials") as caught:
        credentials.find("a.example", "x", {}, str(path))
    assert str(path) in caught.value.reason


def test_a_file_is_written_whole_and_keeps_the_rest(tmp_path: Path):
    path = tmp_path / "new" / "auth.json"
    login.write(str(path), {"auths": {"a.example": pair("a", "b")}, "other": [1]})
    assert path.stat().st_mode & 0o777 == 0o600 and os.listdir(path.parent) == ["auth.json"]
    login.write(str(path), {**json.loads(path.read_text()), "auths": {}})
    assert json.loads(path.read_text()) == {"auths": {}, "other": [1]}
    assert login.without({"auths": {"https://a.example/v2/": {}, "b.example": {}}}, "a.example") == {"b.example": {}}


def test_secrets_are_in_no_text():
    known = Credentials(user="ann", password="s3cret", identity="t0ken", source="x")
    assert "s3cret" not in f"{known} {known!r} {[known]}" and "t0ken" not in repr(known)
    asked = Asked(method="PUT", url="https://a.example/x?X-Signature=s3cret&digest=y", aim="cannot")
    assert "s3cret" not in refusals.of_answer(403, {}, b"", asked, host="a").face()


def test_the_registrys_words_are_quoted_short_and_harmless():
    asked = Asked(method="GET", url="https://a.example/v2/x", aim="cannot pull x")
    body = json.dumps({"errors": [{"code": "DENIED", "message": "\x1b[2J" + "y" * 5000}]}).encode()
    face = refusals.of_answer(403, {}, body, asked, host="a.example").face()
    assert "\x1b" not in face and len(face) < 1000 and "403 DENIED" in face and "image login a.example" in face
    for odd in (b"", b"[]", b'{"errors": []}', b'{"errors": [{"code": 7}]}', b'{"errors": {"0": 1}}', b"[" * 99999):
        assert refusals.said(odd) == ("", "")


def test_the_first_failure_ends_all():
    stop = threading.Event()
    begun: list[int] = []

    def act(number: int) -> None:
        begun.append(number)
        if number == 1:
            raise MinirunError("one fails")
        while not stop.wait(0.01):
            pass
        raise parallel.Stopped

    before = time.monotonic()
    with pytest.raises(MinirunError, match="one fails"):
        parallel.each(act, range(100), stop, workers=3)
    assert time.monotonic() - before < 2 and len(begun) <= 4
    done: list[int] = []
    parallel.each(done.append, range(100), threading.Event())
    assert sorted(done) == list(range(100))


def test_progress_where_there_is_no_terminal(capfd: pytest.CaptureFixture[str]):
    with Lines("pulled") as progress:
        bar = progress.start("abc", 2_310_144)
        bar.advance(2_310_144)
        bar.done()
        progress.start("def", 5).done("already there")
        progress.say("a line")
    assert capfd.readouterr().err == "abc: pulled, 2.31MB\ndef: already there\na line\n"
    assert type(progress_for(quiet=True)) is Progress
    assert [human(size) for size in (0, 999, 1000, 999_600, 5 << 30)] == ["0B", "999B", "1kB", "1MB", "5.37GB"]

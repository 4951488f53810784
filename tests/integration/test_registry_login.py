"""Who asks: passwords with TLS, tokens, and what login and logout write, which skopeo reads as we do."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun.errors import MinirunError
from minirun.images.authority import Who
from minirun.images.credentials import Credentials
from minirun.images.registry import Client
from tests.conftest import run
from tests.integration import registries
from tests.integration.real_pulls import BIG, HASTY, KNOWN, fetch, minirun, said, send, small
from tests.integration.registries import IDENTITY, PASSWORD, USER, Registry, TokenServer
from tests.integration.small_images import image as small_image


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with one image, local/small:1."""
    storage = tmp_path_factory.mktemp("store") / "storage"
    small_image(storage, "local.test/small:1", BIG)
    return storage


@pytest.fixture(scope="module")
def safe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Registry, Path]]:
    """With TLS and passwords; and the directory with its CA."""
    folder = tmp_path_factory.mktemp("safe")
    tls = registries.authority(folder / "tls")
    http = {"tls": {"certificate": str(tls["cert"]), "key": str(tls["key"])}}
    auth = {"htpasswd": {"realm": "tests", "path": str(registries.passwords(folder))}}
    certs = folder / "certs"
    certs.mkdir()
    (certs / "ca.crt").write_bytes(tls["ca"].read_bytes())
    with registries.registry(folder / "registry", http=http, auth=auth) as opened:
        yield opened, certs


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Registry, TokenServer]]:
    folder = tmp_path_factory.mktemp("tokens")
    server = TokenServer(folder / "server")
    try:
        with registries.registry(folder / "registry", auth=server.auth()) as opened:
            yield opened, server
    finally:
        server.close()


def test_tls_and_passwords(store: Path, safe: tuple[Registry, Path], tmp_path: Path) -> None:
    registry, certs = safe
    name = f"{registry.host}/team/small:1"
    env = {**os.environ, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    trust = ("--cert-dir", certs)
    done = minirun(store, "push", "local.test/small:1", name, env=env)
    assert done.returncode == 125 and "is not to be trusted" in done.stderr
    done = minirun(store, "push", *trust, "local.test/small:1", name, env=env)
    assert done.returncode == 125 and "wants to know who asks" in done.stderr and "image login" in done.stderr
    login = ("login", *trust, "-u", USER, "--password-stdin", registry.host)
    done = minirun(store, *login, env=env, stdin=None, input="wrong\n")
    assert done.returncode == 125 and "does not take these credentials" in done.stderr
    assert not (tmp_path / "run").exists()
    done = minirun(store, *login, env=env, stdin=None, input=f"{PASSWORD}\n")
    assert (done.returncode, done.stdout) == (0, "Login Succeeded\n"), done.stderr
    path = tmp_path / "run/containers/auth.json"
    assert path.stat().st_mode & 0o777 == 0o600 and list(json.loads(path.read_text())["auths"]) == [registry.host]
    said(store, "push", *trust, "local.test/small:1", name, env=env)
    said(tmp_path / "a", "pull", *trust, name, env=env)
    assert said(store, "logout", registry.host, env=env) == f"Removed login credentials for {registry.host}\n"
    assert minirun(store, "logout", registry.host, env=env).returncode == 125
    done = minirun(tmp_path / "b", "pull", *trust, name, env=env)
    assert done.returncode == 125
    said(tmp_path / "b", "pull", "--tls-verify=false", "--creds", f"{USER}:{PASSWORD}", name, env=env)
    assert PASSWORD not in done.stderr


@pytest.mark.needs("skopeo")
def test_skopeo_and_we_read_each_others_logins(safe: tuple[Registry, Path], store: Path, tmp_path: Path) -> None:
    registry, certs = safe
    send(store, f"{registry.host}/login:1", who=KNOWN, own_certs=str(certs))
    env = {**os.environ, "REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}
    login = ("login", "--cert-dir", str(certs), "-u", USER, "--password-stdin", registry.host)
    look = ("skopeo", "inspect", "--cert-dir", str(certs), f"docker://{registry.host}/login:1")
    assert run(*look, env=env).returncode != 0
    assert minirun(store, *login, env=env, stdin=None, input=PASSWORD).returncode == 0
    assert run(*look, env=env).returncode == 0
    assert run("skopeo", "logout", registry.host, env=env).returncode == 0
    assert run("skopeo", *login, env=env, stdin=None, input=PASSWORD).returncode == 0
    said(tmp_path, "pull", "--cert-dir", certs, f"{registry.host}/login:1", env=env)
    said(store, "logout", registry.host, env=env)
    assert json.loads((tmp_path / "auth.json").read_text())["auths"] == {}


def test_tokens(store: Path, tokens: tuple[Registry, TokenServer], tmp_path: Path) -> None:
    registry, server = tokens
    name = f"{registry.host}/open/small:1"
    with pytest.raises(MinirunError, match=r"the registry denies it|wants to know who asks"):
        send(store, name)
    assert send(store, name, who=KNOWN).digest == small(store).manifest_digest
    send(store, f"{registry.host}/closed:1", who=KNOWN)
    server.asked.clear()
    assert fetch(tmp_path, name).id == small(store).id
    assert [asked["scope"] for asked in server.asked] == [["repository:open/small:pull"]]
    assert not server.asked[0]["authorization"]
    with pytest.raises(MinirunError, match="cannot pull"):
        fetch(tmp_path, f"{registry.host}/closed:1")
    with pytest.raises(MinirunError, match="does not take these credentials"):
        fetch(tmp_path, f"{registry.host}/closed:1", who=Who(given=Credentials(user=USER, password="wrong")))
    server.asked.clear()
    fetch(tmp_path, f"{registry.host}/closed:1", who=Who(given=Credentials(identity=IDENTITY)))
    assert [asked["method"] for asked in server.asked] == ["POST"] and not server.asked[0]["authorization"]


def test_a_token_that_is_over_is_renewed(
    store: Path, tokens: tuple[Registry, TokenServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a push, whose several threads get one new token between them."""
    registry, server = tokens
    client = Client(registry.host, "open/renewed", actions="pull,push", who=KNOWN, manner=HASTY)
    client.ask("HEAD", "open/renewed/blobs/sha256:" + "0" * 64, good=(404,))
    client.authority.header = "Bearer over"
    server.asked.clear()
    client.ask("HEAD", "open/renewed/blobs/sha256:" + "0" * 64, good=(404,))
    assert len(server.asked) == 1 and client.authority.header != "Bearer over"


def test_login_by_tokens(store: Path, tokens: tuple[Registry, TokenServer], tmp_path: Path) -> None:
    registry, _ = tokens
    login = ("login", "--authfile", tmp_path / "auth.json", "-u", USER, "--password-stdin", registry.host)
    done = minirun(store, *login, stdin=None, input="wrong")
    assert done.returncode == 125 and not (tmp_path / "auth.json").exists()
    assert minirun(store, *login, stdin=None, input=PASSWORD).returncode == 0
    send(store, f"{registry.host}/mine:1", who=KNOWN)
    said(tmp_path, "pull", "--authfile", tmp_path / "auth.json", f"{registry.host}/mine:1")

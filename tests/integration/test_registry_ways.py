"""Ways to a registry and back: proxies, certificates of our own, helpers that keep passwords, bars on a terminal, and
what is left when a pull is killed at any moment."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun.errors import MinirunError
from minirun.images.store import Images
from tests.conftest import MINIRUN
from tests.integration import registries
from tests.integration.odd_pulls import LAYER, NAMED, fetch
from tests.integration.odd_registry import Odd
from tests.integration.real_pulls import BIG, fetch as get, minirun, send, whole
from tests.integration.registries import PASSWORD, USER, Registry
from tests.integration.small_images import image as small_image


@pytest.fixture
def odd() -> Iterator[Odd]:
    made = Odd()
    yield made
    made.close()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return registries.authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    storage = tmp_path_factory.mktemp("store") / "storage"
    small_image(storage, "local.test/small:1", BIG)
    return storage


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registries.registry(tmp_path_factory.mktemp("plain")) as opened:
        yield opened


class Elsewhere:
    """A registry by another name than its address."""

    def __init__(self, host: str) -> None:
        self.host = host


def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def test_through_a_proxy(odd: Odd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_proxies(monkeypatch)
    odd.image([LAYER])
    monkeypatch.setenv("HTTP_PROXY", odd.url.replace("//", "//joe:pr0xy@"))
    image = fetch(Elsewhere("registry.test:5000"), tmp_path, plain=True)  # type: ignore[arg-type]
    assert image.name == "registry.test:5000/x:latest"
    assert all(path.startswith("http://registry.test:5000/v2/") for _, path, _ in odd.seen)
    assert all("Proxy-Authorization" in {name.title() for name in headers} for _, _, headers in odd.seen)


def test_through_a_proxys_tunnel(
    odd: Odd, tls: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy sees whom we speak with, and nothing else."""
    no_proxies(monkeypatch)
    safe = Odd(tls)
    try:
        safe.image([LAYER])
        odd.tunnels_to = ("127.0.0.1", int(safe.host.rpartition(":")[2]))
        monkeypatch.setenv("HTTPS_PROXY", odd.host)
        (tmp_path / "ca").mkdir()
        (tmp_path / "ca/ca.crt").write_bytes(tls["ca"].read_bytes())
        fetch(Elsewhere("registry.test"), tmp_path, own_certs=str(tmp_path / "ca"), who=NAMED)  # type: ignore[arg-type]
        assert {(method, path) for method, path, _ in odd.seen} == {("CONNECT", "registry.test:443")}
        monkeypatch.setenv("HTTPS_PROXY", "127.0.0.1:1")
        with pytest.raises(MinirunError, match=r"the proxy to .* does not help") as caught:
            fetch(Elsewhere("registry.test"), tmp_path / "b", own_certs=str(tmp_path / "ca"))  # type: ignore[arg-type]
        assert "NO_PROXY" in caught.value.hint
    finally:
        safe.close()


def test_a_registry_that_wants_our_certificate(store: Path, tls: dict[str, Path], tmp_path: Path) -> None:
    http = {"tls": {"certificate": str(tls["cert"]), "key": str(tls["key"]), "clientcas": [str(tls["ca"])]}}
    with registries.registry(tmp_path / "registry", http=http) as opened:
        certs = tmp_path / "certs" / opened.host
        certs.mkdir(parents=True)
        (certs / "ca.crt").write_bytes(tls["ca"].read_bytes())
        there = (str(tmp_path / "certs"),)
        with pytest.raises(MinirunError, match=r"no TLS with|broke"):
            send(store, f"{opened.host}/x:1", certs=there)
        (certs / "client.cert").write_bytes(tls["cert"].read_bytes())
        (certs / "client.key").write_bytes(tls["key"].read_bytes())
        send(store, f"{opened.host}/x:1", certs=there)
        get(tmp_path, f"{opened.host}/x:1", certs=there)


def test_a_helper_keeps_the_password(store: Path, tmp_path: Path) -> None:
    helper = tmp_path / "bin/docker-credential-vault"
    helper.parent.mkdir()
    helper.write_text(
        f"#!/bin/sh\nkept={tmp_path}/kept\ncase $1 in\nstore) cat > $kept ;;\nerase) rm $kept ;;\n"
        "get) cat $kept 2> /dev/null || { echo credentials not found; exit 1; } ;;\nesac\n"
    )
    helper.chmod(0o755)
    docker = tmp_path / ".docker/config.json"
    docker.parent.mkdir()
    docker.write_text('{"credsStore": "vault"}')
    auth = {"htpasswd": {"realm": "tests", "path": str(registries.passwords(tmp_path))}}
    env = {
        **os.environ,
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path),
        "PATH": f"{helper.parent}:{os.environ['PATH']}",
    }
    with registries.registry(tmp_path / "registry", auth=auth) as opened:
        words = ("login", "-u", USER, "--password-stdin", opened.host)
        assert minirun(store, *words, env=env, stdin=None, input=PASSWORD).returncode == 0
        kept = json.loads((tmp_path / "kept").read_text())
        assert kept == {"ServerURL": opened.host, "Username": USER, "Secret": PASSWORD}
        assert docker.read_text() == '{"credsStore": "vault"}' and not (tmp_path / "containers").exists()
        done = minirun(store, "push", "-q", "local.test/small:1", f"{opened.host}/x:1", env=env)
        assert done.returncode == 0, done.stderr
        assert minirun(store, "logout", opened.host, env=env).returncode == 0 and not (tmp_path / "kept").exists()


def test_bars_on_a_terminal(store: Path, plain: Registry, tmp_path: Path) -> None:
    send(store, f"{plain.host}/bars:1")
    pid, fd = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execv(MINIRUN, [str(MINIRUN), "--storage", str(tmp_path), "image", "pull", f"{plain.host}/bars:1"])
    shown = b""
    try:
        while data := os.read(fd, 65536):
            shown += data
    except OSError:  # the end, as a terminal says it
        pass
    os.close(fd)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    text = shown.decode()
    assert "\x1b[?25h" in text and "3.1/3.1 MB" in text, "the cursor is there again, and a bar was full"
    assert text.rstrip().endswith(f"{plain.host}/bars:1")


def test_killed_at_any_moment(store: Path, plain: Registry, tmp_path: Path) -> None:
    name = f"{plain.host}/killed:1"
    send(store, name)
    images = Images(str(tmp_path))
    delay, ended = 0.03, False
    while not ended and delay < 60:
        process = subprocess.Popen([str(MINIRUN), "--storage", str(tmp_path), "image", "pull", "-q", name], stdout=-3)
        try:
            ended = process.wait(delay) == 0
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        for image in images.all():
            assert all(images.blobs.has(one.digest, one.size) for one in image.layers), "a name for half an image"
        delay *= 1.25
    assert ended
    whole(tmp_path, images.find(name))
    with images.exclusive():
        images.gc()
    assert sum(path.is_file() for path in (tmp_path / "blobs").rglob("*")) == len(BIG) + 2

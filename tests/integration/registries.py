"""Registries for tests: docker-registry itself on a free port of the loopback, plain, with TLS, with passwords, or with
a token server (ours, with a real key that the registry trusts); and a slow road to one of them."""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.needs import require, run

USER, PASSWORD = "ann", "pass:word with ä"
IDENTITY = "identity-of-ann"


class Registry:
    """docker-registry, running: ``host`` is how it is called."""

    def __init__(self, folder: Path, http: dict[str, Any] | None = None, auth: dict[str, Any] | None = None) -> None:
        require("registry")
        self.folder = folder
        self.log = folder / "registry.log"
        config = {
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
            "http": {"addr": "127.0.0.1:0", **(http or {})},
            **({"auth": auth} if auth else {}),
        }
        (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log, cwd=folder
            )
        self.port = self.wait()
        self.host = f"127.0.0.1:{self.port}"

    def wait(self) -> int:
        for _ in range(400):
            found = re.search(r"listening on 127\.0\.0\.1:(\d+)", self.log.read_text())
            if found:
                return int(found[1])
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.close()
        raise AssertionError(self.log.read_text()[-2000:])

    def requests(self) -> list[str]:
        """METHOD PATH of everything it was asked."""
        return re.findall(r'"(\w+ \S+) HTTP/1\.1"', self.log.read_text())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def registry(folder: Path, **more: Any) -> Iterator[Registry]:
    folder.mkdir(parents=True, exist_ok=True)
    opened = Registry(folder, **more)
    try:
        yield opened
    finally:
        opened.close()


def authority(folder: Path) -> dict[str, Path]:
    """A CA, and a certificate of it for 127.0.0.1 and registry.test: paths of ca, cert and key."""
    require("openssl")
    folder.mkdir(parents=True, exist_ok=True)
    ca, ca_key, cert, key, wish = (folder / name for name in ("ca.crt", "ca.key", "cert.pem", "key.pem", "wish.pem"))
    new = ("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    names = folder / "names"
    names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:registry.test\n")
    for words in (
        (*new, "-x509", "-days", "2", "-subj", "/CN=test CA", "-keyout", ca_key, "-out", ca),
        (*new, "-subj", "/CN=localhost", "-keyout", key, "-out", wish),
        ("openssl", "x509", "-req", "-in", wish, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2",
         "-extfile", names, "-out", cert),
    ):  # fmt: skip
        done = run(*words)
        assert done.returncode == 0, done.stderr
    return {"ca": ca, "cert": cert, "key": key}


def passwords(folder: Path) -> Path:
    """An htpasswd file, with bcrypt as the registry wants it."""
    require("htpasswd")
    folder.mkdir(parents=True, exist_ok=True)
    done = run("htpasswd", "-Bbn", "-C", "4", USER, PASSWORD)
    assert done.returncode == 0, done.stderr
    (folder / "htpasswd").write_text(done.stdout)
    return folder / "htpasswd"


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class TokenServer:
    """Tokens as distribution's token specification has them: pull for anybody below open/, all for who is known."""

    def __init__(self, folder: Path) -> None:
        require("openssl")
        folder.mkdir(parents=True, exist_ok=True)
        self.key, self.cert = folder / "token.key", folder / "token.crt"
        words = ("-x509", "-days", "2", "-subj", "/CN=tokens", "-keyout", self.key, "-out", self.cert)
        done = run("openssl", "req", "-newkey", "rsa:2048", "-nodes", *words)
        assert done.returncode == 0, done.stderr
        self.life = 300
        self.asked: list[dict[str, Any]] = []  # what each request said
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def get(self) -> None:
                server.answer(self, parse_qs(urlsplit(self.path).query), self.headers.get("Authorization", ""))

            def post(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                server.answer(self, form, self.headers.get("Authorization", ""))

            do_GET, do_POST = get, post

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.realm = f"http://127.0.0.1:{self.http.server_address[1]}/token"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def auth(self) -> dict[str, Any]:
        """For the registry's configuration."""
        words = {"realm": self.realm, "service": "tests", "issuer": "test tokens", "rootcertbundle": str(self.cert)}
        return {"token": words}

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    def answer(self, handler: BaseHTTPRequestHandler, fields: dict[str, list[str]], authorization: str) -> None:
        self.asked.append({"method": handler.command, "authorization": authorization, **fields})
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        known = authorization == f"Basic {pair}" or fields.get("refresh_token") == [IDENTITY]
        if (authorization or "refresh_token" in fields) and not known:
            status, body = 401, b'{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}'
        else:
            scopes = [scope for line in fields.get("scope", []) for scope in line.split(" ")]
            token = self.token([granted(scope, known) for scope in scopes], USER if known else "")
            name = "access_token" if "refresh_token" in fields else "token"
            status, body = 200, json.dumps({name: token, "expires_in": self.life}).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def token(self, access: list[dict[str, Any]], user: str) -> str:
        """A JWT (RFC 7519), signed by openssl, with its certificate inside (x5c)."""
        certificate = "".join(self.cert.read_text().split("\n")[1:-2])
        head = {"typ": "JWT", "alg": "RS256", "x5c": [certificate]}
        now = int(time.time())
        claims = {
            "iss": "test tokens", "sub": user, "aud": "tests", "exp": now + self.life, "nbf": now - 10, "iat": now,
            "jti": str(time.monotonic_ns()), "access": access,
        }  # fmt: skip
        text = ".".join(unpadded(json.dumps(part).encode()) for part in (head, claims))
        signed = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", str(self.key)], input=text.encode(), capture_output=True, check=True
        )
        return f"{text}.{unpadded(signed.stdout)}"


def granted(scope: str, known: bool) -> dict[str, Any]:
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    allowed = actions.split(",") if known else ["pull"] if name.startswith("open/") else []
    return {"type": kind, "name": name, "actions": allowed}


class Road:
    """A TCP proxy to a registry without TLS: as slow as it is told, and it remembers the lines that were sent."""

    def __init__(self, port: int, rate: int) -> None:
        self.target, self.rate = port, rate
        self.lines: list[str] = []
        self.passed = self.connections = 0
        self.open = True
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while self.open:
            try:
                near, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            far = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self.up, args=(near, far), daemon=True).start()
            threading.Thread(target=self.down, args=(far, near), daemon=True).start()

    def up(self, near: socket.socket, far: socket.socket) -> None:
        try:
            while data := near.recv(65536):
                self.lines += data.decode("latin-1").split("\r\n")
                far.sendall(data)
            far.shutdown(socket.SHUT_WR)
        except OSError:
            far.close()

    def down(self, far: socket.socket, near: socket.socket) -> None:
        try:
            while self.open and (data := far.recv(16384)):
                near.sendall(data)
                self.passed += len(data)
                if self.rate:
                    time.sleep(len(data) / self.rate)
            near.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        near.close()

    def close(self) -> None:
        self.open = False
        self.socket.close()

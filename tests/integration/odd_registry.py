"""A registry of the tests' own that does as it is told: honest by default, a liar, or slow, path by path."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from minirun.images import media

Handler = BaseHTTPRequestHandler
MANIFEST = media.MANIFEST


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Odd:
    """``image`` and ``blob`` put things; ``odd[path] = function(handler)`` goes first; ``seen`` is what was asked."""

    def __init__(self, tls: dict[str, Path] | None = None) -> None:
        self.things: dict[str, tuple[str, bytes]] = {}  # path -> type, body
        self.odd: dict[str, Callable[[Handler], None]] = {}
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        odd = self

        class Answers(Handler):
            protocol_version = "HTTP/1.1"

            def act(self) -> None:
                odd.answer(self)

            def do_CONNECT(self) -> None:  # noqa: N802
                tunnel(odd, self)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = act

            def log_message(self, *_: Any) -> None:
                pass

        self.answers = Answers
        self.tls = tls
        self.listen(0)
        self.host = f"127.0.0.1:{self.http.server_address[1]}"
        self.url = f"http{'s' if tls else ''}://{self.host}"
        self.open = True
        self.tunnels_to = ("", 0)  # as a proxy: where CONNECT leads, whatever it asks for

    def listen(self, port: int) -> None:
        self.http = ThreadingHTTPServer(("127.0.0.1", port), self.answers)
        self.http.daemon_threads = True
        self.http.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.tls["cert"], self.tls["key"])
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def restart(self, pause: float) -> None:
        """Away, and after a while back at the same place."""
        self.http.shutdown()
        self.http.server_close()
        time.sleep(pause)
        self.listen(int(self.host.rpartition(":")[2]))

    def close(self) -> None:
        self.open = False
        self.http.shutdown()
        self.http.server_close()

    # what it has

    def blob(self, data: bytes, kind: str = media.LAYER) -> dict[str, Any]:
        """The descriptor of a blob that it has now."""
        digest = digest_of(data)
        self.things[f"/v2/x/blobs/{digest}"] = ("application/octet-stream", data)
        return {"mediaType": kind, "digest": digest, "size": len(data)}

    def document(self, value: dict[str, Any] | bytes, tag: str = "", kind: str = MANIFEST) -> dict[str, Any]:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        digest = digest_of(data)
        for word in (digest, tag):
            self.things[f"/v2/x/manifests/{word}"] = (kind, data)
        return {"mediaType": kind, "digest": digest, "size": len(data)}

    def image(self, parts: list[bytes], tag: str = "latest", **more: Any) -> dict[str, Any]:
        """A whole image, of which ``more`` replaces members of the manifest."""
        config = {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [digest_of(part) for part in parts]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.blob(json.dumps(config).encode(), media.CONFIG),
            "layers": [self.blob(part) for part in parts],
            **more,
        }
        return self.document({name: value for name, value in manifest.items() if value is not None}, tag)

    # how it answers

    def answer(self, handler: Handler) -> None:
        path = urlsplit(handler.path).path  # of a whole address, where this is somebody's proxy
        self.seen.append((handler.command, handler.path, dict(handler.headers)))
        if path in self.odd:
            self.odd[path](handler)
        elif path == "/v2/":
            reply(handler, b"{}")
        elif path in self.things:
            kind, data = self.things[path]
            self.part(handler, kind, data)
        else:
            say(handler, 404, "MANIFEST_UNKNOWN", "no such thing")

    def part(self, handler: Handler, kind: str, data: bytes) -> None:
        """The whole, or what Range asks for."""
        wanted = handler.headers.get("Range", "")
        if not wanted:
            reply(handler, data, headers={"Content-Type": kind})
            return
        first = int(wanted.removeprefix("bytes=").rstrip("-"))
        more = {"Content-Type": kind, "Content-Range": f"bytes {first}-{len(data) - 1}/{len(data)}"}
        reply(handler, data[first:], status=206, headers=more)

    def asked(self, end: str) -> list[dict[str, str]]:
        """The headers of every request for a path that ends so."""
        return [headers for _, path, headers in self.seen if path.partition("?")[0].endswith(end)]


def reply(handler: Handler, body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


def say(handler: Handler, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    reply(handler, body, status=status, headers={"Content-Type": "application/json", **(headers or {})})


def tunnel(odd: Odd, handler: Handler) -> None:
    """CONNECT: bytes in both directions until one side ends."""
    odd.seen.append((handler.command, handler.path, dict(handler.headers)))
    handler.send_response(200)
    handler.end_headers()
    near, far = handler.connection, socket.create_connection(odd.tunnels_to)

    def pump(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    thread = threading.Thread(target=pump, args=(far, near), daemon=True)
    thread.start()
    pump(near, far)
    thread.join(5)
    far.close()
    handler.close_connection = True


def redirect(target: str, status: int = 307) -> Callable[[Handler], None]:
    return lambda handler: reply(handler, b"", status=status, headers={"Location": target})


def endless(odd: Odd) -> Callable[[Handler], None]:
    """A body without a length that never ends."""

    def act(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        piece = b"\0" * 65536
        while odd.open:
            handler.wfile.write(b"10000\r\n" + piece + b"\r\n")

    return act


def trickle(odd: Odd, data: bytes, head: bool = False) -> Callable[[Handler], None]:
    """A byte every now and then; ``head``: of the answer's first lines."""

    def act(handler: Handler) -> None:
        text = b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"x" * 4096 if head else b""
        if not head:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
        for byte in text or data:
            if not odd.open:
                return
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(0.05)

    return act


def broken(data: bytes, after: int, times: list[int]) -> Callable[[Handler], None]:
    """Says the whole length, sends some, and hangs up: as often as ``times[0]`` says, then the rest by Range."""

    def act(handler: Handler) -> None:
        wanted = handler.headers.get("Range", "")
        first = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        more = {"Content-Range": f"bytes {first}-{len(data) - 1}/{len(data)}"} if wanted else {}
        times[0] -= 1
        body = data[first : first + after] if times[0] >= 0 else data[first:]
        handler.send_response(206 if wanted else 200)
        for name, value in {"Content-Length": str(len(data) - first), **more}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    return act

"""One blob from the store into a registry.

HEAD: it may be there.  POST with ``mount`` and ``from``: a repository beside may have it.  Else the same POST has
opened an upload, at the Location that it answered, and the blob goes there in one PUT, or in pieces
(PATCH, each where the one before has led) where a registry takes no more
at once.  An upload that breaks begins anew, with a new Location.
"""

from __future__ import annotations

import os
from urllib.parse import quote, urlencode, urlsplit

from minirun.images import refusals
from minirun.images.challenge import uploaded
from minirun.images.dial import leads
from minirun.images.refusals import Asked, Trouble

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from urllib3 import BaseHTTPResponse

    from minirun.images.blobs import Blobs
    from minirun.images.media import Descriptor
    from minirun.images.progress import Bar
    from minirun.images.registry import Client

PIECE = 128 << 10
PART = 8 << 20  # of an upload in pieces


def blob(client: Client, blobs: Blobs, one: Descriptor, bar: Bar, other: str = "") -> None:
    """``other``: a repository that may have it."""
    head = client.ask("HEAD", f"{client.repository}/blobs/{one.digest}", good=(200, 404))
    client.words(head)
    if head.status == 200:
        bar.done("already there")
        return
    for attempt in range(1, client.manner.attempts + 1):
        sent = Sent(bar)
        try:
            opened = begin(client, {"mount": one.digest, "from": other} if other and attempt == 1 else {})
            if opened is not None:
                send(client, blobs, one, opened, sent)
            bar.done(f"mounted from {other}" if opened is None else "")
            return
        except Trouble as trouble:
            sent.undo()
            if not trouble.passing or attempt == client.manner.attempts:
                asked = Asked(method="PUT", url=f"{client.base}/v2/{client.repository}/blobs/uploads/", aim=client.aim)
                raise refusals.of_trouble(trouble, asked) from trouble
        client.rest(attempt)


class Sent:
    """What the bar has been told of one try."""

    def __init__(self, bar: Bar) -> None:
        self.bar, self.count = bar, 0

    def more(self, n: int) -> None:
        self.count += n
        self.bar.advance(n)

    def undo(self) -> None:
        self.more(-self.count)


def begin(client: Client, fields: dict[str, str]) -> str | None:
    """The address of a new upload; None if the blob was mounted."""
    query = f"?{urlencode(fields)}" if fields else ""
    response = client.ask(
        "POST", f"{client.repository}/blobs/uploads/{query}", headers={"Content-Length": "0"}, body=lambda: b"",
        good=(202, 201) if fields else (202,),
    )  # fmt: skip
    client.words(response)
    return None if response.status == 201 else location(client, response)


def location(client: Client, response: BaseHTTPResponse) -> str:
    """Where to go on: relative or absolute, perhaps on another host (which gets no credentials)."""
    asked = Asked(method="POST", url=response.url or client.base, aim=client.aim)
    target = response.headers.get("Location", "")
    if not target:
        raise refusals.lie(client.aim, "it does not say where the upload goes", asked)
    return leads(asked.url, target)


def send(client: Client, blobs: Blobs, one: Descriptor, address: str, sent: Sent) -> None:
    fd = blobs.open(one.digest)
    try:
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(one.size)}
        response = client.ask_once(
            "PUT", final(address, one.digest), headers, lambda: body(client, fd, 0, one.size, sent),
            good=(201, 204, 202, 413),
        )  # fmt: skip
        client.words(response)
        if response.status == 413:
            sent.undo()
            in_parts(client, one, begin(client, {}) or "", fd, sent)
    finally:
        os.close(fd)


def in_parts(client: Client, one: Descriptor, address: str, fd: int, sent: Sent, part: int = 0) -> None:
    """For registries, or what stands before them, that take only so much at once."""
    part = part or PART
    for at in range(0, one.size, part):
        address = send_part(client, address, fd, at, min(part, one.size - at), sent)
    headers = {"Content-Length": "0"}
    client.words(client.ask_once("PUT", final(address, one.digest), headers, lambda: b"", good=(201, 204)))


def send_part(client: Client, address: str, fd: int, at: int, count: int, sent: Sent) -> str:
    """Where the next one goes."""
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(count)}
    headers["Content-Range"] = f"{at}-{at + count - 1}"
    response = client.ask_once("PATCH", address, headers, lambda: body(client, fd, at, count, sent), good=(202, 204))
    client.words(response)
    has = uploaded(response.headers.get("Range"))
    if has and has != at + count:
        raise Trouble("broken", f"{client.host} has {has} bytes of it, not {at + count}", host=client.host)
    return location(client, response)


def final(address: str, digest: str) -> str:
    """With the digest, which says that this was all of it."""
    return f"{address}{'&' if urlsplit(address).query else '?'}digest={quote(digest, safe='')}"


def body(client: Client, fd: int, at: int, count: int, sent: Sent) -> Iterator[bytes]:
    """``count`` bytes of the file, from ``at`` on; ends early when nobody wants it any more."""
    while count and not client.stop.is_set():
        data = os.pread(fd, min(PIECE, count), at)
        if not data:
            return
        at, count = at + len(data), count - len(data)
        sent.more(len(data))
        yield data

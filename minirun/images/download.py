"""One blob from a registry into the store, from where an earlier try ended.

What is there of it (``ingest/<hex>.part``) is hashed, the rest is asked for by Range; digest and size are verified on
the bytes as they come.  Whatever breaks leaves the piece for the next try; a blob that turns out wrong leaves nothing.
If its beginning came from an earlier try, it gets one more from its first byte: the fault may be that one's.
"""

from __future__ import annotations

from minirun.errors import MinirunError
from minirun.images import refusals
from minirun.images.challenge import content_range
from minirun.images.parallel import Stopped
from minirun.images.refusals import Asked, Trouble

TYPE_CHECKING = False
if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from minirun.images.blobs import Blobs, Writer
    from minirun.images.media import Descriptor
    from minirun.images.progress import Bar
    from minirun.images.registry import Client

PROGRESS = 8 << 20  # so many bytes more make a broken connection worth as many tries as the first


def blob(client: Client, blobs: Blobs, expected: Descriptor, bar: Bar) -> None:
    """Fetch it; nothing to do if it is here."""
    if blobs.has(expected.digest, expected.size):
        bar.done("already there")
        return
    try:
        inherited = attempt(client, blobs, expected, bar)
    except Doubt:
        bar.advance(-expected.size)
        inherited = attempt(client, blobs, expected, bar)
    bar.done("" if not inherited else "resumed")


class Doubt(Exception):
    """Wrong, but not all of it is of this try's making."""


def attempt(client: Client, blobs: Blobs, expected: Descriptor, bar: Bar) -> int:
    """How much of it was there before."""
    writer = blobs.partial(expected)
    inherited = writer.written
    bar.advance(inherited)
    try:
        receive(client, writer, expected, bar)
        writer.commit()
    except MinirunError as error:
        if writer.fd < 0 and inherited:  # refused by the writer itself, which has removed it
            raise Doubt from error
        if writer.fd < 0:
            client.deceived = True
            asked = Asked(method="GET", url=address(client, expected), aim=client.aim)
            raise refusals.lie(client.aim, f"{error.message}: {error.reason}", asked) from error
        raise
    finally:
        writer.suspend()
    return inherited


def address(client: Client, expected: Descriptor) -> str:
    return f"{client.base}/v2/{client.repository}/blobs/{expected.digest}"


def receive(client: Client, writer: Writer, expected: Descriptor, bar: Bar) -> None:
    """All of it, over as many connections as it takes, within reason."""
    tries, mark = 0, writer.written
    while writer.written < expected.size or not tries:
        if client.stop.is_set():
            raise Stopped
        tries += 1
        try:
            one_connection(client, writer, expected, bar)
            if writer.written >= expected.size:
                return
            raise Trouble(
                "broken", f"{client.host} ended after {writer.written} of {expected.size} bytes", host=client.host
            )
        except Trouble as trouble:
            if writer.written - mark >= PROGRESS:
                tries, mark = 1, writer.written
            if not trouble.passing or tries >= client.manner.attempts:
                asked = Asked(method="GET", url=address(client, expected), aim=client.aim)
                raise refusals.of_trouble(trouble, asked) from trouble
        client.rest(tries)


def one_connection(client: Client, writer: Writer, expected: Descriptor, bar: Bar) -> None:
    had = writer.written
    if had and had == expected.size:
        return
    headers = {"Range": f"bytes={had}-"} if had else {}
    good = (200, 206, 416) if had else (200,)
    response = client.ask("GET", f"{client.repository}/blobs/{expected.digest}", headers=headers, good=good)
    if had and not goes_on(response, had, expected, client):
        bar.advance(-had)
        writer.restart()
        if response.status != 200:  # 200 is the whole of it from its first byte: some know no ranges
            response.close()
            raise Trouble("broken", f"{client.host} has no such part of it", host=client.host)
    elif not had:
        check_length(response, expected, client)
    for data in client.stream(response):
        writer.write(data)
        bar.advance(len(data))


def goes_on(response: BaseHTTPResponse, had: int, expected: Descriptor, client: Client) -> bool:
    """Does this body go on where we are?"""
    if response.status == 200:
        check_length(response, expected, client)
        return False
    found = content_range(response.headers.get("Content-Range"))
    return response.status == 206 and found is not None and found[0] == had and found[1] in (-1, expected.size)


def check_length(response: BaseHTTPResponse, expected: Descriptor, client: Client) -> None:
    """An answer that says itself that it is of another size is not worth reading."""
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) != expected.size:
        response.close()
        client.deceived = True
        asked = Asked(method="GET", url=address(client, expected), aim=client.aim)
        raise refusals.lie(client.aim, f"a blob of {length[:20]} bytes, not the {expected.size} it should have", asked)

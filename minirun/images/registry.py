"""A registry, spoken to by the distribution specification: one client for one repository, for any number of threads.

    ping        GET /v2/: is it a registry, with TLS or without, and whom does it want to hear from
    ask         one request, with what has to be around it: the token, redirects, another try

Redirects are followed where nothing is sent (GET, HEAD); credentials go to the registry's own origin only, and from TLS
nothing leads back to plain text.  What passes (429, 5xx, a broken connection) is tried again after a growing pause, or
after what Retry-After asks for.  Without TLS minirun speaks to the loopback only, or when told.
"""

from __future__ import annotations

import os
import threading
import time
from urllib.parse import urljoin

from minirun.images import refusals
from minirun.images.authority import Authority, Who
from minirun.images.challenge import challenges, retry_after
from minirun.images.dial import Dial, Manner, folders, host_of, is_loopback, leads, origin, pieces, whole
from minirun.images.media import DOCUMENT_LIMIT
from minirun.images.parallel import Stopped
from minirun.images.reference import DEFAULT_REGISTRY
from minirun.images.refusals import Asked, Trouble

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from urllib3 import BaseHTTPResponse

    from minirun.errors import MinirunError

PASSING = (408, 429, 500, 502, 503, 504)
MOVED = (301, 302, 303, 307, 308)
HOPS = 6
FIRST = 3  # tries to reach it at all: whoever typed a wrong name should not wait for minutes
WORDS_LIMIT = 64 << 10


class Client:
    """``aim`` begins each of its errors: "cannot pull busybox:latest"."""

    def __init__(
        self, registry: str, repository: str = "", *, actions: str = "pull", aim: str = "", who: Who | None = None,
        manner: Manner | None = None, stop: threading.Event | None = None,
    ) -> None:  # fmt: skip
        self.registry, self.repository, self.aim = registry, repository, aim
        self.manner = manner or Manner()
        self.dial = Dial(self.manner, self.host)
        self.stop = stop or threading.Event()
        scopes = [f"repository:{repository}:{actions}"] if repository else []
        self.authority = Authority(who or Who(env=dict(os.environ)), registry, repository, scopes)
        self.base = ""
        self.challenge: list[tuple[str, dict[str, str]]] = []
        self.deceived = False  # has it sent what cannot be true?

    # reaching it

    @property
    def host(self) -> str:
        """The default registry's name is not its host's."""
        return f"registry-1.{DEFAULT_REGISTRY}" if self.registry == DEFAULT_REGISTRY else self.registry

    def bases(self) -> list[str]:
        """How it may be spoken to, the first first."""
        try:
            name = origin(f"https://{self.host}")[1]
        except Trouble as trouble:
            raise refusals.of_trouble(
                trouble, Asked(method="GET", url=f"https://{self.host}", aim=self.aim)
            ) from trouble
        secure, bare = f"https://{self.host}", f"http://{self.host}"
        if self.manner.plain:
            return [bare]
        if not self.manner.verify:
            return [secure, bare]
        # a question without secrets; a server that wants TLS answers it with 400 or hangs up
        return [bare, secure] if is_loopback(name) and not folders(self.host, self.manner) else [secure]

    def ping(self) -> None:
        """Find out how it is spoken to; its challenge is for the first request that needs one."""
        if self.base:
            return
        first: Trouble | None = None
        bases = self.bases()
        for base in bases:
            asked = Asked(method="GET", url=f"{base}/v2/", aim=self.aim)
            last = base == bases[-1]
            try:
                response = self.persist(asked.url, self.knock, most=FIRST if last else 1)
            except Trouble as trouble:
                if last or trouble.kind not in ("plain", "broken"):
                    # a server that breaks off without TLS and with it has the fault that it had first
                    worse = first if first and trouble.kind in ("plain", "broken") else trouble
                    raise refusals.of_trouble(worse, asked) from trouble
                first = trouble
                continue
            if response.status == 400 and not last:
                self.words(response)
                continue
            return self.pinged(base, response, asked)

    def knock(self, url: str) -> BaseHTTPResponse:
        """Without a word about who we are."""
        return self.dial.ask("GET", url, {})

    def pinged(self, base: str, response: BaseHTTPResponse, asked: Asked) -> None:
        body = self.words(response)
        if response.status == 401:
            self.challenge = challenges(response.headers.getlist("WWW-Authenticate"))
        elif response.status in (403, 404, 405):
            raise refusals.no_registry(response.status, asked, self.host)
        elif response.status != 200:
            raise refusals.of_answer(response.status, response.headers, body, asked, host=self.host)
        self.base = base

    # asking

    def ask(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None,
        body: Callable[[], Any] | None = None, good: Sequence[int] = (200,),
    ) -> BaseHTTPResponse:  # fmt: skip
        """The answer to a request whose status is in ``good``.  ``path`` may be a whole address: an upload's Location.

        ``body`` makes the body, anew for each try.
        """
        self.ping()
        url = urljoin(f"{self.base}/v2/", path)
        asked = Asked(method=method, url=url, aim=self.aim)
        try:
            if self.challenge and not self.authority.header:
                self.authorise(self.challenge, "")
            response = self.persist(url, lambda url: self.authorised(method, url, headers or {}, body))
        except Trouble as trouble:
            raise refusals.of_trouble(trouble, asked) from trouble
        if response.status in good:
            return response
        raise self.refusal(response, asked)

    def ask_once(
        self, method: str, url: str, headers: Mapping[str, str], body: Callable[[], Any], good: Sequence[int]
    ) -> BaseHTTPResponse:
        """Without another try, where the caller has to begin further up: a status that passes is Trouble, then."""
        response = self.authorised(method, url, headers, body)
        if response.status in good:
            return response
        if response.status in PASSING:
            self.words(response)
            raise Trouble("busy", f"{self.registry} answers {response.status}", host=self.host)
        raise self.refusal(response, Asked(method=method, url=url, aim=self.aim))

    def refusal(self, response: BaseHTTPResponse, asked: Asked) -> MinirunError:
        body = self.words(response)
        known = self.authority.known
        return refusals.of_answer(response.status, response.headers, body, asked, host=self.registry, known=known)

    def words(self, response: BaseHTTPResponse) -> bytes:
        """The little that is said beside the head; read to its end, so that the connection serves the next request."""
        try:
            return whole(response, WORDS_LIMIT, self.manner, self.host) or b""
        except Trouble:
            return b""

    def persist(self, url: str, go: Callable[[str], BaseHTTPResponse], *, most: int = 99) -> BaseHTTPResponse:
        """``go(url)``, again while what goes wrong may pass, but ``most`` times at most."""
        attempts = min(most, self.manner.attempts)
        for attempt in range(1, attempts + 1):
            wait: float | None = None
            try:
                response = go(url)
                if response.status not in PASSING or attempt == attempts:
                    return response
                wait = retry_after(response.headers.get("Retry-After"), time.time())
                if wait is not None and wait > self.manner.patience:
                    return response
                self.words(response)
            except Trouble as trouble:
                # one that has answered before is perhaps being started anew
                passing = trouble.passing or (self.base and trouble.kind in ("refused", "name"))
                if not passing or attempt == attempts:
                    raise
            self.rest(attempt, wait)
        raise AssertionError("unreachable")

    def rest(self, attempt: int, wait: float | None = None) -> None:
        """The pause before another try; ends at once when nobody wants it any more."""
        if self.stop.wait(wait if wait is not None else min(self.manner.pause * 2 ** (attempt - 1), 15.0)):
            raise Stopped

    def authorised(
        self, method: str, url: str, headers: Mapping[str, str], body: Callable[[], Any] | None
    ) -> BaseHTTPResponse:
        """Once; if the registry wants to know who asks, or its token is too old, once more."""
        used = self.authority.header
        response = self.follow(method, url, headers, body, used)
        own = origin(response.url) == origin(self.base) if response.url else True
        if response.status != 401 or not own:
            return response
        wanted = challenges(response.headers.getlist("WWW-Authenticate"))
        if not wanted or (used.startswith("Basic ") and used == self.authority.header):
            return response
        self.words(response)
        self.authorise(wanted, used)
        return self.follow(method, url, headers, body, self.authority.header)

    def authorise(self, wanted: list[tuple[str, dict[str, str]]], used: str) -> None:
        self.authority.renew(self.dial, self.base, wanted, used, aim=self.aim, rest=self.rest)

    def follow(
        self, method: str, url: str, headers: Mapping[str, str], body: Callable[[], Any] | None, authorization: str
    ) -> BaseHTTPResponse:
        """Through redirects, where nothing is sent; Authorization stays at home."""
        for _ in range(HOPS):
            if self.stop.is_set():
                raise Stopped
            self.check(url)
            own = origin(url) == origin(self.base)
            more = {"Authorization": authorization} if own and authorization else {}
            response = self.dial.ask(method, url, {**headers, **more}, body() if body else None)
            response.url = url
            target = response.headers.get("Location", "")
            if response.status not in MOVED or not target or method not in ("GET", "HEAD"):
                return response
            self.words(response)
            url = leads(url, target)
        raise Trouble("redirects", f"more than {HOPS} redirects, one after the other", host=self.host)

    def check(self, url: str) -> None:
        """May this address be asked?  Nothing leads from TLS to plain text, nor from the loopback away without TLS."""
        scheme, name, _ = origin(url)
        if scheme == "https":
            return
        if self.base.startswith("https://"):
            raise Trouble("address", f"it leads from TLS to plain text at {name}", host=name)
        if not self.manner.plain and self.manner.verify and not is_loopback(name):
            raise Trouble("address", f"it leads to {name}, without TLS", host=name)

    # what registries have

    def document(self, path: str, accept: Sequence[str], limit: int = DOCUMENT_LIMIT) -> tuple[bytes, str]:
        """(raw bytes, media type) of something small."""
        self.ping()
        asked = Asked(method="GET", url=urljoin(f"{self.base}/v2/", path), aim=self.aim)
        for attempt in range(1, self.manner.attempts + 1):
            response = self.ask("GET", path, headers={"Accept": ", ".join(accept)})
            kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            try:
                data = whole(response, limit, self.manner, self.host)
            except Trouble as trouble:
                if not trouble.passing or attempt == self.manner.attempts:
                    raise refusals.of_trouble(trouble, asked) from trouble
                self.rest(attempt)
                continue
            if data is None:
                raise refusals.lie(self.aim, f"it sends more than {limit} bytes for a document", asked)
            return data, kind
        raise AssertionError("unreachable")

    def stream(self, response: BaseHTTPResponse) -> Iterator[bytes]:
        """A large body, until nobody wants it any more."""
        host = host_of(origin(response.url or self.base))
        for data in pieces(response, self.manner, host):
            if self.stop.is_set():
                response.close()
                raise Stopped
            yield data

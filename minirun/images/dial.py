"""How a host is reached: connections that are kept, TLS and whom it trusts, proxies, and patience with an end.

One request, one answer: no redirects, no second try, no credentials (those are ``registry``'s).  urllib3 does the
work and leaves as ``Trouble`` when it fails.

TLS trusts the system's CAs and what is in certs.d (containers-certs.d(5)): ``HOST[:PORT]/*.crt`` are CAs besides, and
``*.cert`` with ``*.key`` is who we are.  Proxies are the environment's, never for this machine itself.
"""

from __future__ import annotations

import os
import threading
from urllib.parse import unquote, urljoin, urlsplit

from minirun import __version__
from minirun.errors import MinirunError
from minirun.images.refusals import Trouble
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from urllib3 import BaseHTTPResponse, PoolManager

CERTS = ("/etc/containers/certs.d", "/etc/docker/certs.d")
PIECE = 128 << 10
OURS = {"User-Agent": f"minirun/{__version__}", "Accept-Encoding": "identity"}


class Manner(Record):
    """How registries are spoken to; times are seconds."""

    plain: bool = False  # without TLS
    verify: bool = True  # False: TLS with anybody, or without
    certs: tuple[str, ...] = CERTS  # each with a directory for each host
    own_certs: str = ""  # a directory for whatever host is asked
    connect: float = 10.0
    silence: float = 30.0  # the longest that nothing comes
    answer: float = 60.0  # until the head of an answer is complete, and a small one whole
    commit: float = 300.0  # until the answer to an upload begins: a registry may look through it first
    slowest: int = 1024  # bytes a second, over any span of `silence`
    attempts: int = 5
    pause: float = 0.5  # before the second attempt; then twice that, and so on
    patience: float = 60.0  # the longest that Retry-After may ask for


def is_loopback(host: str) -> bool:
    """Of a URL's host name, without brackets."""
    import ipaddress

    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin(url: str) -> tuple[str, str, int]:
    """(scheme, host, port): what must be equal for two addresses to be one server."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise Trouble("address", f"not an address: {url[:200]}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Trouble("address", f"not an address: {url[:200]}")
    if "@" in parts.netloc:
        raise Trouble("address", f"an address with credentials in it: {parts.hostname}")
    return parts.scheme, parts.hostname, port


def leads(base: str, target: str) -> str:
    """Where a Location leads, seen from ``base``."""
    try:
        return urljoin(base, target)
    except ValueError as error:
        raise Trouble("address", f"not an address: {target[:200]}") from error


class Dial:
    """Connections to any number of hosts, by any number of threads; ``home`` is the one that all begins with."""

    def __init__(self, manner: Manner, home: str = "") -> None:
        self.manner, self.home = manner, home
        self.pools: dict[tuple[str, str, int], PoolManager] = {}
        self.lock = threading.Lock()

    def ask(self, method: str, url: str, headers: Mapping[str, str], body: Any = None) -> BaseHTTPResponse:
        """The answer's head; its body is still to be read.  A body of ours may take its time, but not in silence."""
        import urllib3

        manner = self.manner
        ours = int(headers.get("Content-Length", -1))  # what goes up may be looked through before the answer
        silence = manner.silence if ours < 0 else manner.commit
        timeout = urllib3.Timeout(connect=manner.connect, read=silence)
        seconds = manner.answer if ours < 0 else silence + ours / manner.slowest
        where = origin(url)
        pool = self.pool(where)

        def go() -> BaseHTTPResponse:
            return pool.urlopen(
                method, url, headers={**OURS, **headers}, body=body, timeout=timeout,
                redirect=False, retries=False, preload_content=False, decode_content=False,
            )  # fmt: skip

        try:
            return within(seconds, go)
        except TimeoutError as error:
            raise Trouble("timeout", f"no answer from {where[1]} in time", host=host_of(where)) from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise trouble_of(error, host_of(where)) from error

    def pool(self, where: tuple[str, str, int]) -> PoolManager:
        with self.lock:
            if where not in self.pools:
                self.pools[where] = self.new_pool(where)
            return self.pools[where]

    def new_pool(self, where: tuple[str, str, int]) -> PoolManager:
        import urllib3

        if not self.manner.verify:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # it was asked for
        more: dict[str, Any] = {"maxsize": 8, "num_pools": 2}
        if where[0] == "https":
            more["ssl_context"] = context(host_of(where), self.home, self.manner)
        proxy = proxy_for(where)
        if not proxy:
            return urllib3.PoolManager(**more)
        parts = urlsplit(proxy)
        if parts.username:
            more["proxy_headers"] = urllib3.make_headers(
                proxy_basic_auth=unquote(f"{parts.username}:{parts.password or ''}")
            )
        try:
            return urllib3.ProxyManager(proxy, **more)
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise Trouble("proxy", f"cannot use the proxy of the environment: {error}") from error

    def hang_up(self) -> None:
        with self.lock:
            for pool in self.pools.values():
                pool.clear()


def within(seconds: float, go: Callable[[], BaseHTTPResponse]) -> BaseHTTPResponse:
    """``go()`` in a thread of its own, which is left alone when time is up.

    A socket's timeout is about one packet: a name server or a peer that sends a byte a minute would go on for ever.
    """
    came: list[BaseHTTPResponse] = []
    failed: list[BaseException] = []
    ready = threading.Event()

    def run() -> None:
        try:
            came.append(go())
        except BaseException as error:
            failed.append(error)
        ready.set()

    threading.Thread(target=run, daemon=True).start()
    if not ready.wait(seconds):
        raise TimeoutError
    if failed:
        raise failed[0]
    return came[0]


def pieces(response: BaseHTTPResponse, manner: Manner, host: str) -> Iterator[bytes]:
    """The body as it comes; Trouble when it stops, breaks off, or only trickles."""
    import time

    import urllib3

    since, count = time.monotonic(), 0
    try:
        while data := response.read1(PIECE):
            yield data
            count += len(data)
            now = time.monotonic()
            if now - since >= manner.silence:
                if count < manner.slowest * (now - since):
                    raise Trouble(
                        "timeout", f"{host} sends next to nothing: {count} bytes in {now - since:.0f} s", host=host
                    )
                since, count = now, 0
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise trouble_of(error, host) from error
    finally:
        if not response.closed:
            response.close()


def whole(response: BaseHTTPResponse, most: int, manner: Manner, host: str) -> bytes | None:
    """The body, if it has at most ``most`` bytes; None if it has more."""
    import time

    limit = time.monotonic() + manner.answer
    found = bytearray()
    for data in pieces(response, manner, host):
        found += data
        if len(found) > most:
            return None
        if time.monotonic() > limit:
            raise Trouble("timeout", f"no whole answer from {host} in time", host=host)
    return bytes(found)


def host_of(where: tuple[str, str, int]) -> str:
    """As certs.d and people spell it: without the scheme's own port."""
    scheme, host, port = where
    host = f"[{host}]" if ":" in host else host
    return host if port == {"https": 443, "http": 80}[scheme] else f"{host}:{port}"


def trouble_of(error: Exception, host: str) -> Trouble:
    """urllib3's exceptions, and what is inside of them, in our few kinds."""
    import ssl

    from urllib3 import exceptions as they

    inner: BaseException | None = error
    chain: list[BaseException] = []
    while inner is not None and inner not in chain:
        chain.append(inner)
        inner = inner.__cause__ or inner.__context__
    if any(isinstance(one, they.ProxyError) for one in chain):
        return Trouble("proxy", f"the proxy to {host} does not help: {short(chain[-1])}", host=host)
    for one in chain:
        if isinstance(one, ssl.SSLError) and one.reason in (
            "WRONG_VERSION_NUMBER",
            "HTTP_REQUEST",
            "RECORD_LAYER_FAILURE",
        ):
            return Trouble("plain", f"{host} does not speak TLS", host=host)
        if isinstance(one, ssl.SSLCertVerificationError):
            return Trouble("tls", f"the certificate of {host} is not to be trusted: {one.verify_message}", host=host)
        if isinstance(one, ssl.SSLError) and not isinstance(one, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return Trouble(
                "tls", f"no TLS with {host}: {(one.reason or short(one)).replace('_', ' ').lower()}", host=host
            )
    if any(isinstance(one, they.NameResolutionError) for one in chain):
        return Trouble("name", f"the name {host} cannot be resolved", host=host)
    if any(isinstance(one, ConnectionRefusedError) for one in chain):
        return Trouble("refused", f"nothing listens at {host}: connection refused", host=host)
    if any(isinstance(one, they.TimeoutError | TimeoutError) for one in chain):
        return Trouble("timeout", f"{host} is silent", host=host)
    return Trouble("broken", f"the connection to {host} broke: {short(chain[-1])}", host=host)


def short(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or error.__class__.__name__
    return str(text)[:200]


def proxy_for(where: tuple[str, str, int]) -> str:
    """The environment's proxy for a host, "" for none; as Go and curl do, never for the loopback."""
    from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

    scheme, host, port = where
    proxies = getproxies_environment()
    found = proxies.get(scheme) or proxies.get("all") or ""
    if not found or is_loopback(host) or proxy_bypass_environment(f"{host}:{port}", proxies):
        return ""
    return found if "://" in found else f"http://{found}"


def context(host: str, home: str, manner: Manner) -> ssl.SSLContext:
    """Whom TLS with this host trusts, and who we say we are: what ``--cert-dir`` says of that is for home only."""
    import ssl

    made = ssl.create_default_context()
    if not manner.verify:
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    for folder in folders(host, manner):
        for name in sorted(os.listdir(folder)):
            path = f"{folder}/{name}"
            try:
                if name.endswith(".crt"):
                    made.load_verify_locations(cafile=path)
                elif name.endswith(".cert") and (folder != manner.own_certs or host == home):
                    made.load_cert_chain(path, f"{path.removesuffix('.cert')}.key")
            except (OSError, ssl.SSLError) as error:
                raise MinirunError("cannot use a certificate", reason=f"{path}: {short(error)}") from error
    return made


def folders(host: str, manner: Manner) -> list[str]:
    """The directories of certificates that speak of this host."""
    named = [f"{base}/{host}" for base in manner.certs]
    return [path for path in [*named, manner.own_certs] if path and os.path.isdir(path)]

"""What a registry, or the way to it, refuses: one face, which says what host was asked what, and what it answered.

``Trouble`` is what happens between two machines, before anybody knows whether it matters: some of it passes (a broken
connection, a server that is busy) and is tried again.  What remains becomes a MinirunError here.  A registry's words
(distribution-spec, Error codes) are quoted, shortened, and never trusted to be short or printable.
"""

from __future__ import annotations

import json

from minirun.errors import MinirunError
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_WORDS = 300
TLS_HINT = (
    "trust its CA: put it into /etc/containers/certs.d/{host}/ca.crt; --tls-verify=false trusts anybody, "
    "--plain-http does without TLS"
)
REASONS = {
    "NAME_UNKNOWN": "the registry has no such repository",
    "MANIFEST_UNKNOWN": "the registry has no such image",
    "BLOB_UNKNOWN": "the registry has lost a part of it",
    "UNAUTHORIZED": "the registry wants to know who asks",
    "DENIED": "the registry denies it",
    "TOOMANYREQUESTS": "the registry has had enough requests for now",
    "UNSUPPORTED": "the registry does not do that",
    "NAME_INVALID": "the registry does not take such a name",
    "TAG_INVALID": "the registry does not take such a tag",
}
# what became of a request that got no answer, by the kind of trouble
OUTCOMES = {
    "name": "no address", "refused": "connection refused", "tls": "no trust", "plain": "no TLS", "timeout": "no answer",
    "broken": "connection lost", "proxy": "no way through", "address": "not asked", "redirects": "no end",
}  # fmt: skip
STATUSES = {
    401: "UNAUTHORIZED", 403: "DENIED", 404: "MANIFEST_UNKNOWN", 405: "UNSUPPORTED", 429: "TOOMANYREQUESTS",
}  # fmt: skip


class Trouble(Exception):
    """The way to a registry: ``kind`` is refused, name, tls, plain (no TLS spoken there), timeout, broken, proxy."""

    def __init__(self, kind: str, reason: str, *, host: str = "", after: float | None = None) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.host = host
        self.after = after

    @property
    def passing(self) -> bool:
        """Is it worth another try?"""
        return self.kind in ("timeout", "broken", "busy")


class Asked(Record):
    """One request, for the face of its failure."""

    method: str
    url: str
    aim: str = ""  # "cannot pull busybox:latest"

    def line(self, outcome: str) -> str:
        """Without the query: presigned addresses keep their secrets there."""
        return f"{self.method} {self.url.partition('?')[0]} -> {OUTCOMES.get(outcome, outcome)}"


def of_trouble(trouble: Trouble, asked: Asked) -> MinirunError:
    host = trouble.host
    hints = {
        "refused": "does a registry listen there? a name without a host means the default registry",
        "name": "is the name right, and is there a network?",
        "tls": TLS_HINT.format(host=host),
        "plain": f"{host} does not speak TLS: --plain-http, if it is to be trusted as it is",
        "proxy": "HTTPS_PROXY, HTTP_PROXY and NO_PROXY say which proxy is asked",
        "timeout": "what has come is kept: the same command goes on from there",
        "broken": "what has come is kept: the same command goes on from there",
    }
    hint = hints.get(trouble.kind, "")
    if asked.method not in ("GET", "HEAD") and trouble.kind in ("timeout", "broken", "busy"):
        hint = "what the registry has already is not sent again: try the same command"
    return MinirunError(
        asked.aim or f"cannot reach the registry {host}",
        reason=trouble.reason,
        hint=hint,
        step=asked.line(trouble.kind),
    )


def of_answer(
    status: int, headers: Mapping[str, str], body: bytes, asked: Asked, *, host: str, known: bool = False
) -> MinirunError:
    """A status that is not the one hoped for; ``known``: credentials had been sent."""
    code, words = said(body)
    if not code:
        code = "BLOB_UNKNOWN" if status == 404 and "/blobs/" in asked.url else STATUSES.get(status, "")
    reason = REASONS.get(code, "")
    if status in (301, 302, 303, 307, 308):
        reason = "the registry sends us elsewhere for what cannot be asked elsewhere"
    elif status >= 500:
        reason = "the registry has failed"
    if known and code == "UNAUTHORIZED":
        reason = "the registry does not take these credentials"
    reason = reason or "the registry does not answer as registries do"
    outcome = " ".join(word for word in (str(status), code, words) if word)
    return MinirunError(
        asked.aim or f"the registry {host} refuses", reason=reason, hint=advice(status, code, known, host, headers),
        step=asked.line(outcome),
    )  # fmt: skip


def advice(status: int, code: str, known: bool, host: str, headers: Mapping[str, str]) -> str:
    if status in (401, 403) or code in ("UNAUTHORIZED", "DENIED"):
        if known:
            return f"what is known of you at {host} is not enough; minirun image login {host} says it anew"
        return f"minirun image login {host}; registries also answer so for a name that does not exist"
    if status == 429:
        wait = headers.get("Retry-After", "")
        return (
            f"it asks to wait {wait[:40]} seconds" if wait.isdecimal() else "wait, or log in: who is known may ask more"
        )
    if code in ("MANIFEST_UNKNOWN", "NAME_UNKNOWN"):
        return "is the name right, and the tag?"
    if status >= 500:
        return "try again later"
    return ""


def said(body: bytes) -> tuple[str, str]:
    """(code, message) of the first error in the answer, as the specification has it."""
    try:
        document = json.loads(body)
        first = document["errors"][0]
        code, words = first.get("code", ""), first.get("message", "")
    except (ValueError, RecursionError, TypeError, LookupError, AttributeError):
        return "", ""
    if not isinstance(code, str) or not isinstance(words, str):
        return "", ""
    return (code[:40] if code.replace("_", "").isalnum() else ""), words[:MOST_WORDS]


def no_registry(status: int, asked: Asked, host: str) -> MinirunError:
    return MinirunError(
        asked.aim or f"cannot use {host}", reason=f"{host} does not answer as registries do",
        step=asked.line(str(status)), hint="is it the registry's name, and its port?",
    )  # fmt: skip


def lie(aim: str, reason: str, asked: Asked, hint: str = "") -> MinirunError:
    """The registry answered, and what it answered cannot be true."""
    return MinirunError(aim, reason=reason, hint=hint, step=asked.line("refused by minirun"))

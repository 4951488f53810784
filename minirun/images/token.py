"""A token from the server that a registry names: distribution's token protocol, and OAuth2 for identity tokens.

The registry answers 401 with ``Bearer realm=...,service=...,scope=...``; whoever wants something asks the realm, with a
name and password if there are any, and gets a token for that and nothing else.  A password is sent as a password, to
the realm, and never in the place of a token.
"""

from __future__ import annotations

import json
from urllib.parse import urlencode, urlsplit

from minirun.errors import MinirunError
from minirun.images import refusals
from minirun.images.dial import Dial, host_of, is_loopback, origin, whole
from minirun.images.refusals import Asked, Trouble

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from minirun.images.credentials import Credentials

MOST = 1 << 20
LIFE = 60  # seconds, where the server does not say (distribution, token specification)
CLIENT = "minirun"


def fetch(
    dial: Dial, challenge: Mapping[str, str], scopes: Sequence[str], known: Credentials | None, *, base: str, aim: str
) -> tuple[str, float]:
    """(token, seconds that it lives); ``base`` is the registry that sent us there."""
    realm = challenge["realm"]
    check_realm(realm, base, dial, aim)
    fields = [("service", challenge["service"])] if challenge.get("service") else []
    fields += [("scope", scope) for scope in scopes]
    if known and known.identity:
        fields = [("service", challenge.get("service", "")), ("scope", " ".join(scopes))]
        return exchange(dial, realm, fields, known, aim)
    headers = {"Authorization": known.basic()} if known else {}
    if known:
        fields.insert(0, ("account", known.user))
    glue = "&" if urlsplit(realm).query else "?"
    return answer(dial, Asked(method="GET", url=realm + glue + urlencode(fields), aim=aim), headers, None, bool(known))


def check_realm(realm: str, base: str, dial: Dial, aim: str) -> None:
    """What is secret goes by TLS, unless the registry itself is spoken to without it, and the realm may be, too."""
    asked = Asked(method="GET", url=realm, aim=aim)
    try:
        scheme, host, _ = origin(realm)
    except Trouble as trouble:
        raise refusals.of_trouble(trouble, asked) from trouble
    allowed = base.startswith("http://") and (dial.manner.plain or is_loopback(host))
    if scheme != "https" and not allowed:
        raise refusals.lie(aim, f"it sends us to {host} for a token, without TLS", asked)


def exchange(dial: Dial, realm: str, fields: list[tuple[str, str]], known: Credentials, aim: str) -> tuple[str, float]:
    """An identity token for an access token (RFC 6749, 6)."""
    form = [("grant_type", "refresh_token"), *fields, ("client_id", CLIENT), ("refresh_token", known.identity)]
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return answer(dial, Asked(method="POST", url=realm, aim=aim), headers, urlencode(form).encode(), True)


def answer(dial: Dial, asked: Asked, headers: Mapping[str, str], body: bytes | None, known: bool) -> tuple[str, float]:
    host = host_of(origin(asked.url))
    response = dial.ask(asked.method, asked.url, headers, body)
    data = whole(response, MOST, dial.manner, host)
    if response.status != 200:
        raise refusals.of_answer(response.status, response.headers, data or b"", asked, host=host, known=known)
    try:
        document = json.loads(data or b"")
        token = document.get("token") or document.get("access_token")
        life = document.get("expires_in", LIFE)
    except (ValueError, RecursionError, AttributeError) as error:
        raise no_token(asked) from error
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or " " in token:
        raise no_token(asked)
    return token, float(life) if isinstance(life, int | float) and LIFE < life < 1e6 else LIFE


def no_token(asked: Asked) -> MinirunError:
    return refusals.lie(asked.aim, "the server that gives tokens answers without one", asked)

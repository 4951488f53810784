"""Remembering who one is at a registry, and forgetting it: what ``image login`` and ``image logout`` do.

The file is the one that podman writes (containers-auth.json(5)); a helper that it, or docker's, names for the registry
keeps the secret in its place.  The file is written anew beside itself and renamed, for its owner only; whatever else
it says stays.
"""

from __future__ import annotations

import base64
import json
import os

from minirun.errors import MinirunError
from minirun.images import credentials
from minirun.images.authority import Who
from minirun.images.credentials import Credentials, files, helper_says, part, read, runtime_file, same, server_of
from minirun.images.registry import Client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from minirun.images.dial import Manner


def login(registry: str, who: Credentials, env: Mapping[str, str], authfile: str, manner: Manner) -> str:
    """Where it is kept now; an error if the registry does not take it."""
    client = Client(registry, aim=f"cannot log in to {registry}", who=Who(given=who), manner=manner)
    try:
        client.words(client.ask("GET", ""))
    finally:
        client.dial.hang_up()
    helper = helper_for(registry, env, authfile)
    if helper:
        words = {"ServerURL": server_of(registry), "Username": who.user, "Secret": who.password}
        status, output = helper_says(helper, "store", json.dumps(words), env)
        if status:
            raise MinirunError("cannot keep the password", reason=f"docker-credential-{helper}: {output.strip()[:200]}")
        return f"docker-credential-{helper}"
    path = target(env, authfile)
    document = read(path)
    entry = base64.b64encode(f"{who.user}:{who.password}".encode()).decode()
    write(path, {**document, "auths": {**without(document, registry), server_of(registry): {"auth": entry}}})
    return path


def logout(registry: str, env: Mapping[str, str], authfile: str) -> tuple[bool, str]:
    """(was anything forgotten, another file that still knows this registry)."""
    path = target(env, authfile)
    document = read(path)
    left = without(document, registry)
    gone = len(left) != len(part(document, "auths"))
    if gone:
        write(path, {**document, "auths": left})
    helper = helper_for(registry, env, authfile)
    if helper:
        gone = helper_says(helper, "erase", server_of(registry), env)[0] == 0 or gone
    found = credentials.find(registry, "", env, authfile)
    return gone, found.source if found else ""


def logout_everywhere(env: Mapping[str, str], authfile: str) -> int:
    """How many registries the file knew."""
    path = target(env, authfile)
    document = read(path)
    count = len(part(document, "auths"))
    if count:
        write(path, {**document, "auths": {}})
    return count


def target(env: Mapping[str, str], authfile: str) -> str:
    """The file that login writes."""
    return authfile or env.get("REGISTRY_AUTH_FILE") or runtime_file(env)


def helper_for(registry: str, env: Mapping[str, str], authfile: str) -> str:
    """The first file that names one decides."""
    for path in files(env, authfile):
        document = read(path)
        named = part(document, "credHelpers").get(registry) or document.get("credsStore")
        if isinstance(named, str) and named:
            return named
    return ""


def without(document: dict[str, Any], registry: str) -> dict[str, Any]:
    """The entries of all other registries."""
    return {name: entry for name, entry in part(document, "auths").items() if not same(name, registry)}


def write(path: str, document: dict[str, Any]) -> None:
    """Whole or not at all; through a link, if it is one."""
    path = os.path.realpath(path)
    if os.path.exists(path) and not os.path.isfile(path):
        raise MinirunError("cannot write credentials", reason=f"{path} is no file")
    new = f"{path}.{os.urandom(6).hex()}"
    try:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(fd, "w") as file:
                json.dump(document, file, indent="\t")
                file.write("\n")
            os.rename(new, path)
        except OSError:
            os.unlink(new)
            raise
    except OSError as error:
        raise MinirunError("cannot write credentials", reason=f"{path}: {error.strerror}") from error

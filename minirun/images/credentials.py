"""Who we are to a registry: the files that podman, skopeo and docker write, and docker's helper programs.

In this order, the first that knows the registry wins: ``--authfile`` (nothing else then), ``$REGISTRY_AUTH_FILE``
(the same), ``$XDG_RUNTIME_DIR/containers/auth.json``, ``~/.config/containers/auth.json``, docker's ``config.json``.
In a file (containers-auth.json(5)) an entry for a part of the registry's names goes before one for the registry:
``HOST/a/b``, ``HOST/a``, ``HOST``.  A helper is a program ``docker-credential-NAME`` that answers ``get``.

A password goes to the host it is kept for and, in exchange for a token, to the server that this host names.
"""

from __future__ import annotations

import base64
import binascii
import json
import os

from minirun.errors import MinirunError
from minirun.images.reference import DEFAULT_REGISTRY
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

MOST = 4 << 20
HUB = f"https://index.{DEFAULT_REGISTRY}/v1/"  # what docker has always called its own registry in these files


class Credentials(Record):
    """A name and a password, or an identity token (OAuth2's refresh token) in the password's place."""

    user: str = ""
    password: str = ""
    identity: str = ""
    source: str = ""

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r}, source={self.source!r})"  # a secret is in no message, by whatever way

    def basic(self) -> str:
        pair = f"{self.user}:{self.password}".encode()
        return "Basic " + base64.b64encode(pair).decode()


def files(env: Mapping[str, str], given: str = "") -> list[str]:
    """Where credentials may be, the first first."""
    if given or env.get("REGISTRY_AUTH_FILE"):
        return [given or env["REGISTRY_AUTH_FILE"]]
    home = env.get("HOME") or "/nonexistent"
    return [
        runtime_file(env),
        f"{env.get('XDG_CONFIG_HOME') or f'{home}/.config'}/containers/auth.json",
        f"{env.get('DOCKER_CONFIG') or f'{home}/.docker'}/config.json",
    ]


def runtime_file(env: Mapping[str, str]) -> str:
    """The one that podman writes to: gone with the session, or the machine's boot."""
    folder = env.get("XDG_RUNTIME_DIR") or f"/run/containers/{os.geteuid()}"
    return f"{folder}/containers/auth.json" if env.get("XDG_RUNTIME_DIR") else f"{folder}/auth.json"


def read(path: str) -> dict[str, Any]:
    """The document, {} where there is none."""
    try:
        with open(path, "rb") as file:
            data = file.read(MOST + 1)
        document = json.loads(data) if data.strip() else {}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise MinirunError("cannot read credentials", reason=f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise MinirunError("cannot read credentials", reason=f"{path} is not JSON") from error
    if len(data) > MOST or not isinstance(document, dict):
        raise MinirunError("cannot read credentials", reason=f"{path} is not an auth file")
    return document


def part(document: dict[str, Any], name: str) -> dict[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def find(registry: str, repository: str, env: Mapping[str, str], given: str = "") -> Credentials | None:
    """What is known for this registry (and this repository in it), if anything."""
    for path in files(env, given):
        document = read(path)
        helper = part(document, "credHelpers").get(registry)
        if isinstance(helper, str) and helper:
            return ask_helper(helper, server_of(registry), env)
        for key in keys(registry, repository):
            for name, entry in part(document, "auths").items():
                if isinstance(entry, dict) and same(name, key) and (found := of_entry(entry, path)):
                    return found
        store = document.get("credsStore")
        if isinstance(store, str) and store and (found := ask_helper(store, server_of(registry), env)):
            return found
    return None


def keys(registry: str, repository: str) -> list[str]:
    """HOST/a/b, HOST/a, HOST."""
    parts = repository.split("/") if repository else []
    return ["/".join([registry, *parts[:count]]) for count in range(len(parts), -1, -1)]


def same(name: str, key: str) -> bool:
    """An entry's name as written by anybody: with a scheme, a version, a slash, docker's name of old."""
    if name == HUB:
        return key == DEFAULT_REGISTRY
    bare = name.removeprefix("https://").removeprefix("http://")
    if bare != name:
        bare = bare.partition("/")[0]  # a URL is about its host
    bare = bare.rstrip("/")
    return (DEFAULT_REGISTRY if bare == f"index.{DEFAULT_REGISTRY}" else bare) == key


def server_of(registry: str) -> str:
    return HUB if registry == DEFAULT_REGISTRY else registry


def of_entry(entry: dict[str, Any], path: str) -> Credentials | None:
    identity = entry.get("identitytoken")
    user, password = entry.get("username"), entry.get("password")
    packed = entry.get("auth")
    if isinstance(packed, str) and packed:
        try:
            user, _, password = base64.b64decode(packed, validate=True).decode().strip("\0").partition(":")
        except (binascii.Error, ValueError) as error:
            raise MinirunError("cannot read credentials", reason=f"{path}: an entry is not base64") from error
    if isinstance(identity, str) and identity:
        return Credentials(user=user if isinstance(user, str) else "", identity=identity, source=path)
    if isinstance(user, str) and isinstance(password, str) and user:
        return Credentials(user=user, password=password, source=path)
    return None


def helper_says(name: str, verb: str, words: str, env: Mapping[str, str]) -> tuple[int, str]:
    """(exit status, output) of docker-credential-NAME VERB."""
    import subprocess

    program = f"docker-credential-{name}"
    if "/" in name or name.startswith("."):
        raise MinirunError("cannot ask for credentials", reason=f"{name!r} is not the name of a helper")
    try:
        done = subprocess.run(
            [program, verb], input=words.encode(), capture_output=True, timeout=60, env=dict(env), check=False
        )
    except FileNotFoundError as error:
        raise MinirunError(
            "cannot ask for credentials", reason=f"{program} is not there", hint="an auth file names it as the keeper"
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MinirunError("cannot ask for credentials", reason=f"{program}: {error.__class__.__name__}") from error
    return done.returncode, done.stdout[:MOST].decode("utf-8", "replace")


def ask_helper(name: str, server: str, env: Mapping[str, str]) -> Credentials | None:
    status, output = helper_says(name, "get", server, env)
    if status != 0:
        if "not found" in output.lower():
            return None
        raise MinirunError("cannot ask for credentials", reason=f"docker-credential-{name}: {output.strip()[:200]}")
    try:
        answer = json.loads(output)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise MinirunError(
            "cannot ask for credentials", reason=f"docker-credential-{name} says nothing useful"
        ) from error
    if not secret:
        return None
    source = f"docker-credential-{name}"
    return (
        Credentials(identity=secret, source=source)
        if user == "<token>"
        else Credentials(user=user, password=secret, source=source)
    )

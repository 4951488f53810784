"""``minirun image login`` and ``logout``."""

from __future__ import annotations

import sys

from minirun.cli.parse import usage
from minirun.cli.registry_call import ask_password, authfile_of, manner_of
from minirun.cli.stores import write_out
from minirun.errors import MinirunError
from minirun.images import login as keep, reference
from minirun.images.credentials import Credentials
from minirun.images.reference import DEFAULT_REGISTRY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.cli.main import Call


def registry_of(call: Call) -> str:
    """As a person writes it: with a scheme, or a slash behind it."""
    word = call.words[0] if call.words else DEFAULT_REGISTRY
    word = word.removeprefix("https://").removeprefix("http://").rstrip("/")
    if "/" in word:
        raise usage(f"{word!r} is more than the name of a registry")
    registry = reference.OTHER_NAMES.get(word, word)
    reference.check_registry(registry, registry)
    return registry


def login(call: Call) -> int:
    registry = registry_of(call)
    user = call.values.text("username") or ask_user(registry)
    password = password_of(call)
    if not password:
        raise usage("the password is empty")
    where = keep.login(
        registry, Credentials(user=user, password=password), call.env, authfile_of(call), manner_of(call)
    )
    call.log.debug(f"kept in {where}")
    write_out("Login Succeeded\n")
    return 0


def ask_user(registry: str) -> str:
    import os

    if not os.isatty(0):
        raise usage("there is no terminal to ask for a name", "--username gives it")
    try:
        user = input(f"Username at {registry}: ").strip()
    except EOFError as error:
        raise usage("no name was given") from error
    if not user:
        raise usage("no name was given")
    return user


def password_of(call: Call) -> str:
    given = call.values.text("password")
    if call.values.on("password_stdin"):
        if given:
            raise usage("--password and --password-stdin exclude each other")
        if not call.values.text("username"):
            raise usage("--password-stdin needs --username")
        return sys.stdin.read().removesuffix("\n").removesuffix("\r")
    if given:
        call.log.warn("a password on the command line is seen by everybody on this machine: --password-stdin")
    return given or ask_password()


def logout(call: Call) -> int:
    if call.values.on("all"):
        if call.words:
            raise usage("a registry and --all exclude each other")
        count = keep.logout_everywhere(call.env, authfile_of(call))
        write_out(f"Removed login credentials for {count} registries\n")
        return 0
    registry = registry_of(call)
    gone, other = keep.logout(registry, call.env, authfile_of(call))
    if not gone:
        raise MinirunError(
            f"not logged in to {registry}", reason=f"{keep.target(call.env, authfile_of(call))} does not know it",
            hint=f"{other} does" if other else "",
        )  # fmt: skip
    if other:
        call.log.warn(f"{other} still knows you at {registry}")
    write_out(f"Removed login credentials for {registry}\n")
    return 0

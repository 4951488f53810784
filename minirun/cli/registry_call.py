"""What the command line says about speaking with registries, as ``images`` wants it."""

from __future__ import annotations

from minirun.cli.parse import usage
from minirun.cli.stores import absolute
from minirun.images.authority import Who
from minirun.images.credentials import Credentials
from minirun.images.dial import Manner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.cli.main import Call

WORDS = {"true": True, "1": True, "false": False, "0": False}


def manner_of(call: Call) -> Manner:
    verify = call.values.text("tls_verify") or "true"
    if verify not in WORDS:
        raise usage(f"--tls-verify must be true or false, not {verify!r}")
    folder = call.values.text("cert_dir")
    return Manner(
        plain=call.values.on("plain_http"), verify=WORDS[verify], own_certs=absolute(folder, call.cwd) if folder else ""
    )


def who_of(call: Call) -> Who:
    given = call.values.text("creds")
    return Who(env=call.env, authfile=authfile_of(call), given=of_words(given) if given else None)


def authfile_of(call: Call) -> str:
    path = call.values.text("authfile")
    return absolute(path, call.cwd) if path else ""


def of_words(text: str) -> Credentials:
    """USER:PASSWORD, or USER alone: then the password is asked for."""
    user, colon, password = text.partition(":")
    if not user:
        raise usage("--creds wants USER or USER:PASSWORD")
    return Credentials(user=user, password=password if colon else ask_password(), source="--creds")


def ask_password() -> str:
    """From the terminal, unseen."""
    import getpass
    import os

    if not os.isatty(0):
        raise usage("there is no terminal to ask for a password", "--password-stdin reads it from standard input")
    try:
        return getpass.getpass("Password: ")
    except EOFError as error:
        raise usage("no password was given") from error

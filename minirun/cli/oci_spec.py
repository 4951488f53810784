"""spec, features, and the verbs that are not there yet."""

from __future__ import annotations

import posix

from minirun.cli.stores import absolute, write_out
from minirun.errors import MinirunError
from minirun.spec.decode import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.cli.main import Call


def spec(call: Call) -> int:
    """Write config.json; an existing one is left alone, as runc does."""
    from minirun import facts
    from minirun.spec.template import template

    folder = absolute(call.values.text("bundle") or ".", call.cwd)
    found = facts.probe()
    document = template(rootless=call.values.on("rootless"), uid=found.euid, gid=found.egid)
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_CLOEXEC
    flags |= posix.O_TRUNC if call.values.on("force") else posix.O_EXCL
    path = f"{folder}/config.json"
    try:
        fd = posix.open(path, flags, 0o644)
    except FileExistsError as error:
        raise MinirunError(
            "cannot write the configuration", reason=f"{path} exists", hint="--force writes over it"
        ) from error
    except OSError as error:
        raise MinirunError("cannot write the configuration", reason=f"{path}: {error.strerror}") from error
    posix.write(fd, encode(document, "\t").encode() + b"\n")
    posix.close(fd)
    return 0


def features(call: Call) -> int:
    from minirun.runtime.features import features as document

    write_out(encode(document(), "  ") + "\n")
    return 0


def checkpoint(call: Call) -> int:
    raise MinirunError("checkpoint is not supported", reason="it needs CRIU, which minirun does not use yet")


def restore(call: Call) -> int:
    raise MinirunError("restore is not supported", reason="it needs CRIU, which minirun does not use yet")

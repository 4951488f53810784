"""Paths on the command line, and the store that a call means."""

from __future__ import annotations

import posix

from minirun.runtime.root import default_root, outer_uid
from minirun.runtime.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.cli.main import Call


def absolute(path: str, cwd: str) -> str:
    """Seen from ``cwd``; "." and "//" taken out, ".." left to the kernel."""
    joined = path if path.startswith("/") else f"{cwd.rstrip('/')}/{path}"
    return "/" + "/".join(part for part in joined.split("/") if part not in ("", "."))


def store_of(call: Call) -> Store:
    root = call.glob.text("root") or default_root(call.env, posix.geteuid())
    return Store(absolute(root, call.cwd))


def storage_of(call: Call) -> str:
    """Where images, layers, volumes, networks and the containers made of them are kept."""
    given = call.glob.text("storage") or call.env.get("MINIRUN_STORAGE", "")
    return absolute(given, call.cwd) if given else default_storage(call.env, posix.geteuid())


def default_storage(env: dict[str, str], euid: int) -> str:
    """/var/lib/minirun for the host's root; for an ordinary user, and root in a user namespace of his, his own."""
    if outer_uid(euid) == 0:
        return "/var/lib/minirun"
    home = env.get("XDG_DATA_HOME") or f"{env.get('HOME') or '/nonexistent'}/.local/share"
    return f"{home}/minirun"


def write_out(text: str) -> None:
    """To standard output, whole."""
    data = text.encode("utf-8", "surrogateescape")
    while data:
        data = data[posix.write(1, data) :]

"""state."""

from __future__ import annotations

import posix

from minirun.cli.stores import store_of
from minirun.runtime import status
from minirun.spec.decode import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.cli.main import Call


def state(call: Call) -> int:
    """The specification's document, and what runc adds (rootfs, created, owner)."""
    entry = store_of(call).open(call.words[0])
    found = entry.load()
    shown = status.document(found, status.status(entry, found))
    shown |= {"rootfs": found.rootfs, "created": found.created, "owner": ""}
    posix.write(1, encode(shown, "  ").encode() + b"\n")
    return 0

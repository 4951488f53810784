"""``minirun completion --words KIND [START]``: what the completion scripts ask, one word a line, without click.

Names; and where something was typed already, ids that begin so.  Whatever goes wrong, nothing is offered.
"""

from __future__ import annotations

import posix

from minirun.cli.stores import storage_of, store_of, write_out
from minirun.errors import MinirunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from minirun.cli.main import Call

SHORT = 12
KINDS = ("ids", "containers", "running", "stopped", "images", "networks", "volumes", "recipes")


def offer(call: Call) -> int:
    """The call's words are KIND and START."""
    kind, start = (*call.words, "", "")[:2]
    try:
        found = sorted({word for word in words(call, kind, start) if word.startswith(start)})
    except (MinirunError, OSError, KeyError, TypeError):
        return 1
    write_out("".join(f"{word}\n" for word in found))
    return 0


def words(call: Call, kind: str, start: str) -> Iterator[str]:
    storage = storage_of(call)
    if kind in ("containers", "running", "stopped"):
        yield from containers(storage, kind, start)
    elif kind == "images":
        yield from images(storage, start)
    elif kind == "networks":
        yield from ("bridge", "host", "none")
        yield from (name.removesuffix(".json") for name in listed(f"{storage}/networks") if name.endswith(".json"))
    elif kind == "volumes":
        yield from (name for name in listed(f"{storage}/volumes") if not name.startswith("."))
    elif kind == "recipes":
        from minirun.images.rootfs.make import known

        yield from known()
    elif kind == "ids":
        from minirun.runtime.inspect import list_containers

        yield from (str(row["id"]) for row in list_containers(store_of(call)))


def containers(storage: str, kind: str, start: str) -> Iterator[str]:
    from minirun.container.record import EXITED
    from minirun.container.shelf import Shelf

    shelf = Shelf(storage)
    for name in listed(f"{storage}/names"):
        container_id = shelf.owner(name)
        if not shelf.exists(container_id):
            continue
        if kind != "containers":
            status = shelf.status(container_id)
            if (kind == "running") != (status.status != EXITED and status.pid > 0):
                continue
        yield name
        if start:
            yield container_id[:SHORT]


def images(storage: str, start: str) -> Iterator[str]:
    from minirun.images.reference import familiar
    from minirun.images.store import Images

    store = Images(storage)
    yield from (familiar(name) for name in store.names() if not name.startswith("sha256:"))
    if start and set(start) <= set("0123456789abcdef"):
        yield from (image.id.partition(":")[2][:SHORT] for image in store.all())


def listed(path: str) -> list[str]:
    try:
        return posix.listdir(path)
    except OSError:
        return []

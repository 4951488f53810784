"""--explain of ``container run``: the config.json that would be made, with nothing made for it.

The image must be here, and be unpacked if a user's name is to be looked up in it; ids and names that only the making
gives are shown as 0s.
"""

from __future__ import annotations

import posix

from minirun.container import users
from minirun.container.bundle import Site, config, joins
from minirun.container.record import Container
from minirun.container.together import complete
from minirun.errors import MinirunError
from minirun.linux.openat2 import O_PATH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from minirun.container.make import Request
    from minirun.container.shelf import Shelf

NOBODY = "0" * 64


def document(shelf: Shelf, request: Request, warn: Callable[[str], None]) -> dict[str, Any]:
    from minirun.images.layers import Layers, chain_ids
    from minirun.images.store import Images

    image = Images(shelf.storage).find(request.image, request.platform)
    members = complete(shelf, request, image)
    container = Container(
        id=NOBODY, name=request.name, created="", image=request.image, isolation=request.isolation,
        cgroupDriver=request.cgroup_driver, rootless=request.rootless, **members,
    )  # fmt: skip
    for entry in container.asked["mounts"]:
        if entry["kind"] == "volume" and not entry["source"]:
            entry["source"] = NOBODY
    layers = Layers(shelf.storage)
    lowers = [layers.directory(chain_id) for chain_id in chain_ids(image.diff_ids)[::-1]]
    directory = shelf.directory(NOBODY)
    joined = {name: f"/proc/PID/ns/{name if name != 'network' else 'net'}" for name in joins(container)}
    site = Site(storage=shelf.storage, directory=directory, rootfs=f"{directory}/rootfs", joined=joined, warn=warn)
    return config(container, site, find_user(container, lowers, warn))


def find_user(container: Container, lowers: list[str], warn: Callable[[str], None]) -> users.User:
    """In the topmost layer that has the name: there is no overlay to look into."""
    word = container.asked["user"] or container.imageConfig.get("User") or ""
    found = users.User(groups=[])
    problem: MinirunError | None = None
    for lower in lowers:
        try:
            root = posix.open(lower, O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
        except OSError:
            continue
        try:
            return users.resolve(root, word, container.asked["groups"])
        except MinirunError as error:
            problem = error
        finally:
            posix.close(root)
    if problem:
        raise problem
    number = word.partition(":")[0]
    if users.is_id(number):
        found.uid = int(number)
    elif word:
        warn(f"the user {word!r} is looked up in the image when it is unpacked")
    return found

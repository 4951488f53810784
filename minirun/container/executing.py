"""exec: one more program in a running container, by the runtime's own exec.

Its input is ours only with ``stdin``; its end is ours to wait for.  A user is looked up in the container's own passwd,
seen through its root as it is now, never through a link that leads out of it.
"""

from __future__ import annotations

import posix

from minirun.plan.container import Options
from minirun.record import Record
from minirun.runtime.create import Request
from minirun.runtime.execute import ExecRequest, execute as run
from minirun.runtime.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.container.life import Place
    from minirun.container.record import Container
    from minirun.container.shelf import Shelf


class Asked(Record):
    words: list[str]
    tty: bool = False
    stdin: bool = False
    detach: bool = False
    user: str = ""
    cwd: str = ""
    privileged: bool = False
    env: list[str] = []  # NAME=VALUE


def execute(shelf: Shelf, place: Place, container: Container, asked: Asked) -> int:
    """Its exit code."""
    if not asked.stdin or asked.detach:
        no_input()
    if asked.detach:
        no_output()
    base = Request(
        container_id=container.id, bundle=shelf.directory(container.id), env=place.env, warn=place.warn,
        options=Options(cgroup_driver=container.cgroupDriver, rootless=container.rootless),
        foreground=not asked.detach,
    )  # fmt: skip
    user, groups, home = user_of(shelf, container, asked.user)
    request = ExecRequest(
        base=base, args=asked.words, cwd=asked.cwd, env=[*home, *asked.env], user=user,
        additional_gids=groups, capabilities=every_capability() if asked.privileged else [],
        terminal=asked.tty and not asked.detach, detach=asked.detach,
    )  # fmt: skip
    return run(Store(place.root), request)


def no_input() -> None:
    null = posix.open("/dev/null", posix.O_RDONLY)
    posix.dup2(null, 0)
    posix.close(null)


def no_output() -> None:
    """Nobody would read it, and our caller waits for the end of his pipe."""
    null = posix.open("/dev/null", posix.O_WRONLY)
    posix.dup2(null, 1)
    posix.close(null)


def user_of(shelf: Shelf, container: Container, text: str) -> tuple[str | None, list[str], list[str]]:
    """uid:gid, the other groups, and HOME; None leaves it to the container's own process."""
    if not text:
        return None, [], []
    from minirun.container.users import resolve

    root = posix.open(shelf.rootfs(container.id), posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        found = resolve(root, text, [])
    finally:
        posix.close(root)
    return f"{found.uid}:{found.gid}", [str(group) for group in found.groups], [f"HOME={found.home}"]


def every_capability() -> list[str]:
    from minirun.plan.process import CAPABILITIES

    return list(CAPABILITIES)

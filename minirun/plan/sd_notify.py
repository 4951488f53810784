"""sd_notify(3): how the caller's $NOTIFY_SOCKET gets into a container (``runtime.sd_notify`` serves it).

A directory of the container's own, with the socket ``notify`` in it, is bound read-only where the caller's socket
is on the host, and NOTIFY_SOCKET names it.  A directory, because the socket in it may be made anew; read-only,
because a message needs no right to write there (unix(7)), and the host's /run is not the container's to fill.
"""

from __future__ import annotations

from minirun.plan import mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.plan.container import Asked, Problems
    from minirun.plan.ops import Op

ABSTRACT = "/run/notify"  # where a socket without a place in the file system is seen
POINTER = ""  # the environment's doing, not config.json's


def inside(asked: Asked) -> str:
    """The directory's path in the container, "" without $NOTIFY_SOCKET."""
    given = asked.options.notify_socket
    return mounts.clean(given) if given.startswith("/") else (ABSTRACT if given else "")


def bind(asked: Asked, problems: Problems) -> list[Op]:
    target = inside(asked)
    if not target:
        return []
    options = ["bind", "ro", "nosuid", "nodev", "noexec"]
    mount = {"destination": target, "type": "bind", "source": asked.options.notify_folder, "options": options}
    return mounts.one(asked, mount, POINTER, problems)  # type: ignore[arg-type]


def variable(asked: Asked) -> dict[str, str]:
    """For the program's environment."""
    target = inside(asked)
    return {"NOTIFY_SOCKET": f"{target}/notify"} if target else {}

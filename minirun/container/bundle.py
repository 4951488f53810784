"""From a container's record to the OCI configuration that the runtime gets, each time it starts.

``prepare`` does what must be done to files first: the hosts file and its like, the directories that volumes lie in,
what an image has where a new volume goes, the working directory, and the look into the image's own passwd for the
user.  ``config`` is then a pure function of what is known.  The monitor calls ``build``, which is both, with the
overlay mounted; ``--explain`` calls ``config`` with what can be known without touching anything.
"""

from __future__ import annotations

from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from minirun.container.record import Container


class Site(Record):
    """Where a container is about to run: what its record does not know."""

    storage: str
    directory: str  # STORAGE/containers/<id>: the bundle
    rootfs: str  # where its overlay is mounted
    netns: str = ""  # path of its network namespace; "" for a new one that nobody else knows (--network none)
    joined: dict[str, str] = {}  # pid, ipc, uts, network -> path, where container:ID was asked for
    hosts: list[str] = []  # lines of /etc/hosts for its own addresses and names, from network/attach
    resolv: list[str] = []  # lines of /etc/resolv.conf, from network/attach; [] copies the host's
    warn: Callable[[str], None] = lambda text: None


def build(container: Container, site: Site) -> dict[str, Any]:
    """The configuration, with everything in place that it names.  Idempotent: a restart calls it again."""
    raise NotImplementedError


def joins(container: Container) -> dict[str, str]:
    """pid, ipc, uts, network -> the container (name or id) whose namespace was asked for; the caller finds its pid."""
    raise NotImplementedError

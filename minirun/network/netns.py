"""network_namespaces(7): a fresh one, held by a descriptor and by nothing else: it ends with its last user.

Nothing is pinned on disk.  Who needs a path for it (config.json, CNI) has ``/proc/PID/fd/N`` of the process that
holds the descriptor.
"""

from __future__ import annotations

from minirun.linux import rtnetlink


def new() -> int:
    """A descriptor of a new network namespace in which ``lo`` is up.  Raises OSError."""
    raise NotImplementedError


def path_of(pid: int) -> str:
    """The network namespace of a process, for ``--net container:ID``."""
    return f"/proc/{pid}/ns/net"


def route(netns: int) -> rtnetlink.Route:
    """rtnetlink in that namespace."""
    return rtnetlink.Route(netns)

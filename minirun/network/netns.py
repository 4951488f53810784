"""network_namespaces(7): a fresh one, held by a descriptor and by nothing else: it ends with its last user.

Nothing is pinned on disk.  Who needs a path for it (config.json, CNI) has ``/proc/PID/fd/N`` of the process that
holds the descriptor.
"""

from __future__ import annotations

import posix

from minirun.errors import MinirunError
from minirun.linux import link, rtnetlink

LOOPBACK = 1  # the number of lo in every network namespace


def new() -> int:
    """A descriptor of a new network namespace in which ``lo`` is up."""
    try:
        netns = link.new_netns()
        try:
            rtnetlink.Route(netns).up(LOOPBACK)
        except BaseException:
            posix.close(netns)
            raise
    except OSError as error:
        hint = "it takes root, or a user namespace" if error.errno == 1 else ""
        raise MinirunError("cannot make a network namespace", reason=str(error.strerror), hint=hint) from error
    return netns


def path_of(pid: int) -> str:
    """The network namespace of a process, for ``--net container:ID``."""
    return f"/proc/{pid}/ns/net"

"""/linux/netDevices: an interface of the host's, given to the container (config-linux.md, Network Devices).

Look whether it can go, write down what it has, move it, give it back its addresses, bring it up.  Should anything
fail after that, it comes back as it was.  After create it is the namespace's: with it a virtual interface is
destroyed, and a physical one returns to the first network namespace (network_namespaces(7)).
"""

from __future__ import annotations

import posix
from errno import EEXIST

from minirun.linux.rtnetlink import Link, Route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.engine.execute import Site


class NetworkNamespace:
    """One, held by a descriptor for as long as we may have to undo; and a socket in it."""

    fd = -1

    def __init__(self, path: str) -> None:
        self.fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        self.route = Route(self.fd)

    def __del__(self) -> None:
        if self.fd >= 0:
            posix.close(self.fd)


def move(site: Site, op: Any) -> None:
    """Raises OSError with the interface's name: ENODEV, EEXIST, EINVAL (it cannot leave), EOPNOTSUPP."""
    assert site.init is not None
    try:
        own = NetworkNamespace("/proc/thread-self/ns/net")
        theirs = NetworkNamespace(f"/proc/{site.init.pid}/ns/net")
        link = own.route.link(op.name)
        there = theirs.route.links()
        if any(other.name == op.new_name for other in there):
            raise OSError(EEXIST, f"the container's network namespace has an interface {op.new_name}")
        addresses = own.route.addresses(link.index)
        taken = {other.index for other in there}
        index = link.index if link.index not in taken else max(taken) + 1

        def undo() -> None:
            bring_back(own, theirs, link, index)
            for address in addresses:
                try:
                    own.route.add(link.index, address)
                except FileExistsError:  # the kernel's own, which came with the interface
                    continue

        site.undo.append(undo)
        own.route.move(link.index, theirs.fd, op.new_name, index)
        for address in addresses:
            if address.lasting:
                theirs.route.add(index, address)
        theirs.route.up(index)
    except OSError as error:
        raise OSError(error.errno, error.strerror, op.name) from error


def bring_back(own: NetworkNamespace, theirs: NetworkNamespace, link: Link, index: int) -> None:
    """Not if it never left."""
    if any(other.index == link.index and other.name == link.name for other in own.route.links()):
        return
    theirs.route.move(index, own.fd, link.name, link.index)
    if link.up:
        own.route.up(link.index)

"""Names: the marked part of a container's /etc/hosts, hosts(5).

The file is STORAGE/containers/ID/hosts, mounted in the container: it is rewritten in place, so that the container sees
it.  What stands outside the marks is left as it is.  The container may write to it, too: what comes from there is
never trusted to be small, or to have our marks.
"""

from __future__ import annotations

import posix
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minirun.network.leases import Lease, Ledger

BEGIN, END = "# minirun: begin", "# minirun: end"
FIRST = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
LARGEST = 1 << 20


def path_of(storage: str, container: str) -> str:
    return f"{storage}/containers/{container}/hosts"


def lines_for(container: str, leases: Sequence[Lease]) -> list[str]:
    """``leases`` of all the networks that the container is on, itself included."""
    found = []
    for lease in sorted(leases, key=lambda each: (each.container != container, each.name, each.network)):
        names = " ".join(dict.fromkeys(filter(None, (lease.container[:12], lease.name, *lease.aliases))))
        found += [f"{each.partition('/')[0]}\t{names}" for each in (lease.ip, lease.ip6) if each]
    return found


def rewrite(storage: str, container: str, lines: Sequence[str], *, make: bool = False) -> None:
    """``make``: begin the file if it is not there.  Without a directory of the container's there is nothing to do."""
    flags = posix.O_RDWR | posix.O_NOFOLLOW | posix.O_CLOEXEC | posix.O_NONBLOCK | (posix.O_CREAT if make else 0)
    try:
        fd = posix.open(path_of(storage, container), flags, 0o644)
    except OSError:
        return
    try:
        seen = posix.fstat(fd)
        if not stat.S_ISREG(seen.st_mode) or seen.st_size > LARGEST:
            return
        old = posix.pread(fd, LARGEST, 0).decode("utf-8", "surrogateescape") or FIRST
        new = replaced(old, lines).encode("utf-8", "surrogateescape")
        posix.pwrite(fd, new, 0)
        posix.ftruncate(fd, len(new))
    finally:
        posix.close(fd)


def replaced(old: str, lines: Sequence[str]) -> str:
    """The text with our part new; at the end, if it had none."""
    before, begin, rest = old.partition(BEGIN + "\n")
    _, end, after = rest.partition(END + "\n")
    if begin and not end:  # somebody cut it: what follows the first mark was ours
        after = ""
    if before and not before.endswith("\n"):
        before += "\n"
    body = "".join(f"{line}\n" for line in lines)
    return f"{before}{BEGIN}\n{body}{END}\n{after}"


def tell(storage: str, ledger: Ledger, container_id: str, network: str = "") -> None:
    """Everybody who shares a network with the container (or is on ``network``) learns of all names there."""
    by_network: dict[str, list[Lease]] = {}
    networks_of: dict[str, list[str]] = {}
    for lease in ledger.all():
        by_network.setdefault(lease.network, []).append(lease)
        networks_of.setdefault(lease.container, []).append(lease.network)
    concerned = {network} if network else set(networks_of.get(container_id, ()))
    for other, theirs in networks_of.items():
        if concerned.intersection(theirs):
            seen = [lease for each in theirs for lease in by_network[each]]
            rewrite(storage, other, lines_for(other, seen), make=other == container_id)

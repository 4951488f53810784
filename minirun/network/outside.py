"""A network for an ordinary user's container: pasta(1) or slirp4netns(1), a process of his beside each container.

A bridge and its NAT need rights in the host's network namespace, which root of a user namespace does not have.  These
two carry packets between a tap device in the container's namespace and ordinary sockets of the host's; published
ports are sockets that they listen on.  Containers do not see each other.

    ROOT/.outside/ID.netns    the namespace, bind-mounted: both want a path (seen in our mount namespace only)
    ROOT/.outside/ID.json     which process it is

pasta ends when the path is gone, slirp4netns when its pipe is closed, as it is when the caller, the monitor, ends.
"""

from __future__ import annotations

import posix

from minirun.errors import MinirunError
from minirun.linux import mountfd, namespaces
from minirun.linux.mount import detach as unmount
from minirun.network.ports import Port
from minirun.network.wanted import CARRIERS, Attached, Interface, Wanted
from minirun.record import Record
from minirun.spec.decode import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

TUN = "/dev/net/tun"
PACKAGES = "install pasta (package passt) or slirp4netns, or run with --net none or --net host"
PLACES = "/usr/bin:/usr/local/bin:/bin"  # besides PATH
DEVICE = "eth0"
PATIENCE = 2000  # milliseconds that the kernel has to take a killed process apart
DIGITS = 16  # of the container's id: the path of a socket has 108 bytes (unix(7))


class Carrier(Record):
    """The process beside a container."""

    kind: str
    pid: int
    startTime: int


def has_bridges() -> bool:
    """Are we root in the user namespace that owns our network namespace?  Only there can bridges be made."""
    own = posix.open("/proc/self/ns/net", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        owner = namespaces.user_of(own)
    except OSError:  # EPERM: it is not below ours
        return False
    finally:
        posix.close(own)
    try:
        found, ours = posix.fstat(owner), posix.stat("/proc/self/ns/user")
    finally:
        posix.close(owner)
    return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)


def usual(env: Mapping[str, str], warn: Callable[[str], None], *, named: bool, machine: bool = False) -> str:
    """The network of a container in a user namespace that names none: bridge, one of CARRIERS, or none and a warning.

    ``named``: it names one, so there is nothing to warn of.  ``machine``: a micro-VM has a tap on a bridge or nothing.
    """
    if has_bridges():
        return "bridge"
    if machine:
        if not named:
            warn("the machine has no network: its tap on a bridge needs the host's root")
        return "none"
    kind = next((kind for kind in CARRIERS if program(kind, env)), "")
    if kind and posix.access(TUN, posix.R_OK | posix.W_OK):
        return kind
    if not named:
        why = f"{TUN} cannot be opened (modprobe tun; chmod 0666 {TUN})" if kind else PACKAGES
        warn(f"the container has no network: {why}")
    return "none"


def check(names: Sequence[str], *, machine: bool = False) -> None:
    """Can these be had, together, by us?  Raises MinirunError."""
    mine = [name for name in names if name in CARRIERS]
    if mine and machine:
        raise MinirunError(f"cannot attach a machine to the network {mine[0]}", reason="it has no network namespace")
    if not names or (not mine and has_bridges()):
        return
    if not mine:
        raise MinirunError(
            f"cannot attach to the network {names[0]}", reason="bridges and their rules need the host's root",
            hint="--net pasta, slirp4netns, host, none and container:ID are for everybody; docs/rootless.md",
        )  # fmt: skip
    if len(names) > 1:
        raise MinirunError(f"cannot attach to {names[0]} and {names[1]}", reason=f"{mine[0]} is a network by itself")


def program(kind: str, env: Mapping[str, str]) -> str:
    """Its absolute path, or ""."""
    places = f"{env.get('PATH', '')}:{PLACES}".split(":")
    return next(
        (f"{place}/{kind}" for place in places if place[:1] == "/" and posix.access(f"{place}/{kind}", posix.X_OK)), ""
    )


def attach(
    root: str, container_id: str, wanted: Wanted, netns: int, ports: Sequence[Port], env: Mapping[str, str]
) -> Attached:
    """Start it; returns when the interface is there.  All or nothing.  Raises MinirunError."""
    kind = wanted.name
    if wanted.ip or wanted.ip6 or wanted.mac:
        raise MinirunError(f"cannot choose an address in the network {kind}", reason="it gives its own")
    path = program(kind, env)
    if not path:
        raise MinirunError(f"cannot use the network {kind}", reason=f"there is no {kind} here", hint=PACKAGES)
    chosen = [with_host_port(port) for port in ports]
    base = base_of(root, container_id)
    pin(root, base, netns)
    try:
        if kind == "pasta":
            from minirun.network import pasta as carrier
        else:
            from minirun.network import slirp as carrier  # type: ignore[no-redef]
        pid, nameservers, kept = carrier.start(path, base, chosen)
        write(f"{base}.json", Carrier(kind=kind, pid=pid, startTime=started(pid)))
        given = interface(kind, netns)
        return Attached(interfaces=[given], ports=chosen, nameservers=nameservers, sockets=kept)
    except BaseException:
        detach(root, container_id)
        raise


def base_of(root: str, container_id: str) -> str:
    return f"{root}/.outside/{container_id[:DIGITS]}"


def pin(root: str, base: str, netns: int) -> None:
    try:
        posix.mkdir(f"{root}/.outside", 0o700)
    except FileExistsError:
        pass
    posix.close(posix.open(f"{base}.netns", posix.O_WRONLY | posix.O_CREAT | posix.O_CLOEXEC, 0o600))
    tree = mountfd.open_tree(netns, 0)
    try:
        mountfd.attach(tree, f"{base}.netns")
    finally:
        posix.close(tree)


def detach(root: str, container_id: str) -> None:
    """Its process ends; fine if there is none.  Works for a container whose monitor was killed, too."""
    base = base_of(root, container_id)
    try:
        unmount(f"{base}.netns")
    except OSError:  # EINVAL: another mount namespace's, or none
        pass
    discard(f"{base}.netns")
    carrier = read(f"{base}.json")
    if carrier:
        end(carrier)
    for suffix in ("pid", "sock", "log", "json"):
        discard(f"{base}.{suffix}")


def end(carrier: Carrier) -> None:
    """It has nothing to tidy up: KILL.  By pidfd, so that it is the process that we started."""
    from _signal import SIGKILL, pidfd_send_signal
    from select import POLLIN, poll

    try:
        pidfd = posix.pidfd_open(carrier.pid)
    except OSError:
        return
    try:
        if started(carrier.pid) == carrier.startTime:
            pidfd_send_signal(pidfd, SIGKILL)
            poller = poll()
            poller.register(pidfd, POLLIN)
            poller.poll(PATIENCE)
    except ProcessLookupError:
        pass
    finally:
        posix.close(pidfd)
    try:
        posix.waitpid(carrier.pid, posix.WNOHANG)  # slirp4netns is our child, and pasta an orphan that may be
    except ChildProcessError:
        pass


def leftovers(root: str) -> list[str]:
    """The beginnings of the ids of containers that have one: ``system prune`` compares with those that live."""
    try:
        names = posix.listdir(f"{root}/.outside")
    except FileNotFoundError:
        return []
    return sorted({name.partition(".")[0] for name in names})


# what it gave


def interface(kind: str, netns: int) -> Interface:
    """The first addresses of the device that it made."""
    from minirun.linux.rtnetlink import IFA_ADDRESS, Route

    route = Route(netns)
    found = {2: "", 10: ""}  # AF_INET, AF_INET6
    for address in route.addresses(route.link(DEVICE).index):
        if address.scope == 0 and not found.get(address.family):
            found[address.family] = f"{text_of(address.attributes[IFA_ADDRESS])}/{address.prefix}"
    return Interface(network=kind, name=DEVICE, mac="", ip=found[2], ip6=found[10])


def hosts(attached: Attached, *names: str) -> list[str]:
    """Lines of /etc/hosts for the container's own names."""
    own = [each.ip or each.ip6 for each in attached.interfaces]
    return [f"{address.partition('/')[0]}\t{' '.join(filter(None, names))}" for address in own if address]


def text_of(data: bytes) -> str:
    from _socket import inet_ntop

    return inet_ntop(2 if len(data) == 4 else 10, data)


def with_host_port(port: Port) -> Port:
    """With a port of the host's that is free now: theirs would only say that something failed."""
    from _socket import socket

    six = ":" in port.hostIp
    probe = socket(10 if six else 2, 1 if port.protocol == "tcp" else 2)
    try:
        probe.setsockopt(1, 2, 1)  # SOL_SOCKET, SO_REUSEADDR: connections that have ended do not count
        probe.bind((port.hostIp or ("::" if six else "0.0.0.0"), port.hostPort))
        number: int = probe.getsockname()[1]
    except OSError as error:
        low = isinstance(error, PermissionError)
        raise MinirunError(
            f"cannot publish port {port.hostPort}/{port.protocol} of the host", reason=error.strerror or str(error),
            hint="sysctl net.ipv4.ip_unprivileged_port_start says from where on ports are yours" if low else "",
        ) from error  # fmt: skip
    finally:
        probe.close()
    return Port(hostIp=port.hostIp, hostPort=number, port=port.port, protocol=port.protocol)


# files


def write(path: str, carrier: Carrier) -> None:
    fd = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC, 0o600)
    try:
        posix.write(fd, encode(dict(zip(carrier.FIELDS, carrier.astuple(), strict=True))).encode())
    finally:
        posix.close(fd)


def read(path: str) -> Carrier | None:
    from minirun.facts import read as content

    try:
        return Carrier(**decode(content(path).encode(), path))
    except (MinirunError, TypeError):
        return None


def discard(path: str) -> None:
    try:
        posix.unlink(path)
    except FileNotFoundError:
        pass


def started(pid: int) -> int:
    """Field 22 of /proc/PID/stat; 0 for a process that is gone."""
    from minirun.facts import read as content

    fields = content(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[19]) if len(fields) > 19 and fields[0] not in "ZX" else 0

"""What must be in place before a container starts: its three files, its volumes, its working directory, its user.

``first`` time only: the working directory is made and new volumes get what the image has in their places; a program
that has emptied a volume finds it empty at the next start.  All of the container's own paths are opened below its
rootfs (openat2(2), RESOLVE_IN_ROOT): what the image, or the container in an earlier life, has put there is not trusted.
"""

from __future__ import annotations

import fcntl
import posix

from minirun.container import users
from minirun.container.filesystems import SHM
from minirun.errors import MinirunError
from minirun.linux.openat2 import O_PATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.container.bundle import Site
    from minirun.container.record import Container
    from minirun.container.users import User

DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC
PREPARED = "prepared"  # a file in the container's directory: done once
MS_PRIVATE = 1 << 18
GATEWAY = "host-gateway"
OURS = "# host-gateway"
HOSTS = """127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def prepare(container: Container, site: Site) -> User:
    """Idempotent."""
    files(container, site)
    if container.asked["ipc"][0] == "shareable":
        mount_shm(f"{site.directory}/{SHM}", container.asked["shmSize"])
    sources(container, site)
    root = posix.open(site.rootfs, O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        user = users.resolve(
            root, container.asked["user"] or container.imageConfig.get("User") or "", groups(container)
        )
        if not posix.access(f"{site.directory}/{PREPARED}", posix.F_OK):
            from minirun.container.bundle import workdir

            make_below(root, workdir(container), user, shift_of(container))
            fill_volumes(container, site, root)
            write(f"{site.directory}/{PREPARED}", "")
        return user
    finally:
        posix.close(root)


def shift_of(container: Container) -> int:
    """What ids are in its file system seen from here, where it is id-mapped, above what they are inside and on disk."""
    from minirun.container.bundle import mappings

    return next((one["hostID"] - one["containerID"] for one in mappings(container)), 0)


def groups(container: Container) -> list[str]:
    found: list[str] = container.asked["groups"]
    return found


def files(container: Container, site: Site) -> None:
    """/etc/hosts, hostname, resolv.conf, in the container's directory; who shares a network has the other's."""
    from minirun.container.bundle import hostname

    if container.network.startswith("container:"):
        return
    if site.hosts or not posix.access(f"{site.directory}/hosts", posix.F_OK):
        write(f"{site.directory}/hosts", hosts(container, site.hosts))
    if any(address == GATEWAY for _, address in container.asked["addHosts"]):
        name_the_host(container, site)
    write(f"{site.directory}/hostname", hostname(container) + "\n")
    write(f"{site.directory}/resolv.conf", resolver(container, site.resolv))


def hosts(container: Container, own: list[str]) -> str:
    """Made at create; the network room keeps lines of its own in it, between marks.  ``own``: lines of nobody else's.

    A container on the host's network has the host's.
    """
    from minirun.network.resolver import read

    asked = container.asked
    text = read("/etc/hosts") if container.network == "host" else HOSTS
    if text and not text.endswith("\n"):
        text += "\n"
    text += "".join(f"{line}\n" for line in own)
    return text + "".join(f"{address}\t{name}\n" for name, address in asked["addHosts"] if address != GATEWAY)


def name_the_host(container: Container, site: Site) -> None:
    """--add-host NAME:host-gateway: known now, and perhaps another at the next start."""
    from minirun.network.leases import Ledger
    from minirun.network.resolver import read

    names = [name for name, address in container.asked["addHosts"] if address == GATEWAY]
    address = site.gateway or "127.0.0.1"
    with Ledger(site.root):  # the lock under which the network room rewrites its part
        lines = [line for line in read(f"{site.directory}/hosts").splitlines() if not line.endswith(OURS)]
        lines += [f"{address}\t{name} {OURS}" for name in names]
        write(f"{site.directory}/hosts", "".join(f"{line}\n" for line in lines))


def resolver(container: Container, servers: list[str]) -> str:
    from minirun.network.resolver import host_resolv_conf, read, resolv_conf

    asked = container.asked
    own = container.network != "host"
    return resolv_conf(
        host_resolv_conf() if own else read("/etc/resolv.conf"),
        own=own, dns=asked["dns"] or servers, search=asked["dnsSearch"], options=asked["dnsOptions"],
    )  # fmt: skip


def mount_shm(place: str, size: int) -> None:
    """Where another container can have it from; ``stage.unmount`` takes it away."""
    from minirun.images.snapshot import detach
    from minirun.linux import mountfd

    make_directories(place)
    detach(place)  # of an earlier life
    tree = mountfd.new("tmpfs", "shm", ["mode=1777", f"size={size}"])
    try:
        mountfd.set_attributes(tree, flags=0, propagation=MS_PRIVATE)
        mountfd.attach(tree, place)
    finally:
        posix.close(tree)


def write(path: str, text: str) -> None:
    """In place: the file may be mounted in a running container."""
    fd = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_CLOEXEC | posix.O_NOFOLLOW, 0o644)
    try:
        posix.fchmod(fd, 0o644)
        data = text.encode()
        posix.ftruncate(fd, posix.write(fd, data) if data else 0)
    finally:
        posix.close(fd)


def sources(container: Container, site: Site) -> None:
    """Of binds: -v makes a missing directory, --mount does not.  Of volumes: they must still be there."""
    for entry in container.asked["mounts"]:
        if entry["kind"] == "bind":
            if entry["create"]:
                make_directories(entry["source"])
            elif not posix.access(entry["source"], posix.F_OK):
                raise MinirunError(
                    f"cannot mount {entry['source']} on {entry['target']}", reason="no such file or directory",
                    hint="-v makes a missing directory, --mount does not",
                )  # fmt: skip
        elif entry["kind"] == "volume":
            from minirun.container.volumes import Volumes

            Volumes(site.storage).ensure(entry["source"])


def make_directories(path: str) -> None:
    """As mkdir -p."""
    if posix.access(path, posix.F_OK):
        return
    parts = path.split("/")
    for count in range(2, len(parts) + 1):
        try:
            posix.mkdir("/".join(parts[:count]), 0o755)
        except FileExistsError:
            continue
        except OSError as error:
            if posix.access("/".join(parts[:count]), posix.F_OK):  # a read-only file system, say
                continue
            raise MinirunError(f"cannot make the directory {path}", reason=error.strerror or "") from error


def make_below(root: int, path: str, user: User, shift: int) -> None:
    """The working directory, made for the user where it is missing; links on the way lead where they do in there."""
    done = ""
    for name in [part for part in path.split("/") if part]:
        done += f"{name}/"
        try:
            posix.close(below(root, done.encode()))
            continue
        except FileNotFoundError:
            pass
        except OSError as error:
            raise MinirunError(f"cannot make the working directory {path}", reason=error.strerror or "") from error
        parent = below(root, done[: -len(name) - 1].encode() or b".")
        try:
            posix.mkdir(name, 0o755, dir_fd=parent)
            owner = (user.uid + shift, user.gid + shift)
            posix.chown(name, *owner, dir_fd=parent, follow_symlinks=False)
        except OSError as error:
            raise MinirunError(f"cannot make the working directory {path}", reason=error.strerror or "") from error
        finally:
            posix.close(parent)


def below(root: int, path: bytes) -> int:
    return openat2(root, path, DIRECTORY, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)


def fill_volumes(container: Container, site: Site, root: int) -> None:
    """What the image has where a volume goes is copied into it, if it is empty (docker's rule)."""
    for entry in container.asked["mounts"]:
        if entry["kind"] != "volume" or not entry["copy"] or entry["subpath"]:
            continue
        try:
            source = below(root, entry["target"].strip("/").encode())
        except OSError:  # nothing there, or no directory
            continue
        into = posix.open(f"{site.storage}/volumes/{entry['source']}/_data", DIRECTORY)
        try:
            fcntl.flock(into, fcntl.LOCK_EX)  # another container may have it for the first time, too
            if not posix.listdir(into):
                from minirun.container.copy_up import copy_directory

                copy_directory(source, into, shift_of(container))
        finally:
            posix.close(into)
            posix.close(source)

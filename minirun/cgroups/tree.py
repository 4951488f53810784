"""A cgroup's directory and its life (cgroups(7), Documentation/admin-guide/cgroup-v2.rst).

Everything here takes paths below the cgroup2 mount.
"""

from __future__ import annotations

import posix
import select
import time
from errno import EBUSY, ENODEV, ENOENT, EOPNOTSUPP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

GONE = (ENOENT, ENODEV)  # ENODEV: removed between open and write
DELEGATE = "/sys/kernel/cgroup/delegate"
TRUSTED, CLAIM = "trusted.minirun", "user.minirun"
RACES = 20  # another runtime may remove the empty parent between our two mkdirs


def make(root: str, path: str, controllers: Iterable[str], others: Iterable[str] = ()) -> list[str]:
    """mkdir -p; enable ``controllers`` in every directory above the last.  Returns what was made, topmost first.

    ``others`` are enabled as far down as that is possible.
    Raises OSError: EACCES, EROFS; EBUSY at a cgroup.subtree_control ("no internal processes": the directory has
    processes of its own); EOPNOTSUPP there, or when the cgroup is of a type that takes no processes (threads).
    What was made until then is gone again.
    """
    made: list[str] = []
    for attempt in range(RACES):
        try:
            make_once(root, path, tuple(controllers), tuple(others), made)
            usable(root + path)
            return made
        except OSError as error:
            for directory in reversed(made):
                rmdir(directory, 0)
            made.clear()
            if error.errno not in GONE or attempt == RACES - 1:
                raise
    return made


def make_once(root: str, path: str, controllers: tuple[str, ...], others: tuple[str, ...], made: list[str]) -> None:
    at = ""
    for part in path.strip("/").split("/"):
        enable(root + at, controllers, others)
        at += "/" + part
        try:
            posix.mkdir(root + at, 0o755)
            made.append(root + at)
        except FileExistsError:
            continue


def usable(directory: str) -> None:
    """A process born there must be able to run: neither frozen with a parent, nor below a threaded one (cgroups(7))."""
    kind = read(directory + "/cgroup.type").strip()
    if kind not in ("domain", "domain threaded"):
        raise OSError(EOPNOTSUPP, f"its type is {kind!r}: a directory above it is threaded", directory)
    if "frozen 1" in read(directory + "/cgroup.events"):
        raise OSError(
            EBUSY, "it is frozen, or a directory above it: whatever starts there would stop at once", directory
        )


def give(directory: str, uid: int) -> None:
    """Delegation: the directory and the files that the kernel lists become ``uid``'s; limits stay root's.

    cgroups(7), Cgroups delegation; config-linux.md, Cgroup ownership: the list of an old kernel, files that are not
    there.
    """
    try:
        names = read(DELEGATE).split()
    except OSError:
        names = ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"]
    posix.chown(directory, uid, -1)
    for name in names:
        try:
            posix.chown(f"{directory}/{name}", uid, -1)
        except FileNotFoundError:
            continue


def claim(directory: str, owner: str, *, replace: bool = False) -> None:
    """Write down whose the cgroup is, in an extended attribute.

    Two containers may be given the same path: without this, removing one would kill the other.  "trusted." ones only
    the host's root can write or see, not the root of a container that may write its cgroup; an ordinary user has
    "user." ones (on cgroup2 since Linux 5.7).  Raises FileExistsError if somebody's name is there, unless ``replace``.
    """
    flags = 0 if replace else posix.XATTR_CREATE
    value = owner.encode("utf-8", "surrogateescape")
    try:
        posix.setxattr(directory, TRUSTED, value, flags)
    except PermissionError:
        posix.setxattr(directory, CLAIM, value, flags)


def owner(directory: str) -> str:
    """Who claimed the cgroup; "" if nobody did, or it is gone."""
    for name in (TRUSTED, CLAIM):
        try:
            return posix.getxattr(directory, name).decode("utf-8", "surrogateescape")
        except OSError:
            continue
    return ""


def enable(directory: str, controllers: Iterable[str], others: Iterable[str] = ()) -> None:
    """+controller in cgroup.subtree_control, unless it is there; of ``others``, those that the kernel lets us."""
    file = directory + "/cgroup.subtree_control"
    enabled = read(file).split()
    for controller in controllers:
        if controller not in enabled:
            write(file, "+" + controller)
    for controller in others:
        if controller not in enabled:
            try:
                write(file, "+" + controller)
            except OSError:  # not handed down to here, not ours, or there are processes
                continue


def write(path: str, value: str) -> None:
    """One write(2), as the kernel's files want it; OSError carries the path."""
    fd = posix.open(path, posix.O_WRONLY | posix.O_CLOEXEC)
    try:
        posix.write(fd, value.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        posix.close(fd)


def read(path: str) -> str:
    """A file's text; OSError if it is not there."""
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        parts = []
        while chunk := posix.read(fd, 65536):
            parts.append(chunk)
    finally:
        posix.close(fd)
    return b"".join(parts).decode("utf-8", "replace")


def exists(directory: str) -> bool:
    return posix.access(directory, posix.F_OK)


def populated(directory: str) -> bool:
    """Has any process, here or below (cgroup.events)."""
    try:
        return "populated 1" in read(directory + "/cgroup.events")
    except OSError:
        return False


def processes(directory: str) -> list[int]:
    """Every process here and below, sorted."""
    found: set[int] = set()
    for inner in subtree(directory):
        try:
            found |= {int(line) for line in read(inner + "/cgroup.procs").split()}
        except OSError as error:  # removed meanwhile, or threaded: then only cgroup.threads can be read
            if error.errno == EOPNOTSUPP:
                found |= processes_of(inner)
    return sorted(found)


def processes_of(directory: str) -> set[int]:
    """The processes of a threaded cgroup's threads (proc(5), Tgid)."""
    found = set()
    try:
        threads = read(directory + "/cgroup.threads").split()
    except OSError:
        return set()
    for thread in threads:
        try:
            lines = read(f"/proc/{thread}/status").splitlines()
        except OSError:  # ended meanwhile
            continue
        found |= {int(line.split()[1]) for line in lines if line.startswith("Tgid:")}
    return found


def subtree(directory: str) -> list[str]:
    """The directory and all below it, parents first."""
    found = [directory]
    for inner in found:
        try:
            with posix.scandir(inner) as entries:
                found += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue
    return found


def kill(directory: str) -> None:
    """SIGKILL to all, at once and without a race (cgroup.kill, Linux 5.14). Gone already is fine."""
    try:
        write(directory + "/cgroup.kill", "1")
    except OSError as error:
        if error.errno not in GONE:
            raise


def freeze(directory: str, frozen: bool, seconds: float = 30) -> bool:
    """Write cgroup.freeze and wait until cgroup.events agrees; False when it does not in time."""
    write(directory + "/cgroup.freeze", "1" if frozen else "0")
    return wait_event(directory, "frozen 1" if frozen else "frozen 0", seconds)


def is_frozen(directory: str) -> bool:
    try:
        return read(directory + "/cgroup.freeze").strip() == "1"
    except OSError:
        return False


def wait_event(directory: str, line: str, seconds: float) -> bool:
    """Until cgroup.events has ``line``: the kernel wakes its pollers (POLLPRI) on every change."""
    try:
        fd = posix.open(directory + "/cgroup.events", posix.O_RDONLY | posix.O_CLOEXEC)
    except FileNotFoundError:
        return True
    end = time.monotonic() + seconds
    poller = select.poll()
    poller.register(fd, select.POLLPRI)
    try:
        while True:
            posix.lseek(fd, 0, 0)
            if line in posix.read(fd, 4096).decode():
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            poller.poll(left * 1000)
    except OSError:  # ENODEV: the cgroup is gone
        return True
    finally:
        posix.close(fd)


def remove(root: str, path: str, first: str, seconds: float = 10) -> None:
    """Kill what is left, rmdir the tree below ``path``, then upwards to ``first``, while it is empty.

    Raises OSError EBUSY if processes stay (in D state, say).
    """
    directory = root + path
    if exists(directory):
        if populated(directory):
            kill(directory)
            wait_event(directory, "populated 0", seconds)
        for inner in reversed(subtree(directory)):
            rmdir(inner, seconds)
    at = path
    while first and at != first and len(at) > len(first):
        at = at.rpartition("/")[0]
        try:
            posix.rmdir(root + at)
        except OSError:  # another container's, by now
            return


def rmdir(directory: str, seconds: float) -> None:
    """rmdir(2); the last dying process can make the kernel say EBUSY for a moment after populated is 0."""
    end = time.monotonic() + seconds
    while True:
        try:
            posix.rmdir(directory)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != EBUSY or time.monotonic() > end:
                raise
            time.sleep(0.002)

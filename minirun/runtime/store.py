"""What minirun knows of its containers: one directory each, below /run/minirun.

    ID/creating.json what create is about to make: enough to remove it, should create be killed
    ID/state.json    pid and its start time, bundle, cgroup ...: there once create is complete
    ID/config.json   the configuration as it was at create: later edits must have no effect (runtime.md)
    ID/gate          the socket that ``start`` connects to; gone once the container was started
    ID/control       of a machine: the socket that ``exec`` and its like connect to

mkdir(2) of ID reserves it; an flock(2) on that directory is held by whoever changes the container.  Nothing says
"running" in a file: status is derived from the process itself, so a crash cannot leave a lie behind.
"""

from __future__ import annotations

import fcntl
import posix
from errno import ENOENT, ENOTDIR, EWOULDBLOCK

from minirun.errors import MinirunError
from minirun.record import Record
from minirun.runtime.root import another_root
from minirun.spec.decode import decode, encode, without_nulls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ID_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-")
ID_REST = ID_FIRST | {"."}
ID_LONGEST = 1024 // 8  # leaves room for a cgroup's and a file's name (255)
OCI_VERSION = "1.3.0"


class State(Record):
    """One container, as state.json has it; member names are the document's."""

    id: str
    bundle: str
    created: str  # RFC 3339, UTC
    owner: int
    rootfs: str
    annotations: dict[str, str]
    cgroup: str  # below the cgroup2 mount; "" for none
    cgroupRoot: str
    cgroupMade: str = ""  # the topmost directory that goes with the last container in it
    unit: str = ""  # with --systemd-cgroup: the unit whose cgroup it is
    bus: str = ""  # and the bus of the manager that has it
    claim: str = ""  # what the cgroup's owner is called (cgroups/tree.py)
    pid: int = 0
    startTime: int = 0  # field 22 of /proc/PID/stat: with the pid it names one process for ever
    config: str = ""  # the file that create read, for messages
    newKeyring: bool = True
    resctrl: list[str] = []  # groups of the processor's resource control that go with it
    cgroupDriver: str = "cgroupfs"
    isolation: str = "container"  # or vm: then pid is the VMM's
    machine: list[str] = []  # and these words say which (plan/hardware.py)
    mountId: int = 0  # without a mount namespace: what lay on the rootfs before (runtime/in_place.py)
    steps: int = 0  # of create's plan: init speaks of them by number
    complete: bool = False  # create got to its end

    def to_json(self) -> bytes:
        return encode(dict(zip(self.FIELDS, self.astuple(), strict=True))).encode()


def check_id(container_id: str) -> str:
    """The rule that runc and crun share; a name becomes a directory and a cgroup, so it must not be able to climb."""
    if (
        not container_id
        or container_id[0] not in ID_FIRST
        or any(c not in ID_REST for c in container_id)
        or ".." in container_id
    ):
        raise MinirunError(
            f"invalid container id {container_id[:64]!r}",
            reason="letters, digits, _ + - and . (not first, not twice) only",
        )
    if len(container_id) > ID_LONGEST:
        raise MinirunError("invalid container id", reason=f"longer than {ID_LONGEST} characters")
    return container_id


class Store:
    """The directory of all containers."""

    def __init__(self, root: str) -> None:
        self.root = root

    def prepare(self) -> None:
        """Make the root, for its owner only; with the sticky bit, so that nobody tidies it away ($XDG_RUNTIME_DIR)."""
        parts = self.root.rstrip("/").split("/")
        for count in range(2, len(parts) + 1):
            try:
                posix.mkdir("/".join(parts[:count]), 0o700 if count < len(parts) else 0o1700)
            except FileExistsError:
                continue
            except OSError as error:
                raise unusable(self.root, error) from error

    def guard(self) -> bool:
        """Is the root there?  Who can write to it decides what we run: somebody else's (in /tmp, say) is refused."""
        try:
            found = posix.lstat(self.root)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise unusable(self.root, error) from error
        if found.st_uid != posix.geteuid() or found.st_mode & 0o022:
            reason = f"{self.root} is not ours alone"
            raise MinirunError("cannot use the state directory", reason=reason, hint=another_root())
        return True

    def reserve(self, container_id: str) -> Entry:
        """A new container's directory, locked."""
        check_id(container_id)
        path = f"{self.root}/{container_id}"
        self.guard()
        try:
            posix.mkdir(path, 0o700)
        except FileNotFoundError:
            self.prepare()
            return self.reserve(container_id)
        except FileExistsError as error:
            raise MinirunError(
                f"container {container_id} exists already",
                hint=f"minirun delete {container_id} removes it once it is stopped",
            ) from error
        except OSError as error:
            raise unusable(self.root, error) from error
        try:
            entry = Entry(path, container_id)
        except FileNotFoundError:
            return self.reserve(container_id)  # a delete --force was quicker than we
        if not entry.lock() or posix.listdir(entry.fd):  # deleted, and perhaps made again by another create
            entry.close()
            return self.reserve(container_id)
        return entry

    def open(self, container_id: str, *, lock: bool = False) -> Entry:
        """An existing container's directory.  Raises MinirunError if there is none."""
        check_id(container_id)
        path = f"{self.root}/{container_id}"
        self.guard()
        while True:
            try:
                entry = Entry(path, container_id)
            except OSError as error:
                if error.errno not in (ENOENT, ENOTDIR):
                    raise unusable(path, error) from error
                raise missing(container_id) from error
            if not lock or entry.lock():
                return entry
            entry.close()  # deleted while we waited; perhaps there is another one by now

    def ids(self) -> list[str]:
        self.guard()
        try:
            names = posix.listdir(self.root)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise unusable(self.root, error) from error
        return sorted(name for name in names if name[0] in ID_FIRST)


def missing(container_id: str) -> MinirunError:
    # "does not exist" is what containerd and podman look for in a runtime's message.
    return MinirunError(f"container {container_id} does not exist", errno_name="ENOENT")


def unusable(path: str, error: OSError) -> MinirunError:
    return MinirunError("cannot use the state directory", reason=f"{path}: {error.strerror}", hint=another_root())


class Entry:
    """One container's directory, held open; everything in it is reached from the descriptor."""

    def __init__(self, path: str, container_id: str) -> None:
        self.path = path
        self.id = container_id
        self.fd = posix.open(path, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC | posix.O_NOFOLLOW)

    def close(self) -> None:
        if self.fd >= 0:
            posix.close(self.fd)
            self.fd = -1

    def lock(self) -> bool:
        """Wait for the lock; False if the directory was removed meanwhile."""
        fcntl.flock(self.fd, fcntl.LOCK_EX)
        try:
            now = posix.stat(self.path)
        except FileNotFoundError:
            return False
        return now.st_ino == posix.fstat(self.fd).st_ino

    def busy(self) -> bool:
        """Does somebody else hold the lock?"""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno == EWOULDBLOCK
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        return False

    def gate(self) -> str:
        """The gate's address; through the descriptor, because sockets allow 108 bytes only (unix(7))."""
        return f"/proc/self/fd/{self.fd}/gate"

    def control(self) -> str:
        """The machine's; as the gate."""
        return f"/proc/self/fd/{self.fd}/control"

    def has_gate(self) -> bool:
        return posix.access(self.gate(), posix.F_OK)

    def waits_at_gate(self) -> bool:
        """Does init listen?  A start that was killed leaves the socket's file behind; only a connection can tell."""
        from minirun.linux import unix

        try:
            posix.close(unix.connect(self.gate()))
        except OSError:
            return False
        return True

    def write(self, name: str, data: bytes) -> None:
        flags = posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC
        fd = posix.open(name, flags, 0o600, dir_fd=self.fd)
        try:
            while data:
                data = data[posix.write(fd, data) :]
        finally:
            posix.close(fd)

    def read(self, name: str) -> bytes:
        fd = posix.open(name, posix.O_RDONLY | posix.O_CLOEXEC, dir_fd=self.fd)
        try:
            parts = []
            while part := posix.read(fd, 65536):
                parts.append(part)
            return b"".join(parts)
        finally:
            posix.close(fd)

    def begin(self, state: State, config: bytes) -> None:
        """The first traces of a container: its configuration as it is now, and what create is about to make."""
        self.write("config.json", config)
        self.write("creating.json", state.to_json())

    def save(self, state: State) -> None:
        """All or nothing: a reader sees creating.json, or the whole of state.json."""
        self.write(".state.json", state.to_json())
        posix.rename(".state.json", "state.json", src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def load(self) -> State:
        """The state; a directory without one is a create that was killed at its very beginning."""
        for name in ("state.json", "creating.json"):
            try:
                data = self.read(name)
            except FileNotFoundError:
                continue
            try:
                return State(**decode(data, f"{self.path}/{name}"))
            except (MinirunError, TypeError):  # state.json: a damaged disk; creating.json says what there is to remove
                continue  # creating.json: killed while it wrote, so before it made anything
        return State(
            id=self.id, bundle="", created="", owner=posix.fstat(self.fd).st_uid, rootfs="", annotations={},
            cgroup="", cgroupRoot="",
        )  # fmt: skip

    def config(self) -> Any:
        """The configuration that create saved."""
        try:
            return without_nulls(decode(self.read("config.json"), f"{self.path}/config.json"))
        except FileNotFoundError as error:  # deleted since we opened it
            raise missing(self.id) from error

    def remove(self) -> None:
        """The files, then the directory; what is gone already is fine."""
        # What names the cgroup goes last: whoever is killed in between leaves what another delete can finish.
        for name in sorted(posix.listdir(self.fd), key=("state.json", "creating.json").__contains__):
            try:
                posix.unlink(name, dir_fd=self.fd)
            except FileNotFoundError:
                continue
            except IsADirectoryError:
                from minirun.runtime.sd_notify import remove

                remove(self.fd, name)  # of sd_notify(3), or of an events that was killed (runtime/machine.py)
        try:
            posix.rmdir(self.path)
        except FileNotFoundError:
            pass
        self.close()

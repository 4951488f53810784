"""Who has which address: ROOT/.networks, which does not outlive a reboot.

    .lock                  flock(2), held by whoever changes anything here
    NETWORK/device         the network as it is up: its bridge, its subnets; written before the bridge is made
    NETWORK/ADDRESS        a lease, made with O_EXCL: no address is given twice, whatever else goes wrong

A lease names its owner (the container's monitor) by pid, start time and boot, so that one left by a crash is seen for
what it is.  It is taken back once its owner is gone *and* its interface on the host is: as long as the interface is
there, somebody is still in the network namespace at its other end.
"""

from __future__ import annotations

import fcntl
import posix
from errno import ENOENT

from minirun.errors import MinirunError
from minirun.record import Record
from minirun.spec.decode import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FOLDER = ".networks"
LOCK, DEVICE = ".lock", "device"
VETH, TAP, CNI = "veth", "tap", "cni"


class Lease(Record):
    """One container on one network; member names are the document's."""

    key: str  # the file's name: the address; of CNI: the container's id
    network: str
    container: str
    name: str = ""
    aliases: list[str] = []
    kind: str = VETH
    link: str = ""  # the interface on the host
    inner: str = ""  # and in the container
    mac: str = ""
    ip: str = ""
    ip6: str = ""
    ports: list[dict[str, Any]] = []  # published on this network
    owner: int = 0
    ownerStart: int = 0
    boot: str = ""
    cni: dict[str, Any] = {}  # the configuration it was attached with, its result: for DEL

    def to_json(self) -> bytes:
        return encode(dict(zip(self.FIELDS, self.astuple(), strict=True))).encode()

    def owned(self) -> bool:
        """Is the process that made it still there?"""
        return bool(self.owner) and self.boot == boot_id() and start_time(self.owner) == self.ownerStart


class Ledger:
    """ROOT/.networks, locked until ``close`` (a context manager)."""

    def __init__(self, root: str) -> None:
        self.path = f"{root}/{FOLDER}"
        parts = self.path.split("/")
        for count in range(2, len(parts) + 1):
            make("/".join(parts[:count]), 0o1700 if count == len(parts) - 1 else 0o700)
        found = posix.lstat(root)
        if found.st_uid != posix.geteuid() or found.st_mode & 0o022:  # who can write there decides what we remove
            raise MinirunError("cannot keep networks", reason=f"{root} is not ours alone", hint="another --root")
        self.fd = posix.open(f"{self.path}/{LOCK}", posix.O_RDWR | posix.O_CREAT | posix.O_CLOEXEC, 0o600)
        fcntl.flock(self.fd, fcntl.LOCK_EX)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        posix.close(self.fd)

    def networks(self) -> list[str]:
        """Those that have leases, or a device."""
        return sorted(name for name in posix.listdir(self.path) if not name.startswith("."))

    def leases(self, network: str) -> list[Lease]:
        found = []
        for key in sorted(names_in(f"{self.path}/{network}")):
            if key != DEVICE:
                data = read(f"{self.path}/{network}/{key}")
                try:
                    document = decode(data, key)
                    found.append(Lease(**{**document, "key": key, "network": network}))
                except (MinirunError, TypeError):  # cut short by a crash: nobody's
                    found.append(Lease(key=key, network=network, container=""))
        return found

    def all(self) -> list[Lease]:
        return [lease for network in self.networks() for lease in self.leases(network)]

    def add(self, lease: Lease) -> bool:
        """False if the address is taken."""
        make(f"{self.path}/{lease.network}")
        try:
            flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC
            fd = posix.open(f"{self.path}/{lease.network}/{lease.key}", flags, 0o600)
        except FileExistsError:
            return False
        posix.write(fd, lease.to_json())
        posix.close(fd)
        return True

    def change(self, lease: Lease) -> None:
        replace(f"{self.path}/{lease.network}", lease.key, lease.to_json())

    def drop(self, lease: Lease) -> None:
        remove(f"{self.path}/{lease.network}/{lease.key}")

    def device(self, network: str) -> dict[str, Any]:
        """{} if it is not up."""
        data = read(f"{self.path}/{network}/{DEVICE}")
        try:
            found = decode(data, DEVICE) if data else {}
        except MinirunError:
            return {}
        return found if isinstance(found, dict) else {}

    def set_device(self, network: str, document: dict[str, Any]) -> None:
        make(f"{self.path}/{network}")
        replace(f"{self.path}/{network}", DEVICE, encode(document).encode())

    def left(self, network: str) -> None:
        """Somebody has left it now."""
        try:
            posix.utime(f"{self.path}/{network}/{DEVICE}")
        except FileNotFoundError:
            pass

    def idle(self, network: str) -> float:
        """Seconds since; without a device, for ever."""
        import time

        try:
            return time.time() - posix.stat(f"{self.path}/{network}/{DEVICE}").st_mtime
        except FileNotFoundError:
            return float("inf")

    def forget(self, network: str) -> None:
        """The device's file, and the directory with it unless there are leases."""
        remove(f"{self.path}/{network}/{DEVICE}")
        try:
            posix.rmdir(f"{self.path}/{network}")
        except OSError:
            pass


def make(path: str, mode: int = 0o700) -> None:
    try:
        posix.mkdir(path, mode)
    except FileExistsError:
        pass


def names_in(path: str) -> list[str]:
    try:
        return [name for name in posix.listdir(path) if not name.startswith(".")]
    except FileNotFoundError:
        return []


def read(path: str) -> bytes:
    """b"" if it is not there."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError as error:
        if error.errno != ENOENT:
            raise
        return b""
    try:
        parts = []
        while part := posix.read(fd, 1 << 16):
            parts.append(part)
        return b"".join(parts)
    finally:
        posix.close(fd)


def replace(folder: str, name: str, data: bytes) -> None:
    """Whole or not at all: written beside it, then renamed."""
    temporary = f"{folder}/.{name}"
    fd = posix.open(temporary, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC, 0o600)
    try:
        while data:
            data = data[posix.write(fd, data) :]
    finally:
        posix.close(fd)
    posix.rename(temporary, f"{folder}/{name}")


def remove(path: str) -> None:
    try:
        posix.unlink(path)
    except FileNotFoundError:
        pass


def boot_id() -> str:
    return read("/proc/sys/kernel/random/boot_id").decode().strip()


def start_time(pid: int) -> int:
    """Field 22 of /proc/PID/stat (the name before it may hold anything); 0 if there is no such process."""
    try:
        data = read(f"/proc/{pid}/stat")
    except OSError:
        return 0
    fields = data.rpartition(b")")[2].split()
    return int(fields[19]) if len(fields) > 19 and fields[0] not in (b"Z", b"X") else 0

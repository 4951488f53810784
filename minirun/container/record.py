"""What is known of a container: ``Container``, what was asked when it was created, and ``Status``, how it fares.

Both are JSON documents in the container's directory, member for member.  ``record.json`` is written once, and again
only by rename and update; ``status.json`` by whoever holds the container's lock: the monitor while there is one.
Neither says anything that the kernel could deny: ``life.truth`` looks at the processes before it believes "running".
"""

from __future__ import annotations

import time

from minirun.record import Record
from minirun.spec.decode import encode
from minirun.spec.members import damaged, fits, members, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CREATED, RUNNING, PAUSED, RESTARTING, EXITED = "created", "running", "paused", "restarting", "exited"
SHORT = 12  # of an id's 64 digits, for people and as the hostname


class Container(Record):
    """What ``create`` was asked for; members are the document's."""

    id: str  # 64 hex digits
    name: str
    created: str  # RFC 3339 in UTC, nanoseconds
    # the image, as it was then: nothing below needs it again
    image: str = ""  # as people call it: busybox:latest
    imageId: str = ""  # the digest of its configuration
    imageConfig: dict[str, Any] = {}  # its member "config": Env, Cmd, Entrypoint, User ...
    manifest: str = ""  # the manifest's digest, kept from gc while the container is there
    layers: list[str] = []  # chain ids (sha256:<hex>), topmost first: STORAGE/layers/<hex>/fs
    # what runs
    command: list[str] = []  # entrypoint and words, for ps
    isolation: str = ""  # container or vm; "" leaves it to config.json
    cgroupDriver: str = "cgroupfs"
    rootless: str = "auto"
    # its ends
    tty: bool = False
    stdin: bool = False  # -i: standard input is kept open
    remove: bool = False  # --rm
    restart: str = "no"  # no, on-failure, always, unless-stopped
    retries: int = 0  # of on-failure:N; 0 is without end
    stopSignal: str = ""  # "" is TERM
    stopTimeout: int = 10  # seconds; -1 waits for ever
    logDriver: str = "json-file"
    logOptions: dict[str, str] = {}
    pidFile: str = ""
    # where it lies
    ephemeral: bool = False  # the writable layer on a tmpfs
    size: int = 0  # bytes the writable layer may take; 0: whatever there is
    hostname: str = ""
    labels: dict[str, str] = {}
    network: str = "networks"  # none, host, container:ID, or networks: those listed
    networks: list[dict[str, Any]] = []  # {"name", "ip", "ip6", "mac", "aliases"}
    ports: list[dict[str, Any]] = []  # {"hostIp", "hostPort", "port", "protocol"}
    volumes: list[str] = []  # names of volumes it uses
    anonymous: list[str] = []  # those of them that go with it (rm -v, --rm)
    asked: dict[str, Any] = {}  # everything else of the command line: container/bundle.py's business

    def to_json(self) -> bytes:
        return encode(dict(zip(self.FIELDS, self.astuple(), strict=True))).encode()

    @property
    def short(self) -> str:
        return self.id[:SHORT]


class Status(Record):
    """How a container fares.  A process is named by pid, start time and the boot it belongs to."""

    status: str = CREATED
    pid: int = 0
    startTime: int = 0  # field 22 of /proc/PID/stat
    monitor: int = 0  # its monitor's pid and start time
    monitorStart: int = 0
    bootId: str = ""
    exitCode: int = 0
    startedAt: str = ""
    finishedAt: str = ""
    restarts: int = 0
    stopped: bool = False  # somebody asked for its end: no policy restarts it
    oom: bool = False
    error: str = ""
    attached: dict[str, Any] = {}  # what the network room gave it: addresses, ports

    def to_json(self) -> bytes:
        return encode(dict(zip(self.FIELDS, self.astuple(), strict=True))).encode()


# What ``asked`` always has, and what each is (container/flags.py makes it).
ASKED = {
    **dict.fromkeys(
        ("workdir", "user", "domainname", "cgroupns", "cgroupParent", "apparmor", "label", "seccomp"), "str"
    ),
    **dict.fromkeys(("init", "publishAll", "privileged", "readonly", "noNewPrivileges"), "bool"),
    **dict.fromkeys(("args", "groups", "dns", "dnsSearch", "dnsOptions", "capAdd", "capDrop"), "list[str]"),
    **dict.fromkeys(("pid", "ipc", "uts"), "list[str]"),
    **dict.fromkeys(("annotations", "sysctl"), "dict[str, str]"),
    **dict.fromkeys(("mounts", "ulimits"), "list[dict[str, Any]]"),
    **dict.fromkeys(("userns", "resources"), "dict"),
    **dict.fromkeys(("env", "addHosts", "expose", "mask", "unmask", "devices", "deviceRules", "volumesFrom"), "list"),
    "shmSize": "int",
}
REMOVE = "minirun container rm -f ID takes it away"


def container_from(data: bytes, path: str) -> Container:
    container = Container(**members(data, path, Container, REMOVE))
    for name, kind in ASKED.items() if container.asked else ():
        if not fits(container.asked.get(name), kind):
            raise damaged(path, f"asked/{name} is not {words(kind)}", REMOVE)
    return container


def status_from(data: bytes, path: str) -> Status:
    return Status(**members(data, path, Status, REMOVE))


def now() -> str:
    """RFC 3339 in UTC with nanoseconds, as docker writes it."""
    return stamp(time.time_ns())


def stamp(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"


def seconds_of(text: str) -> float:
    """A stamp of ours as seconds since the epoch; 0 if it is none.  By hand: strptime would bring re and datetime."""
    shape = "".join("0" if letter.isdigit() else letter for letter in text[:19])
    rest = text[19:].removesuffix("Z")
    if not text.isascii() or shape != "0000-00-00T00:00:00" or (rest and not (rest[0] == "." and rest[1:].isdigit())):
        return 0.0
    year, month, day, *clock = (int(text[at : at + size]) for at, size in PLACES)
    if not 1 <= month <= 12 or not 1 <= day <= 31 or clock[0] > 23 or clock[1] > 59 or clock[2] > 60:
        return 0.0
    seconds = days(year, month, day) * 86400 + clock[0] * 3600 + clock[1] * 60 + clock[2]
    return seconds + float("0" + rest) if rest else float(seconds)


PLACES = ((0, 4), (5, 2), (8, 2), (11, 2), (14, 2), (17, 2))


def days(year: int, month: int, day: int) -> int:
    """Since 1970, by the civil calendar (calendar.timegm without calendar)."""
    year, month = (year - 1, month + 9) if month < 3 else (year, month - 3)
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 1 - 719468

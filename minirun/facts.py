"""A read-only look at this host: what a plan may depend on.

Everything that changes the *list* of operations is looked up here, once, before planning: so a plan is a pure
function of (spec, facts), and ``--explain`` can say why.  No mountinfo is parsed on the way: the cgroup2 mount is
where statfs(2) says it is (``/sys/fs/cgroup``, or ``unified`` below it on a hybrid host).
"""

from __future__ import annotations

import posix

from minirun.linux.statfs import CGROUP2_SUPER_MAGIC, RDTGROUP_SUPER_MAGIC, filesystem
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.spec.types import Linux, Process

CGROUP_MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
IDENTITY_MAP = ("0", "0", "4294967295")


class Facts(Record):
    """What was found.

    cgroup_root         the cgroup2 mount, "" if there is none
    controllers         what its root offers
    own_cgroup          the runtime's own cgroup, below cgroup_root
    cgroup_delegated    may we make cgroups below ``cgroup_home``?
    cgroup_home         where containers go by default
    userns              do we run in a user namespace other than the first?
    systemd_root        with --systemd-cgroup: the cgroup below which systemd's manager has its units
    pinned              may we not run on every CPU (sched_setaffinity(2), a cpuset)?
    apparmor, selinux   is that security module in force?  Looked up where the configuration asks: ``look_closer``
    resctrl             where the processor's resource control is mounted, "" if it is not; looked up likewise
    """

    euid: int
    egid: int
    cgroup_root: str
    controllers: tuple[str, ...]
    cgroup_home: str
    cgroup_delegated: bool
    userns: bool
    systemd_root: str = ""
    pinned: bool = False
    apparmor: bool = False
    selinux: bool = False
    resctrl: str = ""

    @property
    def rootless(self) -> bool:
        """Without the rights of the host's root: devices are bound, not made; no eBPF."""
        return self.euid != 0 or self.userns


def read(path: str) -> str:
    """A small file, or "" if it cannot be read."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return posix.read(fd, 65536).decode("utf-8", "replace")
    except OSError:  # ESRCH: the process of a /proc/PID file ended since
        return ""
    finally:
        posix.close(fd)


def find_cgroup_root() -> str:
    """The cgroup2 mount: one of the two usual places, or else the first that mountinfo has."""
    for path in CGROUP_MOUNTS:
        if filesystem(path) == CGROUP2_SUPER_MAGIC:
            return path
    for line in read("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        if right.startswith("cgroup2 "):
            return left.split()[4]
    return ""


def own_cgroup() -> str:
    """Our cgroup's path in the v2 hierarchy (cgroups(7), /proc/PID/cgroup: the line "0::")."""
    for line in read("/proc/self/cgroup").splitlines():
        if line.startswith("0::"):
            return line[3:]
    return "/"


def probe() -> Facts:
    """Look; change nothing."""
    euid = posix.geteuid()
    root = find_cgroup_root()
    home = "/minirun"
    userns = tuple(read("/proc/self/uid_map").split()) != IDENTITY_MAP
    delegated = bool(root) and euid == 0 and not userns
    if root and not delegated:
        home = own_cgroup().rstrip("/") + "/minirun"
        parent = root + home.rpartition("/")[0]
        delegated = posix.access(parent, posix.W_OK) and posix.access(parent + "/cgroup.procs", posix.W_OK)
    return Facts(
        euid=euid,
        egid=posix.getegid(),
        cgroup_root=root,
        controllers=tuple(read(root + "/cgroup.controllers").split()) if root else (),
        cgroup_home=home,
        cgroup_delegated=delegated,
        userns=userns,
        pinned=len(posix.sched_getaffinity(0)) < (posix.cpu_count() or 1),
    )


def look_closer(facts: Facts, process: Process, linux: Linux) -> Facts:
    """The facts that few configurations depend on."""
    labels = process.get("apparmorProfile") or process.get("selinuxLabel") or linux.get("mountLabel")
    if not labels and "intelRdt" not in linux:
        return facts
    return Facts(
        **{
            **{name: getattr(facts, name) for name in Facts.FIELDS},
            "apparmor": read("/sys/module/apparmor/parameters/enabled").startswith("Y"),
            "selinux": posix.access("/sys/fs/selinux/enforce", posix.F_OK),
            "resctrl": find_resctrl() if "intelRdt" in linux else "",
        }
    )


def find_resctrl() -> str:
    """The usual place, or else the first that mountinfo has."""
    if filesystem("/sys/fs/resctrl") == RDTGROUP_SUPER_MAGIC:
        return "/sys/fs/resctrl"
    for line in read("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        if right.startswith("resctrl "):
            return left.split()[4]
    return ""


def as_root(facts: Facts) -> Facts:
    """The same host as its root would find it, for --explain."""
    values = {name: getattr(facts, name) for name in Facts.FIELDS}
    root = {
        "euid": 0,
        "egid": 0,
        "cgroup_home": "/minirun",
        "cgroup_delegated": bool(facts.cgroup_root),
        "userns": False,
    }
    return Facts(**{**values, **root})

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
HELPERS = ("/usr/bin", "/run/wrappers/bin", "/usr/local/bin")  # where distributions have newuidmap(1); never PATH


class Facts(Record):
    """What was found.

    cgroup_root         the cgroup2 mount, "" if there is none
    controllers         what its root offers
    own_cgroup          the runtime's own cgroup, below cgroup_root
    cgroup_delegated    may we make cgroups below ``cgroup_home``?
    cgroup_home         where containers go by default
    cgroup_domain       the topmost cgroup from which all below is ours: "" for root's whole tree
    userns              do we run in a user namespace other than the first?
    uid_map, gid_map    that namespace's rows (inside, outside, size); () in the first one
    setgroups           may setgroups(2) be called in it?
    newuidmap ...       the helpers' absolute paths, for an ordinary user; "" if they are not here
    systemd_root        with --systemd-cgroup: the cgroup below which systemd's manager has its units
    pinned              may we not run on every CPU (sched_setaffinity(2), a cpuset)?
    apparmor, selinux   is that security module in force?  Looked up where the configuration asks: ``look_closer``
    most_processes      our own hard RLIMIT_NPROC; 0 where the configuration does not ask for another
    resctrl             where the processor's resource control is mounted, "" if it is not; looked up likewise
    """

    euid: int
    egid: int
    cgroup_root: str
    controllers: tuple[str, ...]
    cgroup_home: str
    cgroup_delegated: bool
    userns: bool
    cgroup_domain: str = ""
    uid_map: tuple[tuple[int, int, int], ...] = ()
    gid_map: tuple[tuple[int, int, int], ...] = ()
    setgroups: bool = True
    newuidmap: str = ""
    newgidmap: str = ""
    systemd_root: str = ""
    pinned: bool = False
    apparmor: bool = False
    selinux: bool = False
    most_processes: int = 0
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


def id_map(text: str) -> tuple[tuple[int, int, int], ...]:
    """The rows of a uid_map or gid_map (user_namespaces(7))."""
    numbers = [int(word) for word in text.split()]
    return tuple(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True))


def user_namespace() -> bool:
    """Do we run in another user namespace than the first?"""
    return tuple(read("/proc/self/uid_map").split()) != IDENTITY_MAP


def alone() -> bool:
    """Is root the only user who exists here (a user namespace that maps one id)?"""
    return [size for _, _, size in id_map(read("/proc/self/uid_map"))] == [1]


def helper(name: str) -> str:
    """The absolute path of newuidmap or newgidmap; "" if it is not in one of the usual places."""
    return next((f"{place}/{name}" for place in HELPERS if posix.access(f"{place}/{name}", posix.X_OK)), "")


def delegated_domain(root: str, own: str) -> str:
    """The topmost cgroup at or above ``own`` from which everything down to it is ours; "" if there is none.

    cgroups(7), Delegation: to make a cgroup takes the directory, to put a process into it the cgroup.procs of what
    is above both, where it comes from and where it goes.
    """
    parts = own.strip("/").split("/") if own != "/" else []
    if ".." in parts:  # our cgroup namespace does not show where we are
        return ""
    domain = ""
    for count in range(len(parts), -1, -1):
        at = "".join(f"/{part}" for part in parts[:count])
        if not (posix.access(f"{root}{at}", posix.W_OK) and posix.access(f"{root}{at}/cgroup.procs", posix.W_OK)):
            break
        domain = at or "/"
    return domain


def probe() -> Facts:
    """Look; change nothing."""
    euid = posix.geteuid()
    root = find_cgroup_root()
    own_map = read("/proc/self/uid_map")
    userns = tuple(own_map.split()) != IDENTITY_MAP
    found = Facts(
        euid=euid, egid=posix.getegid(), cgroup_root=root, userns=userns, cgroup_home="/minirun",
        controllers=tuple(read(root + "/cgroup.controllers").split()) if root else (),
        cgroup_delegated=bool(root) and posix.access(root, posix.W_OK),
        pinned=len(posix.sched_getaffinity(0)) < (posix.cpu_count() or 1),
    )  # fmt: skip
    if root and found.rootless:
        own = own_cgroup()
        found.cgroup_home = own.rstrip("/") + "/minirun"
        found.cgroup_domain = delegated_domain(root, own)
        found.cgroup_delegated = found.cgroup_domain != ""
    if userns:
        found.uid_map, found.gid_map = id_map(own_map), id_map(read("/proc/self/gid_map"))
        found.setgroups = read("/proc/self/setgroups").strip() != "deny"
    if euid != 0:
        found.newuidmap, found.newgidmap = helper("newuidmap"), helper("newgidmap")
    return found


def look_closer(facts: Facts, process: Process, linux: Linux) -> Facts:
    """The facts that few configurations depend on."""
    labels = process.get("apparmorProfile") or process.get("selinuxLabel") or linux.get("mountLabel")
    counted = any(limit["type"] == "RLIMIT_NPROC" for limit in process.get("rlimits", ()))
    if not labels and not counted and "intelRdt" not in linux:
        return facts
    return Facts(
        **{
            **{name: getattr(facts, name) for name in Facts.FIELDS},
            "apparmor": read("/sys/module/apparmor/parameters/enabled").startswith("Y"),
            "selinux": posix.access("/sys/fs/selinux/enforce", posix.F_OK),
            "resctrl": find_resctrl() if "intelRdt" in linux else "",
            "most_processes": most_processes() if counted else 0,
        }
    )


def most_processes() -> int:
    """Our hard RLIMIT_NPROC (proc_pid_limits(5))."""
    for line in read("/proc/self/limits").splitlines():
        if line.startswith("Max processes "):
            word = line.split()[3]
            return (1 << 64) - 1 if word == "unlimited" else int(word)
    return 0


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
    return Facts(
        euid=0, egid=0, cgroup_root=facts.cgroup_root, controllers=facts.controllers, cgroup_home="/minirun",
        cgroup_delegated=bool(facts.cgroup_root), userns=False, systemd_root=facts.systemd_root,
    )  # fmt: skip

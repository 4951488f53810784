"""Every OCI verb and its options, declared once.

The lean parser (``parse``) works from this table because click alone costs 20 ms; click's help, the man pages and
the shell completions are made from it too.  An option that minirun does not carry out yet has ``later``: using it
is an error that names it, never silence.
"""

from __future__ import annotations

from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Option(Record):
    """``--long``/``-s``; ``value`` is the placeholder's name, "" for a switch."""

    long: str
    help: str
    short: str = ""
    value: str = ""
    default: str = ""
    many: bool = False
    later: str = ""
    same: str = ""  # the option that it is another spelling of

    @property
    def name(self) -> str:
        return (self.same or self.long).replace("-", "_")


class Verb(Record):
    """A verb: ``arguments`` as in usage, ``rest`` takes everything after them."""

    name: str
    help: str
    arguments: tuple[str, ...] = ("ID",)
    options: tuple[Option, ...] = ()
    rest: str = ""
    at_least: int | None = None


BUNDLE = Option(long="bundle", short="b", value="DIR", help="the bundle, a directory with config.json (default: here)")
CONFIG = Option(long="config", short="f", value="FILE", help="another file than the bundle's config.json")
CONSOLE = Option(long="console-socket", value="PATH", help="AF_UNIX socket that takes the terminal's master side")
PID_FILE = Option(long="pid-file", value="FILE", help="write the process's id to this file")
PIDFD = Option(long="pidfd-socket", value="PATH", help="AF_UNIX socket that takes a pidfd of the process")
PRESERVE = Option(long="preserve-fds", value="N", default="0", help="descriptors after stdio that the container keeps")
NO_PIVOT = Option(long="no-pivot", help="MS_MOVE and chroot instead of pivot_root, for a rootfs on a ramdisk")
NO_KEYRING = Option(long="no-new-keyring", help="keep the caller's session keyring")
EXPLAIN = Option(long="explain", value="?FORMAT", help="print the plan (table or json) and do nothing; needs no root")
TRACE = Option(
    long="trace", help="run, then print the plan with the time of every step; in a sandbox, its system calls too"
)
DETACH = Option(long="detach", short="d", help="do not wait for the process")
FORMAT = Option(long="format", short="f", value="FORMAT", default="table", help="table or json")
REGEX = Option(long="regex", short="r", help="ID is a regular expression: every container with a part that matches")
HELP = Option(long="help", short="h", help="print this")

GLOBAL = (
    Option(long="root", value="DIR", help="where containers are kept (default /run/minirun, $XDG_RUNTIME_DIR/minirun)"),
    Option(
        long="storage",
        value="DIR",
        help="where images and volumes are kept (default /var/lib/minirun, ~/.local/share/minirun)",
    ),
    Option(long="log", value="FILE", help="write messages to this file (crun's file:FILE, too), not standard error"),
    Option(long="log-format", value="FORMAT", default="text", help="text or json"),
    Option(
        long="log-level",
        value="LEVEL",
        default="",
        help="debug (as --debug), warning (the default), or error: no warnings",
    ),
    Option(long="debug", help="more messages"),
    Option(long="systemd-cgroup", help="have systemd make cgroups, as scopes: --cgroup-manager=systemd"),
    Option(
        long="cgroup-manager",
        value="DRIVER",
        default="cgroupfs",
        help="who makes cgroups: cgroupfs, systemd or disabled",
    ),
    Option(
        long="rootless",
        value="true|false|auto",
        default="auto",
        help="run without a cgroup where none can be made: auto is yes but for the host's root",
    ),
    Option(long="isolation", value="KIND", help="container, sandbox or vm, whatever config.json says"),
    Option(long="criu", value="PATH", help="accepted and ignored, as in runc"),
    Option(long="version", short="v", help="print the version"),
    HELP,
)

BUILD = (BUNDLE, CONFIG, CONSOLE, PID_FILE, PIDFD, PRESERVE, NO_PIVOT, NO_KEYRING, EXPLAIN, TRACE)
# Taken, so that what a caller is told is the verb's own refusal and not one of its options'.
CRIU = tuple(
    Option(long=name.partition("=")[0], help="as in runc", value=name.partition("=")[2])
    for name in (
        "image-path=DIR", "work-path=DIR", "parent-path=DIR", "leave-running", "tcp-established", "ext-unix-sk",
        "shell-job", "lazy-pages", "status-fd=FD", "page-server=ADDRESS:PORT", "file-locks", "pre-dump",
        "manage-cgroups-mode=MODE", "empty-ns=NAMESPACE", "auto-dedup", "pid-file=FILE", "console-socket=PATH",
        "no-pivot", "no-subreaper", "no-new-keyring", "preserve-fds=N", "pidfd-socket=PATH", "keep", "link-remap",
        "tcp-skip-in-flight", "tcp-close", "lsm-profile=TYPE:NAME", "lsm-mount-context=LABEL", "criu=PATH",
    )
)  # fmt: skip
CRIU = (*CRIU, BUNDLE, CONFIG, DETACH)
LIMITS = (
    ("blkio-weight", "weight of block IO, 10 to 1000"),
    ("cpu-period", "CPU period in microseconds"),
    ("cpu-quota", "CPU time per period in microseconds"),
    ("cpu-burst", "unused quota that may be saved up, in microseconds"),
    ("cpu-share", "relative weight of the CPU, 2 to 262144"),
    ("cpu-idle", "1: run only when nobody else wants the CPU"),
    ("cpuset-cpus=LIST", "CPUs, as 0-3,7"),
    ("cpuset-mems=LIST", "memory nodes, as 0,1"),
    ("memory=SIZE", "memory limit in bytes, or as 64m; -1 for unlimited"),
    ("memory-reservation=SIZE", "memory protected from reclaim"),
    ("memory-swap=SIZE", "memory plus swap; -1 for unlimited"),
    ("pids-limit", "number of processes; -1 for unlimited"),
    ("l3-cache-schema=SCHEMA", "shares of the L3 cache, as L3:0=f;1=f0 (resctrl)"),
    ("mem-bw-schema=SCHEMA", "shares of the memory's bandwidth, as MB:0=20;1=70 (resctrl)"),
    *((name, "of cgroup v1: only 0 is taken, for no limit") for name in ("cpu-rt-period", "cpu-rt-runtime")),
    *((name, "of cgroup v1: only 0 and -1 are taken, for no limit") for name in ("kernel-memory", "kernel-memory-tcp")),
)

# A verb is made when it is asked for: a cold start needs one of them.
TABLE: dict[str, Callable[[], Verb]] = {
    "create": lambda: Verb(
        name="create", help="make a container from a bundle; its program waits for start", options=BUILD
    ),
    "start": lambda: Verb(name="start", help="let the program of a created container run"),
    "run": lambda: Verb(
        name="run", help="create and start; wait and delete unless --detach",
        options=(*BUILD, DETACH, Option(long="keep", help="do not delete the container when it ends"),
                 Option(long="no-subreaper", help="accepted: minirun becomes a subreaper only while it waits")),
    ),
    "exec": lambda: Verb(
        name="exec", help="run one more program in a container", rest="COMMAND",
        options=(
            CONSOLE, PID_FILE, PIDFD, PRESERVE, DETACH, EXPLAIN, TRACE,
            Option(long="process", short="p", value="FILE", help="a process document instead of COMMAND"),
            Option(long="cwd", value="DIR", help="working directory"),
            Option(long="env", short="e", value="NAME=VALUE", many=True, help="add to the environment"),
            Option(long="tty", short="t", help="with a terminal"),
            Option(long="user", short="u", value="UID[:GID]", help="as this user"),
            Option(long="additional-gids", short="g", value="GID", many=True, help="supplementary group"),
            Option(long="cap", short="c", value="CAP", many=True, help="a capability more"),
            Option(long="no-new-privs", help="set no_new_privs"),
            Option(long="cgroup", value="PATH", help="a cgroup below the container's"),
            Option(long="ignore-paused", help="also when the container is paused (it will wait)"),
            Option(long="process-label", value="LABEL", help="SELinux label"),
            Option(long="apparmor", value="PROFILE", help="AppArmor profile"),
        ),
    ),
    "state": lambda: Verb(name="state", help="print a container's state as JSON"),
    "kill": lambda: Verb(
        name="kill", help="send a signal (default TERM) to a container", arguments=("ID", "SIGNAL"), at_least=1,
        options=(Option(long="all", short="a", help="to every process, not only the first"),
                 REGEX),
    ),
    "delete": lambda: Verb(
        name="delete", help="remove a container that does not run",
        options=(Option(long="force", short="f", help="kill it first; fine if it does not exist"),
                 REGEX),
    ),
    "list": lambda: Verb(
        name="list", help="list containers", arguments=(),
        options=(FORMAT, Option(long="quiet", short="q", help="ids only")),
    ),
    "ps": lambda: Verb(name="ps", help="list a container's processes", options=(FORMAT,), rest="PS_OPTION"),
    "pause": lambda: Verb(name="pause", help="freeze all processes of a container"),
    "resume": lambda: Verb(name="resume", help="let a paused container go on"),
    "update": lambda: Verb(
        name="update", help="change a running container's limits",
        options=(
            Option(long="resources", short="r", value="FILE|-", help="a resources document (config.json, /linux/resources)"),
            *[Option(long=name.partition("=")[0], value=name.partition("=")[2] or "N", help=text) for name, text in LIMITS],
        ),
    ),
    "events": lambda: Verb(
        name="events", help="print numbers and out-of-memory events as JSON lines",
        options=(Option(long="stats", help="once, then end"),
                 Option(long="interval", value="DURATION", default="5s", help="time between two lines, as 500ms, 5s or 1m")),
    ),
    "spec": lambda: Verb(
        name="spec", help="write a first config.json", arguments=(),
        options=(Option(long="bundle", short="b", value="DIR", help="where to write it (default: here)"),
                 Option(long="rootless", help="for an ordinary user, in a user namespace"),
                 Option(long="force", short="f", help="write over an existing file")),
    ),
    "features": lambda: Verb(
        name="features", help="print what minirun can do, as JSON (runtime-spec, features.md)", arguments=()
    ),
    "checkpoint": lambda: Verb(name="checkpoint", help="not there yet", options=CRIU),
    "restore": lambda: Verb(name="restore", help="not there yet", options=CRIU),
}  # fmt: skip


def verb_of(name: str) -> Verb | None:
    """The verb of that name, if there is one."""
    made = TABLE.get(name)
    return made() if made else None


def all_verbs() -> dict[str, Verb]:
    """Every verb by name, for help, man pages and completions."""
    return {name: made() for name, made in TABLE.items()}

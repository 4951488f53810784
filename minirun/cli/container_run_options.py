"""The options of ``container run`` and ``create``, docker's spelling, and of the verbs that look at what was asked.

What docker has and minirun does not do is here too, with ``later``: using it is an error that names it.
"""

from __future__ import annotations

from minirun.cli.longer import Longer
from minirun.cli.options import EXPLAIN, Option, Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def rows(table: Iterable[tuple[str, str]], *, many: bool = False, later: bool = False) -> tuple[Option, ...]:
    """``-s --long=VALUE``, the help (or, with ``later``, the reason) -> options."""
    made = []
    for spelled, text in table:
        names, _, value = spelled.partition("=")
        short, _, long = names.rpartition(" ")
        made.append(
            Option(
                long=long, short=short, value=value, many=many and bool(value),
                help="as in docker" if later else text, later=text if later else "",
            )
        )  # fmt: skip
    return tuple(made)


PROGRAM = rows((
    ("entrypoint=PROGRAM", "in place of the image's entrypoint; empty for none"),
    ("w workdir=DIR", "working directory"),
    ("u user=NAME|UID[:GROUP|GID]", "as this user"),
    ("umask=MASK", "umask of the program, as 0022"),
    ("i interactive", "keep standard input open"),
    ("t tty", "with a terminal"),
    ("init", "a small init as process 1: it passes signals on and reaps"),
    ("stop-signal=SIGNAL", "what `container stop` sends (default: the image's, else TERM)"),
    ("stop-timeout=SECONDS", "how long `container stop` waits before it kills (default 10)"),
    ("restart=POLICY", "no, on-failure[:N], always or unless-stopped"),
    ("oom-score-adj=N", "-1000 (never killed when memory is short) to 1000 (first)"),
))  # fmt: skip
PROGRAM_MANY = rows((
    ("e env=NAME[=VALUE]", "set in the environment; without a value, from the caller's"),
    ("env-file=FILE", "lines of NAME=VALUE for the environment"),
    ("group-add=GROUP", "one more group"),
    ("ulimit=NAME=SOFT[:HARD]", "a resource limit, as nofile=1024:2048"),
), many=True)  # fmt: skip
NAMES = rows((
    ("name=NAME", "a name for the container (default: made up)"),
    ("cidfile=FILE", "write the container's id to this new file"),
    ("pidfile=FILE", "write the program's process id to this file"),
    ("pull=POLICY", "always, missing (the default) or never"),
    ("platform=OS/ARCH", "which image of an index"),
    ("q quiet", "no progress of a pull"),
    ("log-driver=DRIVER", "json-file (the default), none or passthrough"),
    ("rm", "remove the container, and its anonymous volumes, when it ends"),
    ("ephemeral", "what the container writes is in memory, gone when it ends"),
))  # fmt: skip
NAMES_MANY = rows((
    ("l label=NAME[=VALUE]", "a label"),
    ("label-file=FILE", "lines of NAME=VALUE, labels"),
    ("annotation=NAME=VALUE", "an annotation of config.json"),
    ("log-opt=NAME=VALUE", "max-size=10m, max-file=3"),
    ("a attach=STREAM", "only stdin, stdout or stderr"),
), many=True)  # fmt: skip
NETWORK = rows((
    ("h hostname=NAME", "host name (default: the first 12 digits of the id)"),
    ("domainname=NAME", "NIS domain name"),
    ("ip=ADDRESS", "IPv4 address on the network"),
    ("ip6=ADDRESS", "IPv6 address on the network"),
    ("mac-address=MAC", "hardware address on the network"),
    ("P publish-all", "publish every port that the image exposes, on free ports of the host"),
))  # fmt: skip
NET = (Option(long="net", value="NETWORK", help="as --network", many=True, same="network"),)
NETWORK_MANY = rows((
    ("network=NETWORK", "none, host, bridge, container:ID or a network's name; without root pasta or slirp4netns"),
    ("network-alias=NAME", "one more name on the network"),
    ("p publish=[IP:][HOST:]PORT[/PROTO]", "publish a port on the host"),
    ("expose=PORT[/PROTO]", "a port for --publish-all"),
    ("add-host=NAME:ADDRESS", "a line in /etc/hosts; host-gateway is the host's address"),
    ("dns=ADDRESS", "a name server"),
    ("dns-search=DOMAIN", "a search domain"),
    ("dns-option=OPTION", "an option of resolv.conf"),
), many=True)  # fmt: skip
LIMITS = rows((
    ("cpus=N", "CPU time, in CPUs, as 1.5"),
    ("cpu-quota=MICROSECONDS", "CPU time per period"),
    ("cpu-period=MICROSECONDS", "length of a period"),
    ("c cpu-shares=N", "weight, 2 to 262144"),
    ("cpuset-cpus=LIST", "CPUs, as 0-3,7"),
    ("cpuset-mems=LIST", "memory nodes, as 0,1"),
    ("m memory=SIZE", "memory, as 64m"),
    ("memory-reservation=SIZE", "memory protected from reclaim"),
    ("memory-swap=SIZE", "memory and swap together; -1 for unlimited swap"),
    ("pids-limit=N", "number of processes; -1 for unlimited"),
    ("blkio-weight=N", "weight of block IO, 10 to 1000"),
    ("cgroupns=WHAT", "private (the default) or host"),
    ("cgroup-parent=PATH", "the cgroup that holds the container's"),
    ("shm-size=SIZE", "size of /dev/shm (default 64m)"),
))  # fmt: skip
LIMITS_MANY = rows((
    ("device-read-bps=DEVICE:RATE", "bytes a second read from a block device, as /dev/sda:1m"),
    ("device-write-bps=DEVICE:RATE", "bytes a second written"),
    ("device-read-iops=DEVICE:N", "reads a second"),
    ("device-write-iops=DEVICE:N", "writes a second"),
    ("blkio-weight-device=DEVICE:N", "weight for one device"),
    ("cgroup-conf=FILE=VALUE", "a file of cgroup v2, as memory.high=1073741824"),
), many=True)  # fmt: skip
RIGHTS = rows((
    ("privileged", "every capability, every device, nothing masked, no filters"),
    ("read-only", "the root file system cannot be written"),
    ("pid=WHAT", "PID namespace: private, host or container:ID"),
    ("ipc=WHAT", "IPC namespace: private, shareable, none, host or container:ID"),
    ("uts=WHAT", "UTS namespace: private, host or container:ID"),
    ("userns=WHAT", "user namespace: host (the default), auto, auto:size=N, keep-id or FIRST:HOST:COUNT"),
))  # fmt: skip
RIGHTS_MANY = rows((
    ("cap-add=CAP", "one more capability, or ALL"),
    ("cap-drop=CAP", "one less, or ALL"),
    ("security-opt=OPTION", "seccomp=, apparmor=, label=, no-new-privileges, mask=, unmask=, systempaths=unconfined"),
    ("device=HOST[:CONTAINER[:rwm]]", "a device of the host"),
    ("device-cgroup-rule=RULE", "allow devices by number, as c 10:* rwm"),
    ("sysctl=NAME=VALUE", "a kernel parameter of the container's namespaces"),
), many=True)  # fmt: skip
FILES = rows((
    ("v volume=[SOURCE:]TARGET[:OPTIONS]", "a volume or a directory of the host"),
    ("mount=type=TYPE,target=DIR[,...]", "a bind, volume or tmpfs, in long form"),
    ("tmpfs=TARGET[:OPTIONS]", "a file system in memory, as /run:size=64m"),
    ("volumes-from=CONTAINER[:ro]", "the volumes of another container"),
), many=True)  # fmt: skip

NO_HEALTH = "nothing of minirun's stays running that could ask"
REFUSED = rows((
    ("gpus=WHAT", "there is no support for GPU vendors' hooks; --device gives devices"),
    ("oom-kill-disable", "cgroup v2 has no such switch; --oom-score-adj says who goes first"),
    ("memory-swappiness=N", "cgroup v2 has no such limit"),
    ("kernel-memory=SIZE", "cgroup v2 counts it with the rest: --memory"),
    ("cpu-rt-runtime=N", "cgroup v2 has no such limit"),
    ("cpu-rt-period=N", "cgroup v2 has no such limit"),
    ("link=CONTAINER", "containers of one network know each other by name"),
    ("link-local-ip=ADDRESS", "not on minirun's networks"),
    ("runtime=NAME", "minirun is the runtime; --isolation chooses the kind"),
    ("volume-driver=NAME", "volumes are directories"),
    ("storage-opt=OPTION", "there is one kind of storage; --ephemeral keeps changes in memory"),
    ("use-api-socket", "there is no daemon, so no socket"),
    *((f"health-{name}", NO_HEALTH) for name in (
        "cmd=COMMAND", "interval=TIME", "retries=N", "start-interval=TIME", "start-period=TIME", "timeout=TIME",
    )),
), later=True)  # fmt: skip
QUIET = (Option(long="no-healthcheck", help="do not say that the image's health check is not carried out"),)

CREATE = (
    *PROGRAM, *PROGRAM_MANY, *NAMES, *NAMES_MANY, *NETWORK, *NETWORK_MANY, *NET, *LIMITS, *LIMITS_MANY, *RIGHTS,
    *RIGHTS_MANY, *FILES, EXPLAIN, *QUIET, *REFUSED,
)  # fmt: skip
RUN = (
    *CREATE,
    *rows((
        ("d detach", "do not wait: print the id"),
        ("detach-keys=KEYS", "keys that leave the container running (default ctrl-p,ctrl-q)"),
    )),
    Option(long="sig-proxy", value="?true|false", default="true", help="pass signals on (the default; =false for not)"),
)  # fmt: skip
CHANGED = rows((
    *[(f"{'c ' if o.short == 'c' else 'm ' if o.short == 'm' else ''}{o.long}={o.value}", o.help) for o in LIMITS[:11]],
    ("restart=POLICY", "no, on-failure[:N], always or unless-stopped"),
))  # fmt: skip
JSON = Option(long="format", short="f", value="TEMPLATE", default="json", help="json, or as '{{.State.Status}}'")

VERBS = (
    Verb(name="run", help="make a container of an image and run it", arguments=("IMAGE",), rest="COMMAND", options=RUN),
    Verb(name="create", help="make a container of an image", arguments=("IMAGE",), rest="COMMAND", options=CREATE),
    Verb(
        name="inspect", help="print all that is known of containers, as JSON",
        arguments=("CONTAINER",), rest="CONTAINER",
        options=(JSON, Option(long="size", short="s", help="with the size of what was written")),
    ),
    Verb(
        name="update", help="change limits and restart policy", arguments=("CONTAINER",), rest="CONTAINER",
        options=CHANGED,
    ),
    Verb(name="rename", help="give a container another name", arguments=("CONTAINER", "NAME")),
    Verb(name="port", help="list published ports", arguments=("CONTAINER", "PORT[/PROTO]"), at_least=1),
)  # fmt: skip
PLACES = {
    "run": "minirun.cli.container_run",
    "create": "minirun.cli.container_run",
    "inspect": "minirun.cli.container_inspect",
    "update": "minirun.cli.container_change",
    "rename": "minirun.cli.container_change",
    "port": "minirun.cli.container_inspect",
}
MORE = {
    "run": Longer(
        text="The image is looked up in the store, and pulled if it is not there. COMMAND replaces the image's own.\n\n"
        "In the foreground the exit code is the program's, 128+n if signal n ended it, 125 if minirun failed, 126 if "
        "the program cannot be executed, 127 if it is not there. With --detach the id is printed.\n\n"
        "--explain prints what would be made: the runtime's plan (table) or config.json (json). Nothing is done.",
        examples=(
            "minirun container run -it --rm busybox sh",
            "minirun container run -d --name web -p 8080:80 -v data:/srv web",
            "minirun container run --explain=json busybox   # the config.json",
        ),
    ),
    "create": Longer(
        text="As `container run`, but the program waits for `container start`.",
        examples=("minirun container create --name web web",),
    ),
    "inspect": Longer(
        text="docker's members, with the record that minirun keeps.\n\n"
        "--format is a template as docker's: fields, range, if, with, variables, pipes, and the functions json, index, "
        "len, join, split, slice, upper, lower, title, truncate, print, println, printf, eq, ne, lt, le, gt, ge, and, "
        "or, not. Lists and objects are printed as JSON. A path alone, as .State.Status, needs no braces.",
        examples=(
            "minirun container inspect web",
            "minirun container inspect -f '{{.State.Status}}' web",
            "minirun container inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' web",
        ),
    ),
    "update": Longer(
        text="Limits of a running container change at once; those of a stopped one when it starts.",
        examples=("minirun container update -m 256m --cpus 2 web",),
    ),
    "rename": Longer(text="The id stays, and so does the host name.", examples=("minirun container rename web old",)),
    "port": Longer(
        text="PORT/PROTO -> ADDRESS:PORT of the host, one a line.", examples=("minirun container port web 80/tcp",)
    ),
}

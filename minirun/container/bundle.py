"""From a container's record to the OCI configuration that the runtime gets, each time it starts.

``prepare`` does what must be done to files first: the hosts file and its like, the directories that volumes lie in,
what an image has where a new volume goes, the working directory, and the look into the image's own passwd for the
user.  ``config`` is then a function of what is known.  The monitor calls ``build``, which is both, with the overlay
mounted; ``--explain`` calls ``config`` with what can be known without touching anything.
"""

from __future__ import annotations

from minirun.container import filesystems, rootless
from minirun.container.powers import added, default_profile, held_by, system_calls
from minirun.container.rights import capability_sets, hidden, selinux
from minirun.errors import NOT_FOUND, MinirunError
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from minirun.container.record import Container
    from minirun.container.users import User

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INIT = "/dev/init"  # on the container's own tmpfs, so that nothing of it stays in the image
# Labels that a runtime takes orders from as annotations: an image's must not become one.
ORDERS = ("run.oci.", "dev.minirun.", "org.systemd.", "org.criu.", "io.katacontainers.")
NAMESPACES = ("pid", "ipc", "uts")


class Site(Record):
    """Where a container is about to run: what its record does not know."""

    storage: str
    directory: str  # STORAGE/containers/<id>: the bundle
    rootfs: str  # where its overlay is mounted
    netns: str = ""  # path of its network namespace; "" for a new one that nobody else knows (--network none)
    joined: dict[str, str] = {}  # pid, ipc, uts, network -> path, where container:ID was asked for
    hosts: list[str] = []  # lines of /etc/hosts for its own addresses and names, from network/attach
    resolv: list[str] = []  # name servers, from network/attach; [] takes the host's
    root: str = ""  # of the runtime's store: where the network room has its lock
    gateway: str = ""  # the host's address on its first network
    parts: dict[str, str] = {}  # target -> where a part of a volume was found (subpaths.py)
    tap: str = ""  # of a machine: the annotation dev.minirun.vm.net
    warn: Callable[[str], None] = lambda text: None


def build(container: Container, site: Site) -> dict[str, Any]:
    """The configuration, with everything in place that it names.  Idempotent: a restart calls it again."""
    from minirun.container.prepare import prepare

    return config(container, site, prepare(container, site))


def joins(container: Container) -> dict[str, str]:
    """pid, ipc, uts, network -> the id of the container whose namespace was asked for; the caller finds its pid."""
    found = {name: container.asked[name][1] for name in NAMESPACES if container.asked[name][0] == "container"}
    if container.network.startswith("container:"):
        found["network"] = container.network.partition(":")[2]
    return found


def mappings(container: Container) -> list[dict[str, int]]:
    """Ids of its user namespace, for both uids and gids; [] where it has none."""
    return [container.asked["userns"]["map"]] if container.asked["userns"] else []


def config(container: Container, site: Site, user: User) -> dict[str, Any]:
    asked = container.asked
    owner = container.network.partition(":")[2]
    network = f"{site.storage}/containers/{owner}" if owner else site.directory
    mounts = filesystems.every(asked, site.storage, site.directory, network, site.parts)
    if asked["userns"]:
        mounts = filesystems.in_user_namespace(mounts, container, site.storage)
    if asked["init"]:
        mounts.append(filesystems.mount(INIT, "bind", init_program(), "bind", "ro", "rprivate"))
    made: dict[str, Any] = {
        "ociVersion": "1.2.0",
        "process": process(container, user),
        "root": {"path": site.rootfs, "readonly": asked["readonly"]},
        "mounts": mounts,
        "annotations": notes(container, site),
        "linux": linux(container, site, mounts),
    }
    if asked["uts"][0] == "private":
        made["hostname"] = hostname(container)
        if asked["domainname"]:
            made["domainname"] = asked["domainname"]
    place = rootless.inside()
    return rootless.adapt(made, container, place, site.warn) if place else made


def hostname(container: Container) -> str:
    if container.hostname:
        return container.hostname
    if container.network == "host":
        import posix

        return posix.uname().nodename
    return container.short


def process(container: Container, user: User) -> dict[str, Any]:
    asked = container.asked
    held = held_by(asked)
    person: dict[str, Any] = {"uid": user.uid, "gid": user.gid}
    if user.groups:
        person["additionalGids"] = user.groups
    if "umask" in asked:
        person["umask"] = asked["umask"]
    made: dict[str, Any] = {
        "terminal": container.tty,
        "user": person,
        "args": arguments(container),
        "env": environment(container, user.home),
        "cwd": workdir(container),
        "capabilities": capability_sets(held, user.uid == 0, held if asked["privileged"] else added(asked)),
        "noNewPrivileges": asked["noNewPrivileges"],
    }
    if asked["ulimits"]:
        made["rlimits"] = asked["ulimits"]
    if "oomScoreAdj" in asked:
        made["oomScoreAdj"] = asked["oomScoreAdj"]
    profile = asked["apparmor"] or ("" if asked["privileged"] else default_profile())
    if profile and profile != "unconfined":
        made["apparmorProfile"] = profile
    if asked["label"] and asked["label"] != "disable":
        made["selinuxLabel"] = selinux(asked["label"])
    return made


def arguments(container: Container) -> list[str]:
    """Entrypoint and words: given words replace the image's Cmd, a given entrypoint both of the image's."""
    words = command(container.imageConfig, container.asked)
    return [INIT, "--", *words] if container.asked["init"] else words


def command(image: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    own = asked.get("entrypoint")
    entrypoint = own if own is not None else image.get("Entrypoint") or []
    words = asked["args"] or ([] if own is not None else image.get("Cmd") or [])
    found = [*entrypoint, *words]
    if not found:
        raise MinirunError(
            "nothing to run", reason="neither the image nor the command line names a program", exit_code=NOT_FOUND,
            hint="put a command behind the image's name",
        )  # fmt: skip
    return found


def environment(container: Container, home: str) -> list[str]:
    """docker's order: its own, the image's, the command line's; a later one of a name replaces."""
    asked = container.asked
    own = [PATH, f"HOSTNAME={hostname(container)}"] + (["TERM=xterm"] if container.tty else [])
    made: dict[str, str] = {}
    for word in [*own, *(container.imageConfig.get("Env") or []), *asked["env"]]:
        name, equals, value = word.partition("=")
        if name and equals:
            made[name] = value
    made.setdefault("HOME", home)
    return [f"{name}={value}" for name, value in made.items()]


def workdir(container: Container) -> str:
    word = container.asked["workdir"] or container.imageConfig.get("WorkingDir") or "/"
    return "/" + "/".join(part for part in word.split("/") if part not in ("", ".", ".."))


def notes(container: Container, site: Site) -> dict[str, str]:
    """Labels (image-spec, conversion.md), but for those that would be orders; then what the command line says."""
    image = container.imageConfig
    made = {
        name: value
        for name, value in {**(image.get("Labels") or {}), **container.labels}.items()
        if not name.startswith(ORDERS)
    }
    if image.get("StopSignal"):
        made["org.opencontainers.image.stopSignal"] = image["StopSignal"]
    if image.get("ExposedPorts"):
        made["org.opencontainers.image.exposedPorts"] = ",".join(sorted(image["ExposedPorts"]))
    if site.tap:
        made["dev.minirun.vm.net"] = site.tap
    return {**made, **container.asked["annotations"]}


def linux(container: Container, site: Site, mounts: list[dict[str, Any]]) -> dict[str, Any]:
    asked = container.asked
    masked, readonly = hidden(asked)
    made: dict[str, Any] = {
        "namespaces": namespaces(container, site),
        "cgroupsPath": cgroup(container),
        "resources": {**asked["resources"]},
        "rootfsPropagation": filesystems.propagation(mounts),
        "maskedPaths": masked,
        "readonlyPaths": readonly,
        "sysctl": sysctls(container),
    }
    devices, rules = nodes_and_rules(asked)
    made["devices"] = devices
    made["resources"]["devices"] = rules
    for mapping in mappings(container):
        made["uidMappings"] = made["gidMappings"] = [mapping]
    section = system_calls(asked)
    if section:
        made["seccomp"] = section
    return made


def namespaces(container: Container, site: Site) -> list[dict[str, str]]:
    asked = container.asked
    found: list[dict[str, str]] = [{"type": "mount"}]
    for name in NAMESPACES:
        if asked[name][0] == "container":
            found.append({"type": name, "path": site.joined[name]})
        elif asked[name][0] != "host":
            found.append({"type": name})
    if container.network != "host":
        path = site.netns or site.joined.get("network", "")
        found.append({"type": "network", "path": path} if path else {"type": "network"})
    if asked["cgroupns"] == "private":
        found.append({"type": "cgroup"})
    if asked["userns"]:
        found.append({"type": "user"})
    return found


def cgroup(container: Container) -> str:
    parent = container.asked["cgroupParent"]
    if container.cgroupDriver == "systemd":
        return f"{parent}:minirun:{container.id}"
    return f"{parent.rstrip('/') or '/minirun'}/{container.id}"


def sysctls(container: Container) -> dict[str, str]:
    """docker's two, which let a program that is not root ping and listen below 1024, where the network is its own."""
    made: dict[str, str] = {}
    if container.network in ("none", "networks") and not container.asked["userns"] and container.isolation != "vm":
        made = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
    return {**made, **container.asked["sysctl"]}


def nodes_and_rules(asked: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A privileged container may open every device; any other what the runtime always allows, and what was asked."""
    if asked["privileged"]:
        from minirun.container.devices import every

        return every(), [{"allow": True, "access": "rwm"}]
    found: list[dict[str, Any]] = []
    rules: list[dict[str, Any]] = [{"allow": False, "access": "rwm"}]
    if asked["devices"]:
        from minirun.container.devices import nodes

        for source, target, access in asked["devices"]:
            more, allowed = nodes(source, target, access)
            found += more
            rules += allowed
    return found, rules + asked["deviceRules"]


def init_program() -> str:
    from minirun import hot

    return f"{hot.PACKAGE}/minirun-reaper"

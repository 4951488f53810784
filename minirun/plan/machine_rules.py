"""What a virtual machine cannot do, by name: what shares something with the host that is not shared by a machine.

Refused rather than run without (HACKING.md, 12): each with its pointer, and what to do about it.
"""

from __future__ import annotations

from minirun.plan.mountflags import MS_SHARED, parse
from minirun.spec.rules import namespace_types
from minirun.spec.seccomp_rules import listener_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.plan.container import Asked, Problems
    from minirun.spec.types import Mount, Spec

NAMESPACES = "/linux/namespaces"
CONTAINER = "run it with --isolation container"
SHARED = {
    "pid": "its processes are the guest's",
    "network": "its network is the guest's",
    "mount": "its mounts are the guest's",
    "ipc": "its System V and POSIX IPC are the guest's",
    "uts": "its host name is the guest's",
}
# Character devices that every Linux has: of memory, terminals, and FUSE.
DEVICES = ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (10, 229))
HOSTS_OWN = ("/dev", "/proc", "/sys")


def refuse(asked: Asked, problems: Problems) -> None:
    spec = asked.spec
    of_namespaces(spec, problems)
    of_mounts(spec, asked.bundle, problems)
    of_devices(spec, problems)
    of_linux(spec, problems)
    of_process(spec, problems)
    if spec.get("hooks", {}).get("createContainer"):
        problems.add(
            "/hooks/createContainer", "a machine has none: they are the host's programs in the container's namespaces",
            "createRuntime runs on the host, startContainer in the container",
        )  # fmt: skip
    options = asked.options
    if options.preserve_fds or options.listen_fds:
        problems.add("/process", "no descriptor of the host's can be preserved in a machine", CONTAINER)
    if options.notify_socket:
        problems.add("/process", "no machine reaches the socket of NOTIFY_SOCKET", "unset it, or " + CONTAINER)


def of_namespaces(spec: Spec, problems: Problems) -> None:
    """New ones only; user namespaces are not carried to the guest, whose ids are nobody else's anyway."""
    types = namespace_types(spec)
    for index, entry in enumerate(spec["linux"].get("namespaces", ())):
        if entry.get("path"):
            problems.add(
                f"{NAMESPACES}/{index}/path", f"a machine cannot join a {entry['type']} namespace of the host's",
                f"leave out the path, or {CONTAINER}",
            )  # fmt: skip
        if entry["type"] == "user":
            problems.add(
                f"{NAMESPACES}/{index}", "a machine has no user namespace: its ids are its own",
                f"leave it out, with its mappings, or {CONTAINER}",
            )  # fmt: skip
    for name, why in SHARED.items():
        if name not in types:
            hint = f'add {{"type": "{name}"}}' + (f" (container run: without --{name} host)" if name != "mount" else "")
            problems.add(NAMESPACES, f"a machine cannot share the host's {name} namespace: {why}", hint)


def of_mounts(spec: Spec, bundle: str, problems: Problems) -> None:
    if spec["linux"].get("rootfsPropagation") in ("shared", "rshared"):
        problems.add("/linux/rootfsPropagation", "what a machine mounts cannot appear on the host", "use private")
    for index, mount in enumerate(spec.get("mounts", ())):
        of_mount(mount, f"/mounts/{index}", problems)


def of_mount(mount: Mount, at: str, problems: Problems) -> None:
    options = parse(mount.get("options", ()))
    if options.idmap or "uidMappings" in mount or "gidMappings" in mount:
        problems.add(at, "a machine cannot map the ids of a mount: FUSE takes no mapping", CONTAINER)
    if options.propagation & MS_SHARED:
        problems.add(f"{at}/options", "what a machine mounts cannot appear on the host", "use private")
    if options.remount or not (options.bind or mount.get("type") == "bind"):
        return
    source = mount["source"]
    if any(source == own or source.startswith(own + "/") for own in HOSTS_OWN):
        problems.add(f"{at}/source", f"{source} is the host's own: a machine has another", CONTAINER)
    if options.copy_link or options.source_nofollow or options.target_nofollow:
        problems.add(f"{at}/options", "links are not bound in a machine, only what they lead to", CONTAINER)


def of_devices(spec: Spec, problems: Problems) -> None:
    for index, device in enumerate(spec["linux"].get("devices", ())):
        if device["type"] == "p" or (device["type"] in "cu" and (device["major"], device["minor"]) in DEVICES):
            continue
        problems.add(
            f"/linux/devices/{index}", f"{device['path']} is a device of the host's, which a machine does not have",
            "annotation dev.minirun.vm.disk gives it a disk, dev.minirun.vm.net a network",
        )  # fmt: skip


def of_linux(spec: Spec, problems: Problems) -> None:
    linux = spec["linux"]
    if listener_of(spec):
        problems.add("/linux/seccomp", "nobody on the host can answer for a system call of a guest's", CONTAINER)
    if linux.get("netDevices"):
        problems.add(
            "/linux/netDevices", "an interface of the host's cannot move into a machine",
            "annotation dev.minirun.vm.net gives it a tap of the host's",
        )  # fmt: skip
    if "intelRdt" in linux:
        problems.add("/linux/intelRdt", "the groups of resctrl count processes of the host's, not a guest's", CONTAINER)


def of_process(spec: Spec, problems: Problems) -> None:
    """No security module is set up in the guest."""
    program = spec["process"]
    labels = (
        ("/process/apparmorProfile", program.get("apparmorProfile", "").replace("unconfined", "")),
        ("/process/selinuxLabel", program.get("selinuxLabel")),
        ("/linux/mountLabel", spec["linux"].get("mountLabel")),
    )
    for pointer, label in labels:
        if label:
            problems.add(pointer, "the guest's kernel has no profiles and labels of the host's", "leave it out")
